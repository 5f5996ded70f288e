import type { GroupChange, MemberChange } from "../consensus/core/configuration.ts";
import { answers, type Decision, isLevel, roleIn, type Situation, slackOf } from "./group.ts";
import { sorted } from "./state.ts";

// The Raft group follows the committed roles, one change at a time, each only when Raft itself shows that the group can
// decide before it and after it. What was committed may wait for that; it is never carried out at the price of the quorum.
// Who claimed another log has no role from then on (members.ts), and leaves the group before it comes back with that log:
// Raft would go on with what it knew of the earlier one.

/** What is to be done next to bring the group to the roles; null when nothing can or need be. */
export function followRoles(situation: Situation): Decision | null {
  return handOver(situation) ?? followLearners(situation) ?? followVoters(situation);
}

/** A leader that shall not vote for long, or takes no traffic, hands over first. */
function handOver({ state, group, nowMs }: Situation): Decision | null {
  const self = state.members.get(group.self);
  if (self && self.role === "voter" && (self.state === "active" || self.state === "joining")) return null;
  const heir = sorted(state.members).find(
    ({ id, role, state: its }) =>
      id !== group.self &&
      role === "voter" &&
      (its === "active" || its === "joining") &&
      group.configuration.incoming.has(id) &&
      answers(group, id, nowMs) &&
      isLevel(group, id),
  );
  if (!heir) return null;
  const cause = !self ? "no longer a member" : self.role === "voter" ? self.state : "no longer to vote";
  return { kind: "transfer", to: heir.id, why: `${group.self} leads and is ${cause}: ${heir.id} takes over` };
}

function followLearners({ state, group }: Situation): Decision | null {
  const { incoming, learners } = group.configuration;
  const gone = [...learners].sort().find((id) => roleIn(state, id) === "none");
  if (gone !== undefined)
    return change([{ kind: "remove", id: gone }], `${gone} shall no longer listen to the group's log`);
  const missing = sorted(state.members).find(
    ({ id }) => roleIn(state, id) !== "none" && !incoming.has(id) && !learners.has(id),
  );
  if (!missing) return null;
  return change([{ kind: "learner", id: missing.id }], `${missing.id} listens to the group's log from now on`);
}

function followVoters(situation: Situation): Decision | null {
  const { state, group } = situation;
  const { incoming } = group.configuration;
  const coming = sorted(state.members).filter(({ id, role }) => role === "voter" && !incoming.has(id));
  const going = [...incoming].sort().filter((id) => roleIn(state, id) !== "voter");
  const ready = coming.find(({ id }) => answers(group, id, situation.nowMs) && isLevel(group, id))?.id;
  // The leader itself goes last: it hands over to who has come.
  const leaves = going.find((id) => id !== group.self);
  if (ready !== undefined && leaves !== undefined) {
    const swap = [{ kind: "voter", id: ready }, departure(situation, leaves)] as const;
    return ifDecidable(situation, swap, `${ready} votes instead of ${leaves}`);
  }
  if (ready !== undefined)
    return ifDecidable(situation, [{ kind: "voter", id: ready }], `${ready} has caught up and votes`);
  // Who goes waits for who comes in its place.
  if (leaves === undefined || coming.length > 0) return null;
  return ifDecidable(situation, [departure(situation, leaves)], `${leaves} no longer votes`);
}

function departure({ state }: Situation, id: string): MemberChange {
  return { kind: roleIn(state, id) === "learner" ? "learner" : "remove", id };
}

function ifDecidable(situation: Situation, changes: readonly MemberChange[], why: string): Decision | null {
  const { group, nowMs } = situation;
  const voters = [...group.configuration.incoming];
  return slackOf(group, voters, nowMs) >= 0 && slackOf(group, votersAfter(voters, changes), nowMs) >= 0
    ? change(changes, why)
    : null;
}

function votersAfter(voters: readonly string[], changes: readonly MemberChange[]): string[] {
  const left = voters.filter((voter) => !changes.some(({ id }) => id === voter));
  return [...left, ...changes.filter(({ kind }) => kind === "voter").map(({ id }) => id)];
}

function change(changes: readonly MemberChange[], why: string): Decision {
  const wanted: GroupChange = { transition: "auto", changes };
  return { kind: "group", change: wanted, why };
}
