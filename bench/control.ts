import { closeSync, fdatasyncSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Group, leaderOf, SYSTEMS, type System } from "./control-groups.ts";
import { etcdVersion } from "./etcd.ts";
import { flag } from "./flags.ts";
import type { Figure, Report } from "./machine.ts";
import { machineLine, median, percentile } from "./machine.ts";
import { type Member, sleep } from "./member.ts";
import { wrk } from "./wrk.ts";

// Question: how long does a configuration write take to be committed by three voters, how many a second are there, and how
// long is there none after the leader was killed? Beside etcd, the same three times on the same disk, in turn, one system
// running at a time.
// Run: npm run -s bench -- control [--failovers 100] [--rounds 5] [--quick]   (needs Debian's wrk and etcd-server)

const WRITERS = 64;
/** Of each load in a round, at least. */
const SECONDS = 10;
/** Of one writer in a round: fewer, and its p99 says nothing. */
const WRITES_MIN = 2_000;
/** Of both systems here: etcd's flags, and ours by default (100 ms × 10; a follower waits for once to twice that). */
const ELECTION_MS = 1_000;
/** How often the survivors are asked; what a failover's time is exact to. */
const POLL_MS = 20;
const POLL_TIMEOUT_MS = 300;
const FAILOVER_MAX_MS = 20_000;
/** Between being whole again and the next kill, at random, so that it falls into no fixed place between two heartbeats. */
const PAUSE_MS = 200;

interface Results {
  readonly p50Ms: number[];
  readonly p99Ms: number[];
  readonly writes: number[];
  readonly perSecond: number[];
  readonly manyP50Ms: number[];
  readonly namedMs: number[];
  readonly writtenMs: number[];
}

export async function run(): Promise<Report> {
  const isQuick = process.argv.includes("--quick");
  const rounds = flag("rounds", isQuick ? 1 : 3);
  const failovers = flag("failovers", isQuick ? 2 : 12);
  const version = etcdVersion();
  const systems: readonly System[] = version === null ? ["starling"] : ["starling", "etcd"];
  const results = { starling: noResults(), etcd: noResults() };
  const dir = mkdtempSync(join(tmpdir(), "starling-bench-control-"));
  const syncsMs: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      syncsMs.push(...syncMs(dir));
      // Share of this round, so that all together are as many as were asked for.
      const share = Math.floor((failovers * (round + 1)) / rounds) - Math.floor((failovers * round) / rounds);
      for (const system of systems)
        await SYSTEMS[system](dir, (group) => measure(group, dir, results[system], share, isQuick));
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return {
    bench: "control",
    question: "how fast do three voters commit, and how soon after their leader was killed?",
    machine: machineLine(),
    peers: [version === null ? "nothing: SKIPPED etcd, there is no `etcd` in PATH" : `${version}, three members`],
    method: [
      `${rounds} rounds in turn; three processes each on loopback; medians of rounds; wrk over HTTP and JSON for both`,
      `appending 512 bytes and fdatasync on that disk: p50 ${median(syncsMs).toFixed(2)} ms, p99 ${percentile(syncsMs, 0.99).toFixed(2)} ms`,
      `${median(results.starling.writes)} and ${median(results.etcd.writes)} writes of one writer in a round`,
      `election timeout of both ${ELECTION_MS} ms, heartbeat 100 ms; a follower waits for once to twice that, at random`,
    ],
    figures: figuresOf(results),
  };
}

function noResults(): Results {
  return { p50Ms: [], p99Ms: [], writes: [], perSecond: [], manyP50Ms: [], namedMs: [], writtenMs: [] };
}

/** The floor that the disk sets. */
function syncMs(dir: string): number[] {
  const file = openSync(join(dir, "sync"), "a");
  const line = Buffer.alloc(512, "x");
  const taken = Array.from({ length: 300 }, () => {
    const startMs = performance.now();
    writeSync(file, line);
    fdatasyncSync(file);
    return performance.now() - startMs;
  });
  closeSync(file);
  return taken;
}

async function measure(group: Group, dir: string, into: Results, failovers: number, isQuick: boolean): Promise<void> {
  const { url } = await leaderOf(group);
  const seconds = isQuick ? 4 : SECONDS;
  // Many first: their writes have warmed up what one alone would take minutes for.
  const many = wrk(dir, { url, script: group.script(WRITERS), connections: WRITERS, seconds });
  into.perSecond.push(many.perSecond);
  into.manyP50Ms.push(many.p50Ms);
  const requestsMin = isQuick ? 0 : WRITES_MIN;
  const one = wrk(dir, { url, script: group.script(1), connections: 1, seconds, requestsMin });
  into.p50Ms.push(one.p50Ms);
  into.p99Ms.push(one.p99Ms);
  into.writes.push(one.requests);
  if ((await leaderOf(group)).url !== url)
    throw new Error("leadership moved under load: what was measured is something else");
  for (let i = 0; i < failovers; i++) await failOver(group, into);
}

/** Kills the leader, waits until the others have another one and take writes, and has it start again. */
async function failOver(group: Group, into: Results): Promise<void> {
  const leader = await leaderOf(group);
  await sleep(PAUSE_MS + Math.random() * PAUSE_MS);
  const survivors = group.members.filter((member) => member !== leader);
  const startMs = performance.now();
  const gone = leader.kill();
  const isNamed = async (survivor: Member): Promise<boolean> => {
    const named = await group.leaderAt(survivor);
    return named !== null && named !== leader;
  };
  const isWritten = (survivor: Member, count: number): Promise<boolean> =>
    group.write(survivor, count, POLL_TIMEOUT_MS).then(
      () => true,
      () => false, // no leader yet: that is what is being timed
    );
  const [namedMs, writtenMs] = await Promise.all([
    firstOf(survivors, isNamed, startMs),
    firstOf(survivors, isWritten, startMs),
  ]);
  into.namedMs.push(namedMs);
  into.writtenMs.push(writtenMs);
  await gone;
  leader.startAgain();
  await leaderOf(group);
}

/** Asks all of them every POLL_MS, whether earlier questions were answered or not, until one says yes; ms since `startMs`. */
function firstOf(
  members: readonly Member[],
  ask: (member: Member, count: number) => Promise<boolean>,
  startMs: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    const ended = (): void => clearInterval(timer);
    const timer = setInterval(() => {
      if (performance.now() - startMs > FAILOVER_MAX_MS) {
        ended();
        reject(new Error(`no failover within ${FAILOVER_MAX_MS} ms`));
      }
      count += 1;
      for (const member of members)
        void ask(member, count).then((isYes) => {
          if (!isYes) return;
          ended();
          resolve(performance.now() - startMs);
        });
    }, POLL_MS);
  });
}

function figuresOf({ starling, etcd }: { readonly starling: Results; readonly etcd: Results }): Figure[] {
  const ms = (name: string, value: number, atMost?: number): Figure => ({
    name,
    value,
    unit: "ms",
    ...(atMost !== undefined && { aim: { atMost } }),
  });
  const failover = (name: string, all: readonly number[], atMost?: number): Figure[] => [
    { ...ms(`${name}, p50`, median(all)), note: `${all.length} kills` },
    ms(`${name}, p99`, percentile(all, 0.99), atMost),
    ms(`${name}, slowest`, Math.max(...all)),
  ];
  const ours = [
    ms("one writer, commit, p50", median(starling.p50Ms)),
    ms("one writer, commit, p99", median(starling.p99Ms)),
    { name: `${WRITERS} writers`, value: median(starling.perSecond), unit: "commits/s" },
    ms(`${WRITERS} writers, commit, p50`, median(starling.manyP50Ms)),
    ...failover("leader killed, until a write is committed", starling.writtenMs, 2 * ELECTION_MS),
    ...failover("leader killed, until another one is named", starling.namedMs),
  ];
  if (etcd.p50Ms.length === 0) return ours;
  const ratio = (name: string, of: (results: Results) => number, aim?: Figure["aim"]): Figure => ({
    name: `${name}, ratio to etcd`,
    value: of(starling) / of(etcd),
    unit: "×",
    ...(aim && { aim }),
  });
  return [
    ratio("one writer, commit p50", ({ p50Ms }) => median(p50Ms), { atMost: 2 }),
    ratio("one writer, commit p99", ({ p99Ms }) => median(p99Ms)),
    ratio(`${WRITERS} writers, commits/s`, ({ perSecond }) => median(perSecond)),
    ...ours,
    ms("etcd, one writer, put, p50", median(etcd.p50Ms)),
    ms("etcd, one writer, put, p99", median(etcd.p99Ms)),
    { name: `etcd, ${WRITERS} writers`, value: median(etcd.perSecond), unit: "commits/s" },
    ms(`etcd, ${WRITERS} writers, put, p50`, median(etcd.manyP50Ms)),
    ...failover("etcd, leader killed, until a write is committed", etcd.writtenMs),
    ...failover("etcd, leader killed, until another one is named", etcd.namedMs),
  ];
}
