import { expect, it } from "vitest";
import { present } from "../../src/kernel/assert.ts";
import type { ControlPlane } from "../../src/plane/plane.ts";
import { SimCluster } from "../sim/cluster.ts";

// What a real seat in the group knows of members that go: who answers, and when they were heard of.

it("the leader alone knows that too few others answer; everyone knows when a member was last heard of", async () => {
  const cluster = new SimCluster({ seed: 31 });
  const planeOf = (name: string): ControlPlane => present(cluster.member(name).running, "it runs").plane;
  const slugs = (name: string, id: string): string[] =>
    planeOf(name)
      .obstacles("remove", id)
      .map(({ slug }) => slug);
  await cluster.kernel.run(async () => {
    await cluster.startAll();
    const leaders = (): (string | null)[] => [...new Set(cluster.names.map((name) => planeOf(name).status().leader))];
    await cluster.until(() => leaders().length === 1 && leaders()[0] !== null, 20_000, "a leader");
    const leader = present(leaders()[0], "there is one");
    const [gone = "", other = ""] = cluster.names.filter((name) => name !== leader);
    const voters = (): number => planeOf(leader).status().voters.length;
    await cluster.until(() => voters() === 3, 20_000, "three vote");
    // Until the steward has looked, and heard of all since.
    await cluster.kernel.sleep(5_000);
    expect(slugs(leader, other)).toEqual([]);
    const heard = (id: string): number => planeOf(leader).heardAtMs(id) ?? 0;
    const whileAlive = heard(gone);
    cluster.crash(gone);
    await cluster.until(() => slugs(leader, other).includes("would-lose-quorum"), 20_000, "the leader misses it");
    expect(slugs(leader, gone)).toEqual([]);
    expect(slugs(other, leader)).toEqual([]);
    await cluster.kernel.sleep(20_000);
    const last = heard(gone);
    expect(last).toBeGreaterThanOrEqual(whileAlive);
    await cluster.kernel.sleep(20_000);
    expect(Math.abs(heard(gone) - last)).toBeLessThan(100);
    expect(heard(other) - heard(gone)).toBeGreaterThan(20_000);
    expect(planeOf(leader).heardAtMs("nobody")).toBeNull();
  });
});
