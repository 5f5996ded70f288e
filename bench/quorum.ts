import { flag } from "./flags.ts";
import { type Figure, machineLine, percentile, type Report } from "./machine.ts";
import { answers, sleep, until } from "./member.ts";
import { type BenchNode, withNodes } from "./nodes.ts";
import { openLoop } from "./open-loop.ts";

// Question: what do clients of two nodes notice when the three others are killed, and with them the quorum of five voters?
// Peers: itself before, with all five alive and the same load at the same two; twice, for what the machine alone does to the
// figures. And with two of the three killed, which leaves a quorum: on one machine those who are gone leave the others more of
// it, and from there to the loss of the quorum that is one process and not three.
// Run: npm run -s bench -- quorum [--seconds 120]   (of the loss; half of that for each other phase)

const SURVIVORS = ["eu", "us"];
const GONE = ["ap", "sa", "af"];
/** Half PUT, half GET, at both survivors in turn: far from what they can do. */
const REQUESTS_PER_SECOND = 300;
const KEYS = 200;
const WARM_UP_SECONDS = 10;
const CONFIG_EVERY_MS = 2_000;
const CONFIG_TIMEOUT_MS = 1_000;
/** On top of its own time-out, before a change of the configuration counts as hanging. */
const GRACE_MS = 1_000;
/** Until it is known that the leader is gone. */
const ELECTION_MS = 3_000;

/** With what was written meanwhile, on a machine that may be busy with more than this. */
const BACK_MS = 120_000;

type Phase = "before" | "before, again" | "two killed" | "without a quorum" | "after";

interface Changes {
  refused: number;
  /** 504: handed to a leader that is gone, so that nobody can answer for it. When it was asked, ms after the kill. */
  readonly unknownAtMs: number[];
  succeeded: number;
  hanging: number;
  otherwise: number;
}

interface Seen {
  readonly latenciesMs: ReadonlyMap<Phase, readonly number[]>;
  readonly secondsOf: Readonly<Record<Phase, number>>;
  readonly meanwhile: Changes;
  readonly afterwards: Changes;
  readonly backMs: number;
}

export async function run(): Promise<Report> {
  const seconds = flag("seconds", 120);
  const half = Math.ceil(seconds / 2);
  const secondsOf = {
    before: half,
    "before, again": half,
    "two killed": half,
    "without a quorum": seconds,
    after: half,
  };
  const seen = await withNodes([...SURVIVORS, ...GONE], (nodes) => measure(nodes, secondsOf));
  const load = `${REQUESTS_PER_SECOND} requests/s at the two survivors, half PUT, half GET, timed from when each was due`;
  return {
    bench: "quorum",
    question: "what do clients of two nodes notice when three of five voters are killed?",
    machine: machineLine(),
    peers: ["the same two nodes before: all five alive, in two phases, whose ratio is what the machine alone does"],
    method: [
      `five processes on loopback; ${load}`,
      `${half} s and ${half} s before, ${half} s with two killed (SIGKILL), ${seconds} s with three, ${half} s after they are back`,
      "`before` in ratios: both phases; all share one machine, so those who are killed leave the survivors more of it",
    ],
    figures: figuresOf(seen),
  };
}

async function measure(nodes: readonly BenchNode[], secondsOf: Seen["secondsOf"]): Promise<Seen> {
  const of = (names: readonly string[]): BenchNode[] => nodes.filter(({ name }) => names.includes(name));
  const [survivors, gone] = [of(SURVIVORS), of(GONE)];
  const urls = survivors.map(({ url }) => url);
  const load = (seconds: number): Promise<number[]> =>
    openLoop({ urls, perSecond: REQUESTS_PER_SECOND, seconds, keys: KEYS });
  const latenciesMs = new Map<Phase, readonly number[]>();
  const measured = async (phase: Phase): Promise<void> => {
    latenciesMs.set(phase, await load(secondsOf[phase]));
  };
  await until("all five vote", () => isWhole(nodes));
  await load(WARM_UP_SECONDS);
  await measured("before");
  await measured("before, again");
  const [last, ...firstTwo] = gone as [BenchNode, ...BenchNode[]];
  await Promise.all(firstTwo.map((node) => node.kill()));
  await measured("two killed");
  await last.kill();
  const meanwhile = noChanges();
  await Promise.all([
    measured("without a quorum"),
    change(survivors, meanwhile, 1_000 * secondsOf["without a quorum"] - CONFIG_TIMEOUT_MS),
  ]);
  const startMs = performance.now();
  for (const node of gone) node.startAgain();
  for (const { url } of gone) await answers(`${url}/health/ready`, BACK_MS);
  await until("all five vote again", () => isWhole(nodes), BACK_MS);
  const backMs = performance.now() - startMs;
  await measured("after");
  const afterwards = noChanges();
  for (const node of nodes) await changeOnce(node, "after", afterwards);
  return { latenciesMs, secondsOf, meanwhile, afterwards, backMs };
}

function noChanges(): Changes {
  return { refused: 0, unknownAtMs: [], succeeded: 0, hanging: 0, otherwise: 0 };
}

/** Five voters and a leader, as all of them see it. */
async function isWhole(nodes: readonly BenchNode[]): Promise<boolean> {
  const ask = async ({ url }: BenchNode): Promise<boolean> => {
    const response = await fetch(`${url}/cluster/consensus`).catch(() => null); // nobody listens yet
    if (!response?.ok) return false;
    const { leader, voters } = (await response.json()) as { leader: string | null; voters: readonly string[] };
    return leader !== null && voters.length === nodes.length;
  };
  return (await Promise.all(nodes.map(ask))).every(Boolean);
}

/** Asks the survivors for changes of the configuration, by turns. */
async function change(survivors: readonly BenchNode[], into: Changes, forMs: number): Promise<void> {
  const startMs = performance.now();
  await sleep(ELECTION_MS);
  for (; performance.now() < startMs + forMs; await sleep(CONFIG_EVERY_MS))
    await Promise.all(survivors.map((node) => changeOnce(node, "meanwhile", into, startMs)));
}

async function changeOnce({ url }: BenchNode, bucket: string, into: Changes, startMs = 0): Promise<void> {
  const atMs = performance.now() - startMs;
  const init = {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: '{"show":"siblings"}',
    signal: AbortSignal.timeout(CONFIG_TIMEOUT_MS + GRACE_MS),
  };
  // It didn't answer in time, or at all.
  const response = await fetch(`${url}/v1/policies/${bucket}?timeoutMs=${CONFIG_TIMEOUT_MS}`, init).catch(() => null);
  await response?.arrayBuffer();
  if (response === null) into.hanging += 1;
  else if (response.ok) into.succeeded += 1;
  else if (response.status === 503 && Number(response.headers.get("retry-after")) > 0) into.refused += 1;
  else if (response.status === 504) into.unknownAtMs.push(atMs);
  else into.otherwise += 1;
}

// ---- what came of it

function figuresOf({ latenciesMs, secondsOf, meanwhile, afterwards, backMs }: Seen): Figure[] {
  const of = (phase: Phase): readonly number[] => latenciesMs.get(phase) ?? [];
  const answered = (all: readonly number[]): number[] => all.filter(Number.isFinite);
  const perSecond = (...phases: Phase[]): number =>
    phases.reduce((sum, phase) => sum + answered(of(phase)).length, 0) /
    phases.reduce((sum, phase) => sum + secondsOf[phase], 0);
  const ms = (share: number, ...phases: Phase[]): number => percentile(answered(phases.flatMap(of)), share);
  const both: Phase[] = ["before", "before, again"];
  const all: Phase[] = [...both, "two killed", "without a quorum", "after"];
  const ratios = (name: string, phase: Phase, to: Phase[], isAimed: boolean): Figure[] => [
    {
      name: `${name}, answered per second`,
      value: perSecond(phase) / perSecond(...to),
      unit: "×",
      ...(isAimed && { aim: { atLeast: 0.95 } }),
    },
    ...[0.5, 0.99].map((share) => ({
      name: `${name}, p${100 * share}`,
      value: ms(share, phase) / ms(share, ...to),
      unit: "×",
      ...(isAimed && { aim: { atMost: 1.05 } }),
    })),
  ];
  const count = (name: string, value: number, aim?: Figure["aim"]): Figure => ({
    name,
    value,
    unit: "",
    ...(aim && { aim }),
  });
  const { unknownAtMs } = meanwhile;
  return [
    ...ratios("without a quorum to before", "without a quorum", both, true),
    ...ratios("without a quorum to two killed", "without a quorum", ["two killed"], true),
    ...ratios("after to before", "after", both, false),
    ...ratios("noise: before, again to before", "before, again", ["before"], false),
    ...all.flatMap((phase): Figure[] => [
      { name: `${phase}, answered`, value: perSecond(phase), unit: "/s" },
      { name: `${phase}, p50`, value: ms(0.5, phase), unit: "ms" },
      { name: `${phase}, p99`, value: ms(0.99, phase), unit: "ms" },
    ]),
    count("data requests that failed", all.flatMap(of).filter((each) => !Number.isFinite(each)).length, { atMost: 0 }),
    count("changes meanwhile: 503 with Retry-After", meanwhile.refused, { atLeast: 1 }),
    count("changes meanwhile: done", meanwhile.succeeded, { atMost: 0 }),
    count(`changes meanwhile: no answer ${GRACE_MS} ms after their time-out`, meanwhile.hanging, { atMost: 0 }),
    {
      ...count("changes meanwhile: 504, nobody can say", unknownAtMs.length),
      ...(unknownAtMs.length > 0 && {
        note: `the last one asked ${Math.round(Math.max(...unknownAtMs))} ms after the kill`,
      }),
    },
    count("changes meanwhile: another answer", meanwhile.otherwise, { atMost: 0 }),
    { name: "started again, until they are ready and all five vote", value: backMs, unit: "ms" },
    count("changes after, at each of the five: done", afterwards.succeeded, {
      atLeast: SURVIVORS.length + GONE.length,
    }),
  ];
}
