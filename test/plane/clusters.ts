import { expect } from "vitest";
import { present } from "../../src/kernel/assert.ts";
import type { Wish } from "../../src/plane/api.ts";
import type { ControlPlane } from "../../src/plane/plane.ts";
import { SimCluster, type SimClusterOptions } from "../sim/cluster.ts";

// What tests of the control plane do with a simulated cluster.

export const POLICY = {
  kind: "set-policy",
  bucket: "carts",
  policy: { show: "siblings" },
  by: "tester",
  reason: "to see them",
  ifVersion: null,
} as const satisfies Wish;

export function planeOf(cluster: SimCluster, name: string): ControlPlane {
  return present(cluster.member(name).running, `${name} runs`).plane;
}

export function planes(cluster: SimCluster): ControlPlane[] {
  return cluster.names.filter((name) => cluster.member(name).running).map((name) => planeOf(cluster, name));
}

/** All that run name the same leader, which runs. */
export async function elected(cluster: SimCluster, withinMs = 20_000): Promise<string> {
  const leaders = (): (string | null)[] => [...new Set(planes(cluster).map((plane) => plane.status().leader))];
  const isOne = (): boolean => {
    const [leader, ...others] = leaders();
    return others.length === 0 && typeof leader === "string" && cluster.member(leader).running !== null;
  };
  await cluster.until(isOne, withinMs, "a leader");
  return present(leaders()[0], "there is one");
}

/** So many vote, and no change of the group is under way. */
export async function voters(cluster: SimCluster, count: number, withinMs = 60_000): Promise<readonly string[]> {
  const leading = (): ControlPlane | undefined => planes(cluster).find((plane) => plane.status().role === "leader");
  const isSo = (): boolean => {
    const status = leading()?.status();
    return status?.voters.length === count && status.outgoingVoters.length === 0;
  };
  await cluster.until(isSo, withinMs, `${count} voters`);
  return present(leading(), "it was just there").status().voters;
}

/** All that run have the same state. */
export async function alike(cluster: SimCluster, withinMs = 20_000): Promise<void> {
  const hashes = (): (string | null)[] => planes(cluster).map(({ hash }) => hash);
  await cluster.until(() => new Set(hashes()).size === 1 && hashes()[0] !== null, withinMs, "all have the same state");
}

export async function agreed(cluster: SimCluster, name: string, wish: Wish, timeoutMs = 20_000): Promise<void> {
  expect(await planeOf(cluster, name).propose(wish, timeoutMs)).toMatchObject({ ok: true });
}

export async function inCluster(
  seed: number,
  run: (cluster: SimCluster) => Promise<void>,
  options: Omit<SimClusterOptions, "seed"> = {},
): Promise<void> {
  const cluster = new SimCluster({ seed, ...options });
  await cluster.kernel.run(() => run(cluster));
}
