import { describe, expect, it } from "vitest";
import { advise } from "../../src/control/autopilot.ts";
import { ANSWER_MS, type Decision, type Hearsay, LAG_MAX } from "../../src/control/group.ts";
import { votersWanted } from "../../src/control/state.ts";
import { Cluster, nodeNamed } from "./cluster.ts";
import { GroupWorld } from "./group-world.ts";

const five = (): Cluster => new Cluster("eu", "us", "ap", "eu", "us");
const three = (...more: (readonly [id: string, region: string, zone?: string])[]): Cluster => {
  const cluster = new Cluster("eu", "us", "ap");
  for (const [id, region, zone] of more) cluster.join(nodeNamed(id, region, zone)).ok("activate", { member: id });
  return cluster;
};
const votersMax = (cluster: Cluster, max: 3 | 5, on = true): Cluster =>
  cluster.ok("set-autopilot", { settings: { ...cluster.state.autopilot, votersMax: max, on } });
const regionsOf = ({ cluster, voters }: GroupWorld): string[] =>
  voters.map((id) => cluster.state.members.get(id)?.region ?? "").sort();
const told = ({ decisions }: GroupWorld): string[] =>
  decisions.filter(({ kind }) => kind !== "nothing").map(({ kind, why }) => `${kind}: ${why}`);

describe("autopilot", () => {
  it("makes one voter of one node, and leaves two nodes at one", () => {
    expect(new GroupWorld(new Cluster("eu")).settle().voters).toEqual(["n1"]);
    expect(new GroupWorld(new Cluster("eu").join(nodeNamed("n2"))).settle().voters).toEqual(["n1"]);
  });

  it("makes three voters of three nodes and five of five, over learners that caught up", () => {
    const cluster = new Cluster("eu").join(nodeNamed("n2", "us")).join(nodeNamed("n3", "ap"));
    const world = new GroupWorld(cluster).settle();
    expect(world.voters).toEqual(["n1", "n2", "n3"]);
    cluster.join(nodeNamed("n4", "eu")).join(nodeNamed("n5", "us"));
    expect(world.settle().voters).toEqual(["n1", "n2", "n3", "n4", "n5"]);
    expect(told(world)[0]).toBe("group: n3 listens to the group's log from now on");
  });

  it("never grows to an even number while nobody is there to make it odd", () => {
    const world = new GroupWorld(new Cluster("eu").join(nodeNamed("n2")).join(nodeNamed("n3")));
    world.kill("n3").settle();
    expect(world.voters).toEqual(["n1"]);
    world.dead.clear();
    expect(world.settle().voters).toEqual(["n1", "n2", "n3"]);
  });

  it("spreads voters over regions, then over zones", () => {
    const cluster = votersMax(new Cluster("eu", "eu", "eu"), 3);
    cluster.join(nodeNamed("n4", "us")).join(nodeNamed("n5", "ap"));
    const world = new GroupWorld(cluster).settle();
    expect(regionsOf(world)).toEqual(["ap", "eu", "us"]);
    expect(world.voters).toContain("n1");
    const zoned = votersMax(new Cluster("eu", "eu", "eu"), 3).join(nodeNamed("n4", "eu", "b"));
    expect(new GroupWorld(zoned).settle().voters).toEqual(["n1", "n2", "n4"]);
    expect(told(world).join("\n")).toContain("ap has fewer voters than eu: n5 votes instead of");
  });

  it("replaces a dead voter by one of its region, when it was dead for long enough, and says so", () => {
    const world = new GroupWorld(
      three(["n4", "eu"], ["n5", "ap"]).ok("set-autopilot", {
        settings: { on: true, deadAfterMs: 60_000, stabiliseMs: 10_000, votersMax: 3 },
      }),
    );
    world.settle().kill("n3");
    for (let i = 0; i < 59; i++) world.step();
    expect(world.voters).toContain("n3");
    world.settle();
    expect(world.voters).toEqual(["n1", "n2", "n5"]);
    expect(told(world).filter((line) => line.includes("n3"))).toEqual([
      "command: voter n3 is dead (silent for 63 s, 60 s are the limit): n5 is well and has caught up, and votes instead",
      "group: n5 votes instead of n3",
    ]);
  });

  it("waits for a candidate to be well for long enough by gossip", () => {
    const world = new GroupWorld(three(["n4", "eu"]));
    world.settle().kill("n3");
    const young = (): Map<string, Hearsay> => world.truth().set("n4", { isAlive: true, sinceMs: world.nowMs - 8_000 });
    for (let i = 0; i < 200; i++) world.step(young());
    expect(world.voters).toEqual(["n1", "n2", "n3"]);
    expect(world.decisions.at(-1)?.why).toMatch(/waiting until n4 has caught up and is well for 10 s/);
    expect(world.settle().voters).toEqual(["n1", "n2", "n4"]);
  });

  it("leaves a dead voter where nobody can take its place, and who is in maintenance", () => {
    const world = new GroupWorld(three()).kill("n3");
    world.settle();
    expect(world.voters).toEqual(["n1", "n2", "n3"]);
    expect(world.decisions.at(-1)?.why).toMatch(/n3 is dead .* but nobody can take its place/);
    const cared = new GroupWorld(three(["n4", "eu"]).ok("maintenance", { member: "n3", on: true })).kill("n3");
    expect(cared.settle().voters).toEqual(["n1", "n2", "n3"]);
  });

  it("gives a vote back when who should have it died before it came, to who left the group first", () => {
    const world = new GroupWorld(three(["n4", "eu"])).settle();
    world.cluster.ok("promote", { member: "n4", to: "voter", instead: "n2" });
    world.decisions.length = 0;
    world.kill("n4").settle();
    const ofN2 = told(world).filter((line) => line.includes("n2"));
    expect(ofN2.map((line) => line.split(" ").slice(-4).join(" "))).toEqual([
      "n2 no longer votes",
      "log, to vote later",
      "log from now on",
      "caught up, and votes",
      "caught up and votes",
    ]);
    expect([world.voters, votersWanted(world.cluster.state)]).toEqual([
      ["n1", "n2", "n3"],
      ["n1", "n2", "n3"],
    ]);
  });

  it("takes the vote from who died before it came, where nobody can have it, though others are dead, too", () => {
    const cluster = new Cluster("eu", "eu", "eu", "eu").join(nodeNamed("n5", "us"));
    const world = new GroupWorld(cluster);
    cluster
      .ok("promote", { member: "n4", to: "voter", instead: null })
      .ok("promote", { member: "n5", to: "voter", instead: null });
    world.kill("n2").kill("n4").settle();
    expect([world.voters, votersWanted(cluster.state)]).toEqual([
      ["n1", "n2", "n3", "n5"],
      ["n1", "n2", "n3", "n5"],
    ]);
  });

  it("takes neither who drains nor who is in maintenance for a candidate", () => {
    for (const what of ["drain", "maintenance"] as const) {
      const cluster = three(["n4", "eu"]);
      if (what === "drain") cluster.ok("drain", { member: "n4" });
      else cluster.ok("maintenance", { member: "n4", on: true });
      expect(new GroupWorld(cluster).kill("n3").settle().voters).toEqual(["n1", "n2", "n3"]);
    }
  });

  it("hands leadership over before its node drains, and the vote to another", () => {
    const cluster = three(["n4", "eu"]);
    const world = new GroupWorld(cluster).settle();
    cluster.ok("drain", { member: "n1" });
    world.settle();
    expect([world.leader, world.voters]).toEqual(["n2", ["n2", "n3", "n4"]]);
    expect(told(world)).toContain("transfer: n1 leads and is draining: n2 takes over");
    cluster.ok("leave", { member: "n1", cluster: "birds" });
    expect(world.settle().voters).toEqual(["n2", "n3", "n4"]);
  });

  it("of two nodes lets the only voter go by giving its vote to the other", () => {
    const cluster = new Cluster("eu").join(nodeNamed("n2")).ok("activate", { member: "n2" });
    cluster.ok("set-placement", { minOwners: 1 }).ok("drain", { member: "n1" });
    const world = new GroupWorld(cluster).settle();
    expect([world.leader, world.voters, votersWanted(cluster.state)]).toEqual(["n2", ["n2"], ["n2"]]);
  });

  it("hands leadership over in maintenance, and the vote stays", () => {
    const cluster = three().ok("maintenance", { member: "n1", on: true });
    const world = new GroupWorld(cluster).settle();
    expect([world.leader, world.voters]).toEqual(["n2", ["n1", "n2", "n3"]]);
  });

  it("shrinks from five to three when nodes leave, and takes the removed out of the group", () => {
    const cluster = five();
    const world = new GroupWorld(cluster).settle();
    cluster.ok("remove", { member: "n5", cluster: "birds" });
    world.settle();
    expect(world.voters).toHaveLength(3);
    expect(regionsOf(world)).toEqual(["ap", "eu", "us"]);
    cluster.ok("remove", { member: world.voters[2] ?? "", cluster: "birds" });
    cluster.ok("remove", {
      member: [...cluster.state.members.keys()].find((id) => !world.voters.includes(id)) ?? "",
      cluster: "birds",
    });
    expect(world.settle().voters).toHaveLength(1);
  });

  it("keeps two others listening, and lets further ones go", () => {
    const cluster = three(["n4", "eu"], ["n5", "us"], ["n6", "ap"]);
    votersMax(cluster, 3);
    for (const member of ["n4", "n5", "n6"]) cluster.ok("promote", { member, to: "learner", instead: null });
    const world = new GroupWorld(cluster).settle();
    expect([...world.configuration.learners].sort()).toEqual(["n4", "n5"]);
  });

  it("lets the silent of too many listeners go, not who may be called back", () => {
    const cluster = new Cluster("ap").join(nodeNamed("n2", "eu")).join(nodeNamed("n3", "ap"));
    cluster.join(nodeNamed("n4", "eu")).ok("promote", { member: "n2", to: "learner", instead: null });
    const world = new GroupWorld(cluster).kill("n2").kill("n4").settle();
    expect([world.voters, cluster.memberOf("n3").role]).toEqual([["n1"], "learner"]);
  });

  it("takes founders in as they claim their logs, first who shall vote", () => {
    const cluster = new Cluster().found("eu", "us", "ap", "eu");
    const world = new GroupWorld(cluster);
    world.step();
    expect([world.voters, world.decisions.at(-1)?.why]).toEqual([
      ["n1"],
      "waiting until n2, n3 has claimed its log, to vote",
    ]);
    for (const id of ["n2", "n3", "n4"]) cluster.claim(id);
    expect(world.settle().voters).toEqual(["n1", "n2", "n3"]);
    expect([...world.configuration.learners]).toEqual(["n4"]);
  });

  it("takes who claimed another log out of the group, before it comes back with it", () => {
    const world = new GroupWorld(three()).settle();
    world.decisions.length = 0;
    world.lose("n2", 2).settle();
    expect(world.voters).toEqual(["n1", "n2", "n3"]);
    expect(told(world)).toEqual([
      "group: n2 no longer votes",
      "command: 3 nodes should have 3 voters and have 2: n2 listens to the log, to vote later",
      "group: n2 listens to the group's log from now on",
      "command: 3 nodes should have 3 voters and have 2: n2 is well and has caught up, and votes",
      "group: n2 has caught up and votes",
    ]);
  });

  it("takes who must vote in no group without its log, and chooses nobody who has none", () => {
    const cluster = three().joinUnclaimed(nodeNamed("n4", "eu"));
    const world = new GroupWorld(cluster).kill("n3").settle();
    expect([world.voters, world.decisions.at(-1)?.why]).toEqual([
      ["n1", "n2", "n3"],
      expect.stringContaining("nobody can take its place"),
    ]);
    cluster.claim("n4");
    expect(world.settle().voters).toEqual(["n1", "n2", "n4"]);
  });

  it("gives no role to a log that is another one by the time it would be given", () => {
    const world = new GroupWorld(three(["n4", "eu"])).settle();
    world.kill("n3");
    // It has caught up, and gossip holds the promotion back until now.
    for (let i = 0; i < 80; i++) world.step(world.truth().set("n4", { isAlive: true, sinceMs: world.nowMs }));
    const late = advise(world.situation());
    if (late.kind !== "command" || late.command.kind !== "promote") throw new Error(late.why);
    const { kind, ...fields } = late.command;
    world.cluster.claim("n4", 2);
    expect(world.cluster.try(kind, fields, { ifVersion: late.ifVersion })).toMatchObject({ slug: "version-mismatch" });
    expect(world.cluster.memberOf("n4").role).toBe("none");
  });

  it("when it is off chooses nobody, and still carries out what was committed", () => {
    const cluster = votersMax(three(["n4", "eu"]), 5, false);
    const world = new GroupWorld(cluster).kill("n3").settle();
    expect([world.voters, world.decisions.at(-1)?.why]).toEqual([
      ["n1", "n2", "n3"],
      "autopilot is off: roles change by command only",
    ]);
    cluster.ok("promote", { member: "n4", to: "voter", instead: "n3" });
    expect(world.settle().voters).toEqual(["n1", "n2", "n4"]);
  });

  it("carries out no change that would cost the quorum, and says what it waits for", () => {
    const cluster = three();
    const world = new GroupWorld(cluster).kill("n3");
    for (let i = 0; i < 10; i++) world.step();
    cluster.ok("remove", { member: "n2", cluster: "birds" });
    for (let i = 0; i < 10; i++) world.step();
    expect(world.voters).toEqual(["n1", "n2", "n3"]);
    expect(world.decisions.at(-1)?.why).toBe("n2 shall no longer vote, but the others would not be a quorum now");
  });

  it("does nothing while a change is under way", () => {
    const situation = new GroupWorld(three()).situation();
    const configuration = { ...situation.group.configuration, outgoing: new Set(["n1"]) };
    expect(advise({ ...situation, group: { ...situation.group, configuration } })).toEqual({
      kind: "nothing",
      why: "a change of the group is under way",
    });
  });

  it("counts as caught up who lacks little, as answering who was heard of lately", () => {
    const world = new GroupWorld(three(["n4", "eu"]));
    world.cluster.ok("promote", { member: "n4", to: "voter", instead: "n3" });
    const base = world.situation();
    const configuration = { ...base.group.configuration, learners: new Set(["n4"]) };
    const asked = (match: number, agoMs: number): Decision["kind"] => {
      const followers = new Map(base.group.followers).set("n4", { match, heardAtMs: base.nowMs - agoMs });
      return advise({ ...base, group: { ...base.group, configuration, followers } }).kind;
    };
    const { committed } = base.group;
    expect(asked(committed - LAG_MAX, ANSWER_MS)).toBe("group");
    expect(asked(committed - LAG_MAX - 1, ANSWER_MS)).toBe("nothing");
    expect(asked(committed, ANSWER_MS + 1)).toBe("nothing");
  });
});
