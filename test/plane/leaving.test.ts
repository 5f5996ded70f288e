import { describe, expect, it } from "vitest";
import type { Wish } from "../../src/plane/api.ts";
import { agreed, elected, inCluster, POLICY, planeOf, planes, voters } from "./clusters.ts";

// Who goes is needed in the Raft group until that has let go of it: of two voters, one can't decide that alone.

const BY = { by: "tester", reason: null, ifVersion: null } as const;
const FOUR = ["eu", "us", "ap", "sa"].map((name) => ({ name, region: name }));
const autopilot = (on: boolean): Wish => ({
  kind: "set-autopilot",
  settings: { on, deadAfterMs: 120_000, stabiliseMs: 60_000, votersMax: 3 },
  ...BY,
});

describe("a member that goes", () => {
  it("is let go of by the Raft group before it leaves", () =>
    inCluster(
      41,
      async (cluster) => {
        await cluster.startAll();
        const name = (await voters(cluster, 3))[0] ?? "";
        const other = cluster.names.find((one) => one !== name) ?? "";
        // Nobody is well for long enough to take its place by the time that it has handed over.
        await agreed(cluster, other, autopilot(true));
        await agreed(cluster, other, { kind: "drain", member: name, ...BY });
        const isMember = (): boolean => planeOf(cluster, other).state?.members.has(name) === true;
        const group = (): readonly string[] =>
          planes(cluster)
            .find((plane) => plane.status().role === "leader")
            ?.status().voters ?? [];
        let last = group();
        await cluster.until(
          () => {
            if (isMember()) last = group();
            return !isMember();
          },
          240_000,
          "it has left",
        );
        expect(last).not.toContain(name);
        await cluster.until(() => !cluster.isAlive(name), 30_000, "it has stopped");
        expect(cluster.member(name).failure).toBeNull();
      },
      { nodes: FOUR },
    ));

  it("by force, being one of two voters, is needed until the other one votes alone", () =>
    inCluster(42, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      const leader = await elected(cluster);
      const [out = "", removed = ""] = cluster.names.filter((name) => name !== leader);
      await agreed(cluster, leader, autopilot(false));
      await agreed(cluster, leader, { kind: "demote", member: out, to: "none", ...BY });
      await voters(cluster, 2);
      await agreed(cluster, leader, { kind: "remove", member: removed, cluster: "test", ...BY });
      await cluster.until(() => !cluster.isAlive(removed), 60_000, "it has stopped");
      await agreed(cluster, leader, { ...POLICY, bucket: "after" });
      expect(planeOf(cluster, leader).status().voters).toEqual([leader]);
    }));

  it("is refused by force where the others could not decide that", () =>
    inCluster(43, async (cluster) => {
      await cluster.startAll();
      await voters(cluster, 3);
      const leader = await elected(cluster);
      const [out = "", other = ""] = cluster.names.filter((name) => name !== leader);
      await agreed(cluster, leader, autopilot(false));
      await agreed(cluster, leader, { kind: "demote", member: out, to: "none", ...BY });
      await voters(cluster, 2);
      await cluster.kernel.sleep(3_000);
      const slugs = planeOf(cluster, leader)
        .obstacles("remove", other)
        .map(({ slug }) => slug);
      expect(slugs).toContain("would-lose-quorum");
    }));
});
