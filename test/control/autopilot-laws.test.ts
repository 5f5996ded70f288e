import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Decision, type Situation, slackOf } from "../../src/control/group.ts";
import { votersFor, votersWanted } from "../../src/control/state.ts";
import { present } from "../../src/kernel/assert.ts";
import { Cluster, nodeNamed } from "./cluster.ts";
import { GroupWorld } from "./group-world.ts";

// What autopilot promises, over random groups (the comment at its head).

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
    fc.record({ at: fc.nat(150), who: fc.nat(8), what: fc.constantFrom("drain", "remove", "maintenance", "replace") }),
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
  const cluster = new Cluster().found(...founders).ok("set-placement", { minOwners: 1 });
  cluster.ok("set-autopilot", { settings: { ...cluster.state.autopilot, votersMax: max } });
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

/** By an empty node of the same id. */
function replace(world: GroupWorld, id: string): void {
  const { state } = world.cluster;
  if (!state.members.has(id) || id === world.leader || world.dead.has(id) || votersWanted(state).length === 1) return;
  world.kill(id);
  if (hasMajority(world) && state.members.size > 1) {
    world.cluster.joinUnclaimed(nodeNamed(id, world.cluster.memberOf(id).region), { replace: { id, heardAtMs: 0 } });
    // At once, or later (`claims`).
    if (world.nowMs % 2_000 === 0) world.cluster.claim(id, world.nowMs);
  }
  world.dead.delete(id);
}

/** One death or order, unless the truth says that it would end the group: machines do not lie to operators here. */
function disturb(world: GroupWorld, { deaths, orders, losses, claims }: Plan, at: number): void {
  const ids = [...world.cluster.state.members.keys()].sort();
  for (const [i, id] of ids.entries())
    if (at >= (claims[i] ?? 0) && world.cluster.memberOf(id).instance === null) world.cluster.claim(id, 1 + at);
  for (const { who } of losses.filter((one) => one.at === at)) {
    const id = ids[who % ids.length] ?? "";
    const others = world.voters.filter((other) => other !== id && world.isAlive(other) && world.isWhole(other)).length;
    const isOut = !world.voters.includes(id);
    if (world.isAlive(id) && (isOut || 2 * others > world.voters.length)) world.lose(id, 1_000 + at);
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
    else if (what === "replace") replace(world, id);
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

/** Whoever would take part in the group, by its role and its log, has the log that the group took in. */
function checkSeats(world: GroupWorld): void {
  const { incoming, outgoing, learners } = world.configuration;
  for (const id of new Set([...incoming, ...outgoing, ...learners])) {
    const member = world.cluster.state.members.get(id);
    if (member && member.role !== "none" && member.instance !== null) expect(world.isWhole(id), id).toBe(true);
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
    let [changes, repaired] = [0, 0];
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
          checkSeats(world);
          const before = world.configuration;
          const lost = before.incoming.size - world.voters.filter((id) => world.isWhole(id)).length;
          const decision = world.step(rumours);
          if (decision.kind === "group") changes += 1;
          check({ ...world.lastSituation }, decision);
          checkSeats(world);
          expect(hasMajority(world), `${decision.kind}: ${decision.why}`).toBe(true);
          if (lost > 0 && world.voters.every((id) => world.isWhole(id))) repaired += 1;
          expect(before.incoming.size).toBeLessThanOrEqual(6);
        }
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 150) },
    );
    expect(changes).toBeGreaterThan(100);
    expect(repaired).toBeGreaterThan(20);
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
        expect(new Set(world.voters.map((id) => state.members.get(id)?.region)).size).toBe(Math.min(regions, target));
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 60) },
    );
  });
});
