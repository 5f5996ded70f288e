import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { RaftHost } from "../../src/consensus/driver/host.ts";
import { OutcomeUnknown, RaftRefusal } from "../../src/consensus/driver/refusal.ts";
import { RAFT_SETTINGS } from "../../src/consensus/driver/settings.ts";
import { present } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { makeRealWorld } from "../../src/world/real.ts";
import type { Address, Log } from "../../src/world/world.ts";
import { wait } from "../../src/world/world-claims.test-kit.ts";
import { INSTANCE, Ledger, type Member, startMember } from "./members.ts";

const silentLog: Log = { info() {}, warn() {}, error() {}, debug() {}, child: () => silentLog };
const world = makeRealWorld({ log: silentLog });
const NAMES = ["n1", "n2", "n3"];

const made: string[] = [];
const running = new Map<string, Member>();
const addresses = new Map<string, Address>();

afterEach(async () => {
  for (const member of running.values()) await member.stop();
  running.clear();
  addresses.clear();
  for (const dataDir of made.splice(0)) await rm(dataDir, { recursive: true, force: true });
});

async function newDir(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), "starling-group-"));
  made.push(dataDir);
  return dataDir;
}

async function start(node: string, dataDir: string): Promise<Member> {
  const member = await startMember({
    node,
    world,
    bind: { host: "127.0.0.1", port: 0 },
    dataDir,
    settings: { tickMs: 20, compactEntries: 20 },
    addressOf: (peer) => addresses.get(peer) ?? null,
  });
  addresses.set(node, member.listener.local);
  running.set(node, member);
  return member;
}

async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await wait(world, 5);
}

/** Proposes, again if it was refused for now; false when nobody can say what became of it. */
async function say(member: Member, word: string): Promise<boolean> {
  for (;;) {
    try {
      await member.host.propose(utf8(word), 3_000);
      return true;
    } catch (error) {
      if (error instanceof OutcomeUnknown) return false;
      if (!(error instanceof RaftRefusal) || error.retryAfterMs === null) throw error;
      await wait(world, 20);
    }
  }
}

/** Waits until a leader knows that this member has all; returns its term. What was not acknowledged to it nobody can miss. */
async function countedAt(victim: string): Promise<number> {
  let term = 0;
  await until(() => {
    for (const { host } of running.values()) {
      const { role, followers, indexes, term: its } = host.status();
      const hasAll = followers.some(({ node, match }) => node === victim && match === indexes.last);
      if (role === "leader" && hasAll) term = its;
    }
    return term > 0;
  });
  return term;
}

const at = (name: string): Member => present(running.get(name), `${name} runs`);

describe("three members on this machine", () => {
  it("agree over TCP and SQLite, while one after another is stopped and started again", async () => {
    const dirs = new Map<string, string>();
    for (const name of NAMES) dirs.set(name, await newDir());
    for (const name of NAMES)
      await (await start(name, dirs.get(name) ?? "")).host.found(NAMES, utf8("first"), INSTANCE);
    const acknowledged: string[] = [];
    const sayTo = async (name: string, word: string): Promise<void> => {
      if (await say(at(name), word)) acknowledged.push(word);
    };
    for (let round = 0; round < 6; round++) {
      const name = NAMES[round % 3] ?? "";
      const others = NAMES.filter((other) => other !== name);
      for (let i = 0; i < 5; i++) await sayTo(others[i % 2] ?? "", `${round}.${i} all`);
      await at(name).stop();
      running.delete(name);
      for (let i = 0; i < 5; i++) await sayTo(others[i % 2] ?? "", `${round}.${i} two`);
      const back = await start(name, dirs.get(name) ?? "");
      expect(back.host.status().state).toBe("running");
    }
    await sayTo("n1", "last");
    const index = await at("n2").host.read(5_000);
    expect(at("n2").ledger.index).toBeGreaterThanOrEqual(index - 1);
    await until(() => NAMES.every((name) => at(name).ledger.words.at(-1) === "last"));
    const { words } = at("n1").ledger;
    for (const name of NAMES) expect(at(name).ledger.words).toEqual(words);
    expect(acknowledged.length).toBeGreaterThan(40);
    for (const word of acknowledged) expect(words.filter((other) => other === word)).toHaveLength(1);
    expect(
      at("n1").host.status().figures.snapshotsTaken + at("n2").host.status().figures.snapshotsTaken,
    ).toBeGreaterThan(0);
    for (const name of NAMES) expect(at(name).failures).toEqual([]);
  }, 60_000);
});

describe("a member whose directory is an older copy", () => {
  it("is found out, and stays so when it starts again, until its log is begun anew; the others go on", async () => {
    const dirs = new Map<string, string>();
    for (const name of NAMES) dirs.set(name, await newDir());
    for (const name of NAMES)
      await (await start(name, dirs.get(name) ?? "")).host.found(NAMES, utf8("first"), INSTANCE);
    const end = async (name: string): Promise<void> => {
      await at(name).stop();
      running.delete(name);
    };
    await say(at("n1"), "before");
    const leads = (): string => at("n1").host.status().leader ?? at("n2").host.status().leader ?? "";
    const dirOf = (name: string): string => dirs.get(name) ?? "";
    let victim = "";
    // Only the leader that counted what is lost knows of it: on a busy machine it may be another one by then.
    for (let isFound = false; !isFound; ) {
      await until(() => leads() !== "");
      victim = NAMES.find((name) => name !== leads() && name !== "n1") ?? "";
      await end(victim);
      const copy = await newDir();
      await cp(dirOf(victim), copy, { recursive: true });
      await start(victim, dirOf(victim));
      for (let i = 0; i < 5; i++) await say(at("n1"), `after it ${i}`);
      const term = await countedAt(victim);
      await end(victim);
      await cp(copy, dirOf(victim), { recursive: true, force: true });
      const { host, ledger } = await start(victim, dirOf(victim));
      await until(() => host.status().state !== "running" || ledger.words.length === at("n1").ledger.words.length);
      isFound = host.status().state === "damaged";
      if (!isFound) expect(host.status().term).toBeGreaterThan(term);
    }
    expect(at(victim).host.status().reason).toMatch(/an older copy of its data directory was put back/);
    await expect(at(victim).host.propose(utf8("x"), 100)).rejects.toMatchObject({ slug: "raft-not-running" });
    expect(await say(at("n1"), "without it")).toBe(true);
    const { failures } = at(victim);
    await end(victim);
    const { host } = await start(victim, dirOf(victim));
    expect(host.status()).toMatchObject({ state: "damaged", reason: expect.stringMatching(/an older copy/) });
    await host.renew("1".repeat(32));
    expect(host.status()).toMatchObject({ state: "running", instance: "1".repeat(32), indexes: { last: 0 } });
    expect([failures, at("n1").failures]).toEqual([[], []]);
  }, 60_000);
});

describe("a member whose file is damaged", () => {
  it("is as it was, or refuses to take part, whichever of 50 bytes was flipped", async () => {
    const dataDir = await newDir();
    const member = await start("n1", dataDir);
    await member.host.found(["n1"], utf8("first"), INSTANCE);
    for (let i = 0; i < 30; i++) await say(member, `word ${i} ${"x".repeat(100)}`);
    const { words } = member.ledger;
    await member.stop();
    running.delete("n1");
    const file = (await readdir(dataDir)).find((name) => name === "consensus.sqlite") ?? "";
    const bytes = await readFile(join(dataDir, file));
    const rng = seededRng(5);
    let refused = 0;
    for (let i = 0; i < 50; i++) {
      const copy = await newDir();
      const flipped = new Uint8Array(bytes);
      const place = rng.below(bytes.length);
      flipped[place] = (flipped[place] as number) ^ (1 << rng.below(8));
      await writeFile(join(copy, file), flipped);
      const found = await stateIn(copy);
      if (Array.isArray(found)) expect(found, `byte ${place}`).toEqual(words);
      else expect(found, `byte ${place}`).toMatch(/.{30,}/);
      if (!Array.isArray(found)) refused += 1;
    }
    expect(refused).toBeGreaterThan(5);
  }, 60_000);
});

/** What a host makes of a directory: the words, or the sentence with which it refuses. */
async function stateIn(dataDir: string): Promise<string[] | string> {
  const machine = new Ledger();
  try {
    const host = await RaftHost.open({
      world,
      identity: { cluster: "c-1", node: "n1" },
      store: await world.disk.openRaftStore(dataDir),
      machine,
      settings: { ...RAFT_SETTINGS, tickMs: 20 },
      send: () => {},
      allow: () => true,
      mayTakePart: () => true,
      onFailure: () => {},
    });
    try {
      if (host.status().state === "damaged") return host.status().reason ?? "";
      await host.propose(utf8("more"), 5_000);
      return machine.words.slice(0, -1);
    } finally {
      await host.stop();
    }
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
