import { present } from "../kernel/assert.ts";
import { compareText, fromHex } from "../kernel/bytes.ts";
import { equalMacs } from "../kernel/mac.ts";
import { type Going, obstaclesTo } from "./checks.ts";
import type { CommandOf } from "./commands.ts";
import { Refusal, refuse } from "./refusals.ts";
import { type JoinToken, MAX, type Member, type NewMember, type Removed } from "./schemas.ts";
import { rankedBySpread } from "./spread.ts";
import {
  AUTOPILOT_DEFAULTS,
  type ControlState,
  type FormerMembers,
  ownersOf,
  sorted,
  votersFor,
  votersWanted,
} from "./state.ts";

// Commands of a cluster's life. Each takes a state and gives the next one, without its version; the same one when there is
// nothing to change; or throws a Refusal.

export function found({ cluster, partitionBits, founders, atMs }: CommandOf<"init">): ControlState {
  let state: ControlState = {
    version: 0,
    cluster,
    founding: founderOf(founders).instance ?? "",
    partitionBits,
    featureLevel: 1,
    members: new Map(),
    removed: { ids: new Map(), floorMs: 0 },
    placement: { kind: "everywhere", minOwners: null },
    buckets: new Map(),
    policies: new Map(),
    joinTokens: new Map(),
    roles: new Map(),
    apiTokens: new Map(),
    keys: new Map(),
    autopilot: AUTOPILOT_DEFAULTS,
  };
  const voters = firstVoters(founders);
  for (const founder of [...founders].sort((a, b) => compareText(a.id, b.id))) {
    if (state.members.has(founder.id))
      refuse("node-exists", `${founder.id} is named twice: each founder has its own id`);
    mayHaveAddresses(state, founder);
    maySpeak(state, founder);
    const role = voters.has(founder.id) ? "voter" : "learner";
    state = withMember(state, { ...founder, ...NEWCOMER, state: "active", role, joinedAtMs: atMs, actorsAfterMs: 0 });
  }
  return state;
}

/** Who writes the group down. */
function founderOf(founders: CommandOf<"init">["founders"]): CommandOf<"init">["founders"][number] {
  const claimed = founders.filter(({ instance }) => instance !== null);
  const [first] = claimed;
  if (!first || claimed.length > 1)
    refuse("bad-founder", `${claimed.length} founders name an instance: exactly one does, who writes the group down`);
  return first;
}

/** Who shall vote first: who writes the group down, which is the group alone until the others claim their logs, and whoever
 *  spreads the votes best. */
function firstVoters(founders: CommandOf<"init">["founders"]): ReadonlySet<string> {
  const voters: NewMember[] = [founderOf(founders)];
  const wanted = votersFor(founders.length, AUTOPILOT_DEFAULTS.votersMax);
  while (voters.length < wanted) {
    const others = founders.filter((founder) => !voters.includes(founder));
    voters.push(present(rankedBySpread(others, voters)[0], "fewer voters are wanted than there are founders"));
  }
  return new Set(voters.map(({ id }) => id));
}

const NEWCOMER = { state: "joining", afterDrain: null } as const;

function join(state: ControlState, command: CommandOf<"join">, version: number): ControlState {
  const { member, replace, atMs, by } = command;
  mustBeCluster(state, command.cluster);
  const token = redeemed(state, command);
  if (state.members.has(member.id) && replace?.id !== member.id)
    refuse(
      "node-exists",
      `${member.id} is a member already: take another id, or say --replace ${member.id} if it is dead`,
    );
  const former = state.removed.ids.get(member.id);
  if (former && replace?.id !== member.id) refuse("node-removed", removedSentence(former));
  if (replace) mayReplace(state, replace, atMs);
  const left =
    replace && state.members.has(replace.id) ? without(state, replace.id, "replaced", { by, atMs }, version) : state;
  mayHaveAddresses(left, member);
  maySpeak(left, member);
  if (left.members.size >= MAX.members) refuse("table-full", `a cluster has at most ${MAX.members} members`);
  // The group may still have whoever had this id before, and its log is another: it waits until the group has let go of it
  // (autopilot.ts). Of ids that are forgotten nobody knows.
  const mayBeInGroup = left.removed.ids.has(member.id) || left.removed.floorMs > 0;
  const isWanted = votersWanted(left).length < votersFor(left.members.size + 1, left.autopilot.votersMax);
  const joinTokens = new Map(left.joinTokens).set(token.token, { ...token, usesLeft: token.usesLeft - 1 });
  return withMember(
    { ...left, joinTokens, removed: forgotten(left.removed, member.id) },
    {
      ...member,
      ...NEWCOMER,
      role: isWanted && !mayBeInGroup ? "learner" : "none",
      instance: null,
      joinedAtMs: atMs,
      actorsAfterMs: left.removed.ids.get(member.id)?.atMs ?? left.removed.floorMs,
    },
  );
}

function removedSentence({ id, how, by }: Removed): string {
  return `${id} was a member and is no longer (${how}, by ${by}): join under another id, or, with empty data, say --replace ${id}`;
}

/** The token it names, if it opens the door. That there is none and that the secret is wrong look the same. */
function redeemed(state: ControlState, { token: id, tokenHash, member, atMs }: CommandOf<"join">): Readonly<JoinToken> {
  const token = state.joinTokens.get(id);
  if (!token || !equalMacs(fromHex(token.hash), fromHex(tokenHash)))
    refuse("bad-token", "no such join token: make one with `starling token create --join` on a member");
  if (token.expiresAtMs <= atMs) refuse("token-expired", `join token ${id} has expired: make a new one on a member`);
  if (token.usesLeft === 0)
    refuse("token-used", `join token ${id} is used up: make a new one for each node that joins`);
  if (token.region !== null && token.region !== member.region)
    refuse(
      "token-region",
      `join token ${id} is for region ${token.region}, the node says ${member.region}: make another`,
    );
  return token;
}

function mayReplace(state: ControlState, { id, heardAtMs }: { id: string; heardAtMs: number }, atMs: number): void {
  if (!state.members.has(id) && !state.removed.ids.has(id))
    refuse("unknown-node", `there is no ${id} to replace: join without --replace`);
  if (!state.members.has(id)) return;
  if (atMs - heardAtMs < state.autopilot.deadAfterMs)
    refuse(
      "node-lives",
      `${id} was heard of ${Math.max(0, Math.floor((atMs - heardAtMs) / 1000))} s ago: stop it, or drain it instead of replacing it`,
    );
  mayGo(state, "remove", id, { lastNode: true });
}

function activate(state: ControlState, { member: id }: CommandOf<"activate">): ControlState {
  const member = memberOf(state, id);
  if (member.state === "active") return state;
  mustBe(member, ["joining"], "only a joining member becomes active");
  mayOwn(state);
  return withMember(state, { ...member, state: "active" });
}

function updateMember(state: ControlState, command: CommandOf<"update-member">): ControlState {
  const { addresses, protocol, weight, zone, instance } = command;
  const before = memberOf(state, command.member);
  const role = roleAfterClaim(state, before, instance);
  const member = { ...before, addresses, protocol, weight, zone, instance, role };
  mayHaveAddresses(state, member);
  maySpeak(state, member);
  return withMember(state, member);
}

/** A log of another instance remembers neither the votes nor the entries of the one before: its node leaves the group, and
 *  comes back like anybody new. */
function roleAfterClaim(state: ControlState, { id, role, instance }: Readonly<Member>, next: string): Member["role"] {
  const holder = sorted(state.members).find((other) => other.id !== id && other.instance === next);
  if (holder) refuse("instance-taken", `${holder.id} has this instance: a copied directory? Start ${id} with its own`);
  if (instance === null || instance === next) return role;
  if (isOnlyVoter(state, id))
    refuse("last-voter", `${id} was the only voter, its log is the agreement: restore it, or run \`starling recover\``);
  return "none";
}

function leave(state: ControlState, command: CommandOf<"leave">, version: number): ControlState {
  mustBeCluster(state, command.cluster);
  const member = memberOf(state, command.member);
  mayGo(state, "leave", member.id);
  return without(state, member.id, member.afterDrain === "remove" ? "decommissioned" : "left", command, version);
}

function drain(state: ControlState, { member }: CommandOf<"drain">): ControlState {
  return draining(state, "drain", member, "leave");
}

function decommission(state: ControlState, { member, cluster }: CommandOf<"decommission">): ControlState {
  mustBeCluster(state, cluster);
  return draining(state, "decommission", member, "remove");
}

function draining(state: ControlState, going: Going, id: string, afterDrain: "leave" | "remove"): ControlState {
  const member = memberOf(state, id);
  if (member.state === "draining")
    return member.afterDrain === afterDrain ? state : withMember(state, { ...member, afterDrain });
  mustBe(member, ["active", "maintenance"], "it owns nothing yet: let it leave");
  mayGo(state, going, id);
  return withMember(state, { ...member, state: "draining", afterDrain });
}

function drainCancel(state: ControlState, { member: id }: CommandOf<"drain-cancel">): ControlState {
  const member = memberOf(state, id);
  mustBe(member, ["draining"], "there is no drain to cancel");
  mayOwn(state);
  return withMember(state, { ...member, state: "active", afterDrain: null });
}

function maintenance(state: ControlState, { member: id, on }: CommandOf<"maintenance">): ControlState {
  const member = memberOf(state, id);
  mustBe(member, ["active", "maintenance"], "maintenance is for active members");
  const next = on ? "maintenance" : "active";
  return member.state === next ? state : withMember(state, { ...member, state: next });
}

function remove(state: ControlState, command: CommandOf<"remove">, version: number): ControlState {
  mustBeCluster(state, command.cluster);
  const member = memberOf(state, command.member);
  mayGo(state, "remove", member.id);
  return without(state, member.id, "removed", command, version);
}

function raiseIncarnation(state: ControlState, command: CommandOf<"raise-incarnation">): ControlState {
  const { incarnation, voters, instance } = command;
  if (incarnation <= state.cluster.incarnation)
    refuse("bad-incarnation", `the cluster's incarnation is ${state.cluster.incarnation} already: take a higher one`);
  for (const id of voters)
    mustBe(memberOf(state, id), ["active", "maintenance", "joining"], "a draining member can't vote");
  if (!voters.includes(command.member))
    refuse("bad-voters", `${command.member} recovers the cluster, and begins the group: name it among the voters`);
  const holder = sorted(state.members).find((other) => other.instance === instance);
  if (holder) refuse("instance-taken", `${holder.id} has this instance: the new group's log needs one of its own`);
  const members = new Map(state.members);
  for (const member of members.values()) {
    const role = voters.includes(member.id) ? "voter" : member.role === "voter" ? "none" : member.role;
    members.set(member.id, { ...member, role, instance: member.id === command.member ? instance : null });
  }
  return { ...state, members, cluster: { ...state.cluster, incarnation } };
}

function finalize(state: ControlState, { featureLevel }: CommandOf<"finalize">): ControlState {
  if (featureLevel <= state.featureLevel)
    refuse("bad-level", `the feature level is ${state.featureLevel} already, and never goes back`);
  const behind = sorted(state.members).filter(({ protocol }) => protocol.max < featureLevel);
  if (behind.length > 0)
    refuse("protocol-mismatch", `not all members know level ${featureLevel}: upgrade ${named(behind)}`);
  return { ...state, featureLevel };
}

function named(members: readonly Readonly<Member>[]): string {
  const ids = members.slice(0, 5).map(({ id }) => id);
  return ids.join(", ") + (members.length > 5 ? ` and ${members.length - 5} others` : "");
}

function promote(state: ControlState, { member: id, to, instead }: CommandOf<"promote">): ControlState {
  const member = memberOf(state, id);
  mustBe(member, ["active", "joining"], "it can't take part in the Raft group now");
  if (member.role === to && instead === null) return state;
  if (member.role === "voter") refuse("wrong-state", `${id} is a voter already`);
  if (member.instance === null)
    refuse("no-instance", `${id} has not claimed its log yet: start it, and wait until it has heard of the cluster`);
  if (to === "learner") return withMember(state, { ...member, role: "learner" });
  const given = instead === null ? null : memberOf(state, instead);
  if (given && given.role !== "voter") refuse("wrong-state", `${given.id} is no voter: it has no vote to give away`);
  const { votersMax } = state.autopilot;
  if (!given && votersWanted(state).length >= votersMax)
    refuse("too-many-voters", `there are at most ${votersMax} voters: name one that ${id} votes instead of`);
  const next = given ? withMember(state, { ...given, role: "none" }) : state;
  return withMember(next, { ...member, role: "voter" });
}

function demote(state: ControlState, { member: id, to }: CommandOf<"demote">): ControlState {
  const member = memberOf(state, id);
  if (member.role === to) return state;
  if (member.role === "none") refuse("wrong-state", `${id} is not in the Raft group: promote it to learner instead`);
  if (isOnlyVoter(state, id)) refuse("last-voter", `${id} is the only voter: promote another member first`);
  return withMember(state, { ...member, role: to });
}

export const MEMBER_COMMANDS = {
  join,
  activate,
  "update-member": updateMember,
  leave,
  drain,
  "drain-cancel": drainCancel,
  maintenance,
  decommission,
  remove,
  "raise-incarnation": raiseIncarnation,
  finalize,
  promote,
  demote,
};

// ---- what they have in common

function memberOf({ members }: ControlState, id: string): Readonly<Member> {
  return members.get(id) ?? refuse("unknown-node", `${id} is no member: see \`starling cluster peers\``);
}

function isOnlyVoter(state: ControlState, id: string): boolean {
  const voters = votersWanted(state);
  return voters.length === 1 && voters[0] === id;
}

function withMember(state: ControlState, member: Readonly<Member>): ControlState {
  return { ...state, members: new Map(state.members).set(member.id, member) };
}

function mustBe(member: Readonly<Member>, states: readonly Member["state"][], otherwise: string): void {
  if (!states.includes(member.state)) refuse("wrong-state", `${member.id} is ${member.state}: ${otherwise}`);
}

/** Of one more. */
function mayOwn(state: ControlState): void {
  if (ownersOf(state).length >= MAX.owners)
    refuse("table-full", `a cluster has at most ${MAX.owners} nodes that own data: let another one leave first`);
}

function mustBeCluster({ cluster }: ControlState, name: string): void {
  if (cluster.name !== name)
    refuse("wrong-cluster", `this is cluster ${cluster.name}, not ${name}: check the address that was asked`);
}

function mayGo(state: ControlState, going: Going, id: string, less: { lastNode?: boolean } = {}): void {
  const [first] = obstaclesTo(going, state, id).filter(({ slug }) => !(less.lastNode && slug === "last-node"));
  if (first) throw new Refusal(first.slug, first.message);
}

function mayHaveAddresses({ members }: ControlState, { id, addresses }: NewMember): void {
  for (const other of sorted(members))
    for (const use of ["client", "gossip", "peer"] as const)
      if (other.id !== id && addresses[use] !== null && other.addresses[use] === addresses[use])
        refuse(
          "address-taken",
          `${other.id} has the ${use} address ${addresses[use]}: advertise one of its own for ${id}`,
        );
}

function maySpeak({ featureLevel }: ControlState, { id, protocol }: NewMember): void {
  if (protocol.min > featureLevel || protocol.max < featureLevel)
    refuse(
      "protocol-mismatch",
      `${id} speaks levels ${protocol.min} to ${protocol.max}, the cluster is at ${featureLevel}: run a version that speaks it`,
    );
}

function without(
  state: ControlState,
  id: string,
  how: Removed["how"],
  { by, atMs }: { readonly by: string; readonly atMs: number },
  version: number,
): ControlState {
  const members = new Map(state.members);
  members.delete(id);
  const ids = new Map(state.removed.ids).set(id, { id, how, by, atMs, version });
  if (ids.size <= MAX.removed) return { ...state, members, removed: { ...state.removed, ids } };
  const oldest = present(
    [...ids.values()].sort((a, b) => a.version - b.version)[0],
    "a full table has an oldest entry",
  );
  return { ...state, members, removed: forgotten({ ...state.removed, ids }, oldest.id, oldest.atMs) };
}

function forgotten({ ids, floorMs }: FormerMembers, id: string, atMs = 0): FormerMembers {
  const left = new Map(ids);
  left.delete(id);
  return { ids: left, floorMs: Math.max(floorMs, atMs) };
}
