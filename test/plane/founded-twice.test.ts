import { expect, it } from "vitest";
import type { Config } from "../../src/config/types.ts";
import { present } from "../../src/kernel/assert.ts";
import { parseNodeId } from "../../src/kernel/ids.ts";
import type { SimCluster } from "../sim/cluster.ts";
import { agreed, alike, inCluster, POLICY, planeOf, planes, voters } from "./clusters.ts";
import { joinWish, tokenWish } from "./joining.ts";

// `eu` has no seeds and founds alone, with an id and a salt that its configuration brings back after its directory was emptied.

const ALONE = (config: Config, name: string): Config => {
  const owners = [{ id: parseNodeId("eu"), region: config.node.region }];
  const alone = { ...config.cluster, seeds: [], owners, start: { kind: "alone" } } as const;
  const joined = { ...config.cluster, owners: [], start: { kind: "joined" } } as const;
  return { ...config, cluster: name === "eu" ? alone : joined };
};

async function foundedAndJoined(cluster: SimCluster): Promise<void> {
  cluster.start("eu");
  await cluster.until(() => planes(cluster)[0]?.state != null, 20_000, "it founded");
  const wallMs = Math.floor(present(cluster.member("eu").node, "it runs").world.clock.wallMs());
  await agreed(cluster, "eu", tokenWish(cluster, 9, wallMs));
  for (const name of ["us", "ap"]) {
    await agreed(cluster, "eu", joinWish(cluster, { name, region: name, replace: null }));
    cluster.start(name);
    const isActive = (): boolean => planeOf(cluster, "eu").state?.members.get(name)?.state === "active";
    await cluster.until(isActive, 120_000, `${name} is active`);
  }
  await voters(cluster, 3, 120_000);
  await agreed(cluster, "eu", POLICY);
  await alike(cluster);
}

it.each([0, 40])(
  "a founder that was emptied and founds anew, alone for %i changes, takes nobody along, and comes back",
  (changes) =>
    inCluster(
      77,
      async (cluster) => {
        await foundedAndJoined(cluster);
        cluster.crash("eu");
        cluster.wipe("eu");
        if (changes > 0) cluster.cutNode("eu");
        cluster.start("eu");
        await cluster.until(() => cluster.member("eu").running !== null, 20_000, "it is up");
        await cluster.kernel.sleep(10_000);
        for (let i = 0; i < changes; i++) await agreed(cluster, "eu", { ...POLICY, bucket: `b${i}` });
        cluster.heal();
        await cluster.kernel.sleep(5_000);
        for (const name of ["us", "ap"]) expect(cluster.isAlive(name)).toBe(true);
        await voters(cluster, 3, 180_000);
        await alike(cluster, 60_000);
        expect(planes(cluster)).toHaveLength(3);
        for (const plane of planes(cluster)) {
          expect([...(plane.state?.members.keys() ?? [])].sort()).toEqual(["ap", "eu", "us"]);
          expect([...(plane.state?.policies.keys() ?? [])]).toEqual(["carts"]);
        }
      },
      { config: ALONE },
    ),
);
