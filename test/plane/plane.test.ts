import { describe, expect, it } from "vitest";
import type { Result } from "../../src/control/apply.ts";
import { present } from "../../src/kernel/assert.ts";
import type { SimCluster } from "../sim/cluster.ts";
import { alike, elected, inCluster, POLICY, planeOf, planes, voters } from "./clusters.ts";

async function inThree(seed: number, run: (cluster: SimCluster) => Promise<void>): Promise<void> {
  await inCluster(seed, async (cluster) => {
    await cluster.startAll();
    await voters(cluster, 3);
    await run(cluster);
  });
}

describe("the control plane of a cluster", () => {
  it("takes a command at any node, and applies it at all", () =>
    inThree(1, async (cluster) => {
      await elected(cluster);
      for (const plane of planes(cluster)) expect(plane.status().voters).toEqual([...cluster.names].sort());
      const results: Result[] = [];
      for (const plane of planes(cluster))
        results.push(await plane.propose({ ...POLICY, bucket: `b${results.length}` }, 5_000));
      expect(results.every(({ ok }) => ok)).toBe(true);
      await alike(cluster);
      const [first] = planes(cluster);
      expect([...(first?.state?.policies.keys() ?? [])].sort()).toEqual(["b0", "b1", "b2"]);
    }));

  it("outlives its leader and the restart of each member; nothing acknowledged is lost", () =>
    inThree(2, async (cluster) => {
      let bucket = 0;
      for (let round = 0; round < 3; round++) {
        const leader = await elected(cluster);
        cluster.crash(leader);
        const other = present(
          cluster.names.find((name) => name !== leader),
          "two are left",
        );
        expect(await planeOf(cluster, other).propose({ ...POLICY, bucket: `b${bucket++}` }, 20_000)).toMatchObject({
          ok: true,
        });
        cluster.start(leader);
        await cluster.until(() => cluster.member(leader).running !== null, 20_000, "it is back");
      }
      await elected(cluster);
      await alike(cluster);
      for (const plane of planes(cluster)) expect(plane.state?.policies.size).toBe(3);
    }));

  it("decides nothing without a quorum, says that it may be asked again, and no data waits for it", () =>
    inThree(3, async (cluster) => {
      const leader = await elected(cluster);
      const [gone, alsoGone] = cluster.names.filter((name) => name !== leader);
      for (const name of [gone, alsoGone]) cluster.crash(name ?? "");
      await cluster.kernel.sleep(5_000);
      await expect(planeOf(cluster, leader).propose(POLICY, 3_000)).rejects.toMatchObject({ slug: "no-leader" });
      const put = await cluster.request(leader, { method: "PUT", path: "/v1/kv/b/k", body: "v" });
      expect(put.status).toBe(204);
      await cluster.startAll();
      await elected(cluster);
      expect(await planeOf(cluster, leader).propose(POLICY, 10_000)).toMatchObject({ ok: true });
    }));
});
