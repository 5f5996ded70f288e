import type { Configuration, GroupChange } from "../consensus/core/configuration.ts";
import type { Member } from "./schemas.ts";
import type { ControlState } from "./state.ts";

/** What the leader knows of the Raft group, by Raft's own messages: the evidence. All times are ms of one clock, that of
 *  the `nowMs` they are judged against. */
export interface GroupView {
  /** This node: the leader. */
  readonly self: string;
  readonly leaderSinceMs: number;
  readonly configuration: Configuration;
  readonly committed: number;
  readonly followers: ReadonlyMap<string, FollowerView>;
}

export interface FollowerView {
  /** The last index known to be in its log. */
  readonly match: number;
  /** When one of its answers arrived last; null: never since this node leads. */
  readonly heardAtMs: number | null;
}

/** What it is to be in the group. Without an instance nothing: nobody knows which log would answer. */
export function roleIn({ members }: ControlState, id: string): Member["role"] {
  const member = members.get(id);
  return member && member.instance !== null ? member.role : "none";
}

/** What gossip says of a member, and since when (same clock as `nowMs`). */
export interface Hearsay {
  readonly isAlive: boolean;
  readonly sinceMs: number;
}

/** What the leader sees. */
export interface Situation {
  readonly state: ControlState;
  readonly group: GroupView;
  readonly hearsay: ReadonlyMap<string, Hearsay>;
  readonly nowMs: number;
}

/** One step, and why. `command`: to be proposed with an envelope. `group`: to be proposed to Raft as a change of the group.
 *  `transfer`: of leadership. */
export type Decision = (
  | {
      readonly kind: "command";
      readonly command: MemberCommand;
      /** The state's version that it was decided on: to be proposed with it as `ifVersion`. A member that claims another log
       *  in between must not get the vote that the earlier one was to have. */
      readonly ifVersion: number;
    }
  | { readonly kind: "group"; readonly change: GroupChange }
  | { readonly kind: "transfer"; readonly to: string }
  | { readonly kind: "nothing" }
) & { readonly why: string };

export type MemberCommand =
  | {
      readonly kind: "promote";
      readonly member: string;
      readonly to: "learner" | "voter";
      readonly instead: string | null;
    }
  | { readonly kind: "demote"; readonly member: string; readonly to: "none" };

/** A follower that hasn't answered for this long isn't counted on. Heartbeats go every 100 ms, in the geo profile at every
 *  tenth of an election's time: much longer than one of these, much shorter than `deadAfterMs`. */
export const ANSWER_MS = 3_000;

/** Behind by no more than this: "caught up", for the next append closes it. */
export const LAG_MAX = 64;

/** How long it has been silent, at most: a leader that has just begun has heard of nobody. */
export function silentMs({ self, leaderSinceMs, followers }: GroupView, id: string, nowMs: number): number {
  return id === self ? 0 : nowMs - (followers.get(id)?.heardAtMs ?? leaderSinceMs);
}

export function answers(group: GroupView, id: string, nowMs: number): boolean {
  if (id === group.self) return true;
  const heardAtMs = group.followers.get(id)?.heardAtMs;
  return heardAtMs !== undefined && heardAtMs !== null && nowMs - heardAtMs <= ANSWER_MS;
}

export function isLevel(group: GroupView, id: string): boolean {
  return id === group.self || (group.followers.get(id)?.match ?? 0) + LAG_MAX >= group.committed;
}

/** How many of these voters may fail before they can't decide, counting those that don't answer as failed; negative when
 *  they can't decide now. */
export function slackOf(group: GroupView, voters: readonly string[], nowMs: number): number {
  const answering = voters.filter((id) => answers(group, id, nowMs)).length;
  return answering - (Math.floor(voters.length / 2) + 1);
}
