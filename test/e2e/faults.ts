import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { expect } from "vitest";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { type RealCluster, type RealNode, until } from "./cluster.ts";
import type { MayBeLost } from "./history.ts";
import { Load } from "./load.ts";

/** Rounds of each fault; E2E_FAULT_ROUNDS=10 is the acceptance run. */
export const ROUNDS = Number(process.env.E2E_FAULT_ROUNDS ?? 1);
const SEED = Number(process.env.E2E_FAULT_SEED ?? Date.now() % 1_000_000);
// Where Debian has ip, iptables and mount; not every shell looks there.
process.env.PATH = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
/** Each load has a name of its own, so that rounds can share a cluster. */
let loads = 0;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A fault as the test tells it: called under load; when it returns, everything that it broke is whole again. What it
 *  resolves to is called when the nodes have converged, for claims of its own. */
export type Fault = (round: {
  readonly rng: Rng;
  readonly load: Load;
  readonly number: number;
}) => Promise<void | (() => Promise<void>)>;

/** What the end of a round allows: writes that may be gone, and what to do with a node that stopped by itself. */
type Allowed = { readonly mayBeLost?: MayBeLost; readonly revive?: (node: RealNode) => Promise<void> };

/** Runs a fault under load, again and again, and judges what is there afterwards. */
export async function underLoad(
  name: string,
  cluster: RealCluster,
  fault: Fault,
  allowed: Allowed = {},
): Promise<void> {
  const totals = { acknowledged: 0, unknown: 0, slowestMs: 0 };
  for (let number = 0; number < ROUNDS; number++) {
    const seed = SEED + number;
    try {
      const { history, tookMs } = await oneRound(cluster, { rng: seededRng(seed), number }, fault, allowed);
      totals.acknowledged += history.count("acknowledged");
      totals.unknown += history.count("unknown");
      totals.slowestMs = Math.max(totals.slowestMs, tookMs);
    } catch (error) {
      throw new Error(`${name}, round ${number} (E2E_FAULT_SEED=${seed}): ${String(error)}`, { cause: error });
    }
  }
  console.log(
    `${name}: ${ROUNDS} rounds from seed ${SEED}, ${totals.acknowledged} acknowledged, ${totals.unknown} unknown, ` +
      `equal digests at most ${totals.slowestMs.toFixed(0)} ms after the end`,
  );
}

const OPERATIONS_MIN = 50;

async function oneRound(
  cluster: RealCluster,
  { rng, number }: { rng: Rng; number: number },
  fault: Fault,
  { mayBeLost, revive }: Allowed,
): Promise<{ history: Load["history"]; tookMs: number }> {
  const load = startLoad(cluster, rng);
  let judge: Awaited<ReturnType<Fault>>;
  try {
    await pause(500 + rng.below(1_000));
    // However slow the machine is: a fault that meets no load shows nothing.
    await until("there is a load", async () => load.history.count("acknowledged") > OPERATIONS_MIN, 30_000);
    judge = await fault({ rng, load, number });
    await pause(300);
  } finally {
    await load.stop();
  }
  const stopped = (): RealNode[] => cluster.nodes.filter(({ process }) => process === null);
  let tookMs = await cluster.converged(60_000).catch((error: unknown) => {
    if (revive && stopped().length > 0) return 0;
    throw error;
  });
  if (revive && stopped().length > 0) {
    for (const node of stopped()) await revive(node);
    tookMs = await cluster.converged(60_000);
  }
  expect(stopped().map((node) => node.name)).toEqual([]);
  await expectKept(cluster, load, mayBeLost);
  await judge?.();
  return { history: load.history, tookMs };
}

export function startLoad(cluster: RealCluster, rng: Rng): Load {
  return new Load(cluster, `load${loads++}`, rng.fork());
}

export async function expectKept(cluster: RealCluster, load: Load, mayBeLost?: MayBeLost): Promise<void> {
  for (const node of cluster.nodes) {
    const violations = load.history.violations(await load.shownAt(node), mayBeLost);
    expect(violations, `at ${node.name}`).toEqual([]);
  }
}

export function someNode(cluster: RealCluster, rng: Rng): RealNode {
  return cluster.nodes[rng.below(cluster.nodes.length)] as RealNode;
}

/** Which of these a machine lacks, as a sentence; empty when all is there. */
export function missing(...programs: readonly string[]): string {
  const absent = programs.filter((program) =>
    program.startsWith("/") ? !existsSync(program) : spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0,
  );
  const root = process.getuid?.() === 0 ? [] : ["root"];
  return [...absent, ...root].join(", ");
}
