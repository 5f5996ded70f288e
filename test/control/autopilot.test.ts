import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { advise } from "../../src/control/autopilot.ts";
import { ANSWER_MS, type Decision, type Hearsay, LAG_MAX, type Situation, slackOf } from "../../src/control/group.ts";
import { votersFor, votersWanted } from "../../src/control/state.ts";
import { present } from "../../src/kernel/assert.ts";
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

  it("gives a vote back when who should have it died before it came", () => {
    const world = new GroupWorld(three(["n4", "eu"])).settle();
    world.cluster.ok("promote", { member: "n4", to: "voter", instead: "n2" });
    world.kill("n4").settle();
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

// ---- what is promised, whatever gossip says

/** For campaigns: LAW_RUNS=10000. */
const LONG = { timeout: 900_000 };
const REGIONS = ["eu", "us", "ap"] as const;
const hearsay = fc.record({ isAlive: fc.boolean(), ageMs: fc.constantFrom(0, 5_000, 30_000, 100_000, 1_000_000) });
const plan = fc.record({
  founders: fc.array(fc.constantFrom(...REGIONS), { minLength: 1, maxLength: 5 }),
  joiners: fc.array(fc.constantFrom(...REGIONS), { maxLength: 4 }),
  votersMax: fc.constantFrom(3 as const, 5 as const),
  /** Picks who dies, and when; refused where it would truly cost the majority. */
  deaths: fc.array(fc.record({ at: fc.nat(150), who: fc.nat(8) }), { maxLength: 4 }),
  orders: fc.array(
    fc.record({ at: fc.nat(150), who: fc.nat(8), what: fc.constantFrom("drain", "remove", "maintenance") }),
    {
      maxLength: 3,
    },
  ),
  /** Who loses its log and claims a new one, and when. */
  losses: fc.array(fc.record({ at: fc.nat(150), who: fc.nat(8) }), { maxLength: 4 }),
  /** When the founders and joiners claim their first logs; n1 has one from the start. */
  claims: fc.array(fc.nat(60), { minLength: 9, maxLength: 9 }),
  lies: fc.array(fc.array(hearsay, { minLength: 9, maxLength: 9 }), { minLength: 1, maxLength: 6, size: "max" }),
});
type Plan = typeof plan extends fc.Arbitrary<infer P> ? P : never;

function planned({ founders, joiners, votersMax: max }: Plan): GroupWorld {
  const cluster = votersMax(new Cluster().found(...founders), max).ok("set-placement", { minOwners: 1 });
  for (const [i, region] of joiners.entries()) cluster.joinUnclaimed(nodeNamed(`n${founders.length + i + 1}`, region));
  return new GroupWorld(cluster);
}

const hasMajority = (world: GroupWorld): boolean => {
  const { incoming, outgoing } = world.configuration;
  return [incoming, outgoing].every(
    (half) =>
      half.size === 0 || 2 * [...half].filter((id) => world.isAlive(id) && world.isWhole(id)).length > half.size,
  );
};

/** One death or order, unless the truth says that it would end the group: machines do not lie to operators here. */
function disturb(world: GroupWorld, { deaths, orders, losses, claims }: Plan, at: number): void {
  const ids = [...world.cluster.state.members.keys()].sort();
  for (const [i, id] of ids.entries())
    if (at >= (claims[i] ?? 0) && world.cluster.memberOf(id).instance === null) world.cluster.claim(id);
  for (const { who } of losses.filter((one) => one.at === at)) {
    const id = ids[who % ids.length] ?? "";
    const others = world.voters.filter((other) => other !== id && world.isAlive(other) && world.isWhole(other)).length;
    const isOut = !world.voters.includes(id);
    if (world.isAlive(id) && (isOut || 2 * others > world.voters.length)) world.lose(id, 2 + at);
  }
  for (const { who } of deaths.filter((one) => one.at === at)) {
    const id = ids[who % ids.length] ?? "";
    if (id === world.leader || world.dead.has(id)) continue;
    world.kill(id);
    if (!hasMajority(world)) world.dead.delete(id);
  }
  for (const { who, what } of orders.filter((one) => one.at === at)) {
    const id = ids[who % ids.length] ?? "";
    if (what === "drain") world.cluster.try("drain", { member: id });
    else if (what === "remove") world.cluster.try("remove", { member: id, cluster: "birds" });
    else world.cluster.try("maintenance", { member: id, on: true });
  }
}

/** Who has no log, or whom the group still has from before it lost its role, comes in no way. */
function checkLogs({ state, group }: Situation, decision: Decision): void {
  const { incoming, learners } = group.configuration;
  const comes = decision.kind === "command" && decision.command.kind !== "demote" ? [decision.command.member] : [];
  if (decision.kind === "group")
    comes.push(...decision.change.changes.filter(({ kind }) => kind !== "remove").map(({ id }) => id));
  for (const id of comes) {
    const { role, instance } = present(state.members.get(id), "a member comes");
    expect(instance, decision.why).not.toBeNull();
    if (decision.kind === "command" && decision.command.kind === "promote")
      expect(role === "none" && (incoming.has(id) || learners.has(id)), decision.why).toBe(false);
    if (decision.kind === "group") expect(role, decision.why).not.toBe("none");
  }
}

/** What is promised of one advice (autopilot.ts). */
function check(situation: Situation, decision: Decision): void {
  checkLogs(situation, decision);
  const { state, group, nowMs } = situation;
  const now = [...group.configuration.incoming];
  if (decision.kind === "group") {
    const { changes } = decision.change;
    const comes = changes.filter(({ kind }) => kind === "voter").map(({ id }) => id);
    const after = [...now.filter((id) => !changes.some((change) => change.id === id)), ...comes];
    expect(comes.length).toBeLessThanOrEqual(1);
    expect(now.filter((id) => !after.includes(id)).length).toBeLessThanOrEqual(1);
    if (comes.length === 0 && after.length === now.length) return;
    expect(slackOf(group, now, nowMs)).toBeGreaterThanOrEqual(0);
    expect(slackOf(group, after, nowMs)).toBeGreaterThanOrEqual(0);
  }
  if (decision.kind !== "command" || !state.autopilot.on) return;
  const { member, ...rest } = decision.command;
  const goes = rest.kind === "promote" ? rest.instead : rest.kind === "demote" ? member : null;
  const comes = rest.kind === "promote" && rest.to === "voter" ? [member] : [];
  const after = [...now.filter((id) => id !== goes), ...comes];
  const nodes = [...state.members.values()].filter((one) => one.state !== "draining").length;
  const enough = (votersFor(nodes, state.autopilot.votersMax) - 1) / 2;
  if (goes !== null || comes.length > 0)
    expect(slackOf(group, after, nowMs)).toBeGreaterThanOrEqual(Math.min(slackOf(group, now, nowMs), enough));
  if (goes !== null && decision.why.includes("is dead")) {
    const heardAtMs = group.followers.get(goes)?.heardAtMs ?? group.leaderSinceMs;
    expect(nowMs - heardAtMs).toBeGreaterThanOrEqual(state.autopilot.deadAfterMs);
  }
}

describe("autopilot, whatever gossip says", () => {
  it("keeps a majority of voters that live, changes one at a time, and replaces nobody who answers", LONG, () => {
    let changes = 0;
    fc.assert(
      fc.property(plan, (some) => {
        const world = planned(some);
        for (let at = 0; at < 150; at++) {
          disturb(world, some, at);
          const lies = some.lies[at % some.lies.length] ?? [];
          const ids = [...world.cluster.state.members.keys()].sort();
          const rumours = new Map(
            ids.map((id, i) => [
              id,
              { isAlive: lies[i]?.isAlive ?? true, sinceMs: world.nowMs - (lies[i]?.ageMs ?? 0) },
            ]),
          );
          // As `step` does it, looked at from outside.
          const before = world.configuration;
          const decision = world.step(rumours);
          if (decision.kind === "group") changes += 1;
          check({ ...world.lastSituation }, decision);
          expect(hasMajority(world), `${decision.kind}: ${decision.why}`).toBe(true);
          expect(before.incoming.size).toBeLessThanOrEqual(6);
        }
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 150) },
    );
    expect(changes).toBeGreaterThan(100);
  });

  it("comes to rest, also when members are drained, removed and maintained meanwhile", LONG, () => {
    fc.assert(
      fc.property(plan, (some) => {
        const world = planned(some);
        for (let at = 0; at < 150; at++) {
          disturb(world, some, at);
          world.step();
        }
        world.settle(1_000);
        expect(hasMajority(world)).toBe(true);
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 60) },
    );
  });

  it("comes to the right number of living voters, spread over the regions, once gossip tells the truth", LONG, () => {
    fc.assert(
      fc.property(plan, (some) => {
        const world = planned({ ...some, orders: [] });
        for (let at = 0; at < 150; at++) {
          disturb(world, { ...some, orders: [] }, at);
          world.step();
        }
        world.settle(1_000);
        const { state } = world.cluster;
        const living = [...state.members.keys()].filter((id) => world.isAlive(id));
        const target = votersFor(state.members.size, some.votersMax);
        expect(world.voters).toEqual(votersWanted(state));
        if (living.length < target) return;
        expect(world.voters.filter((id) => world.isAlive(id))).toHaveLength(target);
        const regions = new Set(living.map((id) => state.members.get(id)?.region)).size;
        expect(new Set(regionsOf(world)).size).toBe(Math.min(regions, target));
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 60) },
    );
  });
});
