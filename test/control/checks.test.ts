import { describe, expect, it } from "vitest";
import { type Going, obstaclesTo } from "../../src/control/checks.ts";
import { ANSWER_MS, slackOf } from "../../src/control/group.ts";
import { Cluster, nodeNamed } from "./cluster.ts";
import { GroupWorld } from "./group-world.ts";

const slugs = (cluster: Cluster, going: Going, id: string, world?: GroupWorld): string[] =>
  obstaclesTo(going, cluster.state, id, world ? { group: world.view(), nowMs: world.nowMs } : null).map(
    ({ slug }) => slug,
  );
const four = (): Cluster => new Cluster("eu", "us", "ap", "eu");

describe("may a member go", () => {
  it("yes, of four, in every way", () => {
    for (const going of ["drain", "decommission", "leave", "remove"] as const)
      expect(slugs(four(), going, "n4", new GroupWorld(four()))).toEqual([]);
  });

  it("all that speaks against it is told, the gravest first", () => {
    const alone = new Cluster("eu");
    expect(slugs(alone, "leave", "n1")).toEqual(["last-node", "last-voter", "too-few-copies"]);
    expect(slugs(alone, "remove", "n1")).toEqual(["last-node", "last-voter"]);
    expect(slugs(alone, "drain", "n1")).toEqual(["last-node", "too-few-copies"]);
  });

  it("not when too few copies would stay; but who owns nothing takes no copy along", () => {
    const three = new Cluster("eu", "us", "ap");
    expect(slugs(three, "drain", "n3")).toEqual(["too-few-copies"]);
    expect(slugs(three.join(nodeNamed("n4")), "drain", "n3")).toEqual(["too-few-copies"]);
    expect(slugs(three, "leave", "n4")).toEqual([]);
    expect(slugs(three.ok("activate", { member: "n4" }), "drain", "n3")).toEqual([]);
    three.ok("maintenance", { member: "n4", on: true });
    expect(slugs(three, "drain", "n3")).toEqual([]);
    three.ok("drain", { member: "n4" });
    expect([slugs(three, "drain", "n3"), slugs(three, "leave", "n4")]).toEqual([["too-few-copies"], []]);
  });

  it("not when the other voters that answer are no quorum", () => {
    const world = new GroupWorld(four());
    world.step();
    expect(slugs(world.cluster, "drain", "n2", world)).toEqual([]);
    world.kill("n3");
    expect(slugs(world.cluster, "drain", "n2", world)).toEqual(["would-lose-quorum"]);
    expect(slugs(world.cluster, "remove", "n2", world)).toEqual(["would-lose-quorum"]);
    const [obstacle] = obstaclesTo("drain", world.cluster.state, "n2", { group: world.view(), nowMs: world.nowMs });
    expect(obstacle?.message).toMatch(/without n2 too few of the voters n1, n3 answer/);
    // The dead one itself may go, and who has no vote.
    expect(slugs(world.cluster, "remove", "n3", world)).toEqual([]);
    expect(slugs(world.cluster, "drain", "n4", world)).toEqual([]);
  });
});

describe("how many failures voters tolerate", () => {
  it("counts who answers, and the leader itself", () => {
    const world = new GroupWorld(new Cluster("eu", "us", "ap", "eu", "us"));
    const slack = (ids: readonly string[] = world.voters): number => slackOf(world.view(), ids, world.nowMs);
    world.step();
    expect([slack(), slack(["n1"]), slack(["n1", "n2"]), slack(["n1", "n2", "n3"])]).toEqual([2, 0, 0, 1]);
    world.kill("n2").kill("n3");
    expect(slack()).toBe(0);
    expect(world.kill("n4") && slack()).toBe(-1);
    world.nowMs += ANSWER_MS + 1;
    expect(slack(["n1"])).toBe(0);
    expect(slack(["n5"])).toBe(-1);
  });
});
