import { followRoles } from "./follow-roles.ts";
import {
  answers,
  type Decision,
  isLevel,
  type MemberCommand,
  roleIn,
  type Situation,
  silentMs,
  slackOf,
} from "./group.ts";
import type { Member } from "./schemas.ts";
import { rankedBySpread } from "./spread.ts";
import { sorted, votersFor, votersWanted } from "./state.ts";

// Who votes (after Consul's autopilot): the leader asks this now and then, and carries out the one step it gets. It first
// brings the Raft group to the committed roles, then ends joins, then, if it is switched on, chooses better roles.
//
// Gossip is hearsay (I11): it picks among candidates and may hold a step back. What is promised whatever it says, as long as
// who answered Raft's leader within ANSWER_MS is alive:
// - a voter that answers is never replaced as dead;
// - a change of the group is proposed only while a majority of its voters answers, and a majority of those after it does;
// - a chosen role lets at most one voter come and one go, and never lets the voters that answer tolerate fewer failures
//   than before (or than the number of voters that this number of nodes should have tolerates at its best);
// - nobody gets a role whose log isn't known (no instance), or while the group still has it from before it lost its role: its
//   log may have been lost with it.

/** Members that listen to the log without voting, ready to take over: more are let go. */
const STANDBY_MAX = 2;

export function advise(situation: Situation): Decision {
  const { state, group } = situation;
  if (group.configuration.outgoing.size > 0) return nothing("a change of the group is under way");
  const step = followRoles(situation);
  if (step) return step;
  if (!state.autopilot.on) return nothing("autopilot is off: roles change by command only");
  const waits = waitingFor(situation);
  return replaceDead(situation) ?? (waits ? nothing(waits) : (chooseRoles(situation) ?? nothing(calm(situation))));
}

function chooseRoles(situation: Situation): Decision | null {
  return replaceDraining(situation) ?? changeNumber(situation) ?? spread(situation) ?? release(situation);
}

// ---- voters that have to go

function replaceDead(situation: Situation): Decision | null {
  const { state, group, nowMs } = situation;
  const { incoming } = group.configuration;
  const allDead = wanted(situation).filter((member) => isDead(situation, member));
  const dead = allDead.find(({ id }) => !incoming.has(id)) ?? allDead[0];
  if (!dead) return null;
  const seconds = Math.floor(silentMs(group, dead.id, nowMs) / 1000);
  const cause = `voter ${dead.id} is dead (silent for ${seconds} s, ${Math.floor(state.autopilot.deadAfterMs / 1000)} s are the limit)`;
  const step = replace(situation, dead, cause);
  if (step) return step;
  // It died before it came: the group is as it was.
  if (!incoming.has(dead.id) && wanted(situation).length > 1)
    return demote(situation, dead.id, `${cause} and never came to vote: it no longer shall`);
  return nothing(`${cause}, but nobody can take its place`);
}

/** Raft's leader hears nothing from it, and gossip doesn't contradict. Maintenance is silence that was announced. */
function isDead({ state, group, hearsay, nowMs }: Situation, { id, state: its }: Readonly<Member>): boolean {
  const { deadAfterMs } = state.autopilot;
  const told = hearsay.get(id) ?? { isAlive: false, sinceMs: group.leaderSinceMs };
  return (
    its !== "maintenance" &&
    !answers(group, id, nowMs) &&
    silentMs(group, id, nowMs) >= deadAfterMs &&
    !told.isAlive &&
    nowMs - told.sinceMs >= deadAfterMs
  );
}

function replaceDraining(situation: Situation): Decision | null {
  const leaver = wanted(situation).find(({ state }) => state === "draining");
  return leaver ? replace(situation, leaver, `voter ${leaver.id} drains`) : null;
}

/** By the best candidate that is ready, else a step on somebody's way to be one; null when there is nobody. */
function replace(situation: Situation, out: Readonly<Member>, cause: string): Decision | null {
  const [best] = ranked(situation, ready(situation), out.id);
  if (!best) return prepare(situation, cause, out.id);
  if (!keepsSlack(situation, best.id, out.id))
    return nothing(`${cause}: ${best.id} can't take its place before more voters answer`);
  return promote(situation, best.id, out.id, `${cause}: ${best.id} is well and has caught up, and votes instead`);
}

// ---- how many vote, and where

function changeNumber(situation: Situation): Decision | null {
  const { state } = situation;
  const voters = wanted(situation);
  const nodes = [...state.members.values()].filter((member) => member.state !== "draining").length;
  const target = votersFor(nodes, state.autopilot.votersMax);
  if (voters.length > target) return shrink(situation, voters, target);
  if (voters.length === target) return null;
  const cause = `${nodes} nodes should have ${target} voters and have ${voters.length}`;
  const candidates = ranked(situation, ready(situation));
  const [best] = candidates;
  // An even number tolerates no more than the odd one below it: from an odd one, two must be ready to come.
  const needed = voters.length % 2 === 1 ? 2 : 1;
  if (!best || candidates.length < needed) return prepare(situation, cause);
  if (!keepsSlack(situation, best.id, null)) return nothing(`${cause}: no more come before more voters answer`);
  return promote(situation, best.id, null, `${cause}: ${best.id} is well and has caught up, and votes`);
}

function shrink(situation: Situation, voters: readonly Readonly<Member>[], target: number): Decision | null {
  const { group } = situation;
  const others = voters.filter(({ id }) => id !== group.self);
  const last =
    others.find(({ state }) => state === "draining") ??
    others.find(({ id }) => !answers(group, id, situation.nowMs)) ??
    ranked(situation, others).at(-1);
  if (!last || !keepsSlack(situation, null, last.id, (target - 1) / 2)) return null;
  const why = `${target} voters are enough for these nodes, there are ${voters.length}: ${last.id} no longer votes`;
  return demote(situation, last.id, why);
}

/** Regions first, then zones in a region: where there are two voters more than elsewhere, one goes there. */
function spread(situation: Situation): Decision | null {
  const voters = wanted(situation);
  if (!voters.every(({ id }) => answers(situation.group, id, situation.nowMs))) return null;
  const crowd = voters.filter(({ id }) => id !== situation.group.self);
  for (const one of ranked(situation, eligible(situation)))
    for (const voter of ranked(situation, crowd).reverse()) {
      if (!isBetterSpread(voters, voter, one)) continue;
      const [there, here] = one.region === voter.region ? [zoneOf(one), zoneOf(voter)] : [one.region, voter.region];
      const cause = `${there} has fewer voters than ${here}`;
      if (!isReady(situation, one)) return prepareOne(situation, one, cause);
      if (!keepsSlack(situation, one.id, voter.id)) return null;
      return promote(situation, one.id, voter.id, `${cause}: ${one.id} votes instead of ${voter.id}`);
    }
  return null;
}

function isBetterSpread(voters: readonly Readonly<Member>[], out: Readonly<Member>, one: Readonly<Member>): boolean {
  const isOther = out.region !== one.region;
  const among = isOther ? voters : voters.filter(({ region }) => region === one.region);
  const place = (member: Readonly<Member>): string => (isOther ? member.region : member.zone);
  const inPlaceOf = (member: Readonly<Member>): number =>
    among.filter((voter) => place(voter) === place(member)).length;
  return inPlaceOf(out) - inPlaceOf(one) >= 2;
}

function release(situation: Situation): Decision | null {
  const standby = sorted(situation.state.members).filter(({ role }) => role === "learner");
  // The silent first: who is well would be called back to take their place.
  const silent = standby.find(({ id }) => !answers(situation.group, id, situation.nowMs));
  const spare = standby.length > STANDBY_MAX ? (silent ?? ranked(situation, standby).at(-1)) : undefined;
  const idle = standby.find(({ state }) => state === "draining") ?? spare;
  if (!idle) return null;
  const why = `${idle.id} isn't needed as a candidate: it reads the configuration like any member`;
  return demote(situation, idle.id, why);
}

// ---- candidates

/** Members that may come to vote, and of whom gossip says that they live. Nobody whose log isn't known, and nobody whom the
 *  group has to let go of first: whether it gave its vote away or lost its log with it, the roles don't tell. */
function eligible({ state, group, hearsay }: Situation): Readonly<Member>[] {
  const { incoming, learners } = group.configuration;
  return sorted(state.members).filter(
    ({ id, role, instance, state: its }) =>
      role !== "voter" &&
      instance !== null &&
      (role === "learner" || !(incoming.has(id) || learners.has(id))) &&
      (its === "active" || its === "joining") &&
      hearsay.get(id)?.isAlive === true,
  );
}

function ready(situation: Situation): Readonly<Member>[] {
  return eligible(situation).filter((member) => isReady(situation, member));
}

/** Caught up by Raft's own account, and well for long enough by gossip's. */
function isReady(situation: Situation, member: Readonly<Member>): boolean {
  const { group, nowMs } = situation;
  return (
    group.configuration.learners.has(member.id) &&
    answers(group, member.id, nowMs) &&
    isLevel(group, member.id) &&
    isStable(situation, member)
  );
}

function isStable({ state, hearsay, nowMs }: Situation, { id }: Readonly<Member>): boolean {
  const told = hearsay.get(id);
  return told?.isAlive === true && nowMs - told.sinceMs >= state.autopilot.stabiliseMs;
}

/** The best first. @param without a voter that isn't counted, for it goes */
function ranked(situation: Situation, members: readonly Readonly<Member>[], without?: string): Readonly<Member>[] {
  const voters = wanted(situation).filter(({ id }) => id !== without);
  return rankedBySpread(members, voters);
}

/** One candidate at a time is brought near; who listens already and answers is waited for. */
function prepare(situation: Situation, cause: string, without?: string): Decision | null {
  const { state, group, nowMs } = situation;
  const candidates = ranked(situation, eligible(situation), without);
  const listening = candidates.find(
    (one) =>
      one.role === "learner" &&
      silentMs(group, one.id, nowMs) < state.autopilot.deadAfterMs &&
      !isReady(situation, one),
  );
  const next = listening ?? candidates.find(({ role }) => role === "none");
  return next ? prepareOne(situation, next, cause) : null;
}

function prepareOne(situation: Situation, { id, role }: Readonly<Member>, cause: string): Decision {
  const { state } = situation;
  if (role === "none") {
    const why = `${cause}: ${id} listens to the log, to vote later`;
    return command(situation, { kind: "promote", member: id, to: "learner", instead: null }, why);
  }
  return nothing(`${cause}: waiting until ${id} has caught up and is well for ${state.autopilot.stabiliseMs / 1000} s`);
}

// ---- what they have in common

function wanted({ state }: Situation): Readonly<Member>[] {
  return sorted(state.members).filter(({ role }) => role === "voter");
}

/** The voters that answer tolerate no fewer failures after it, or still `enough`. */
function keepsSlack({ group, nowMs }: Situation, comes: string | null, goes: string | null, enough?: number): boolean {
  const now = [...group.configuration.incoming];
  const then = [...now.filter((id) => id !== goes && id !== comes), ...(comes === null ? [] : [comes])];
  const slack = slackOf(group, now, nowMs);
  const least = enough === undefined ? slack : Math.min(slack, enough);
  return slack >= 0 && slackOf(group, then, nowMs) >= least;
}

/** The group isn't yet what the roles say: nothing else is chosen until it is, but in place of the dead. */
function waitingFor({ state, group }: Situation): string | null {
  const { incoming } = group.configuration;
  const coming = votersWanted(state).filter((id) => !incoming.has(id));
  const going = [...incoming].filter((id) => roleIn(state, id) !== "voter").sort();
  const unclaimed = coming.filter((id) => state.members.get(id)?.instance === null);
  if (unclaimed.length > 0) return `waiting until ${unclaimed.join(", ")} has claimed its log, to vote`;
  if (coming.length > 0) return `waiting until ${coming.join(", ")} has caught up, to vote`;
  return going.length > 0 ? `${going.join(", ")} shall no longer vote, but the others would not be a quorum now` : null;
}

function calm(situation: Situation): string {
  const voters = wanted(situation);
  const regions = new Set(voters.map(({ region }) => region)).size;
  const silent = voters.filter(({ id }) => !answers(situation.group, id, situation.nowMs)).map(({ id }) => id);
  const trouble = silent.length > 0 ? `, no answer from ${silent.join(", ")}` : ", all answer";
  return `${voters.length} voters in ${regions} regions${trouble}: nothing to do`;
}

function zoneOf({ region, zone }: Readonly<Member>): string {
  return `zone ${JSON.stringify(zone)} of ${region}`;
}

function promote(situation: Situation, member: string, instead: string | null, why: string): Decision {
  return command(situation, { kind: "promote", member, to: "voter", instead }, why);
}

function demote(situation: Situation, member: string, why: string): Decision {
  return command(situation, { kind: "demote", member, to: "none" }, why);
}

function command({ state }: Situation, wish: MemberCommand, why: string): Decision {
  return { kind: "command", command: wish, ifVersion: state.version, why };
}

function nothing(why: string): Decision {
  return { kind: "nothing", why };
}
