import { answers, type GroupView } from "./group.ts";
import type { Slug } from "./refusals.ts";
import { type ControlState, ownersOf, votersWanted } from "./state.ts";

/** Why a member may not go now, and what to do about it. */
export interface Obstacle {
  readonly slug: Slug;
  readonly message: string;
}

/** `drain` and `decommission` begin it, `leave` ends it, `remove` is by force: it loses what only that member has, and asks
 *  only whether a cluster is left. */
export type Going = "drain" | "decommission" | "leave" | "remove";

/** What speaks against it, the gravest first; empty: it may. The state alone is asked again when the command is applied;
 *  `group`, which only the leader has, is asked before it is proposed. */
export function obstaclesTo(
  going: Going,
  state: ControlState,
  id: string,
  evidence: { readonly group: GroupView; readonly nowMs: number } | null = null,
): Obstacle[] {
  const found = [
    lastNode(state, id),
    going === "leave" || going === "remove" ? lastVoter(state, id) : null,
    going === "remove" ? null : tooFewCopies(state, id),
    evidence && quorumLost(evidence.group, id, evidence.nowMs, going === "leave" || going === "remove"),
  ];
  return found.filter((obstacle) => obstacle !== null);
}

function lastNode({ members, cluster }: ControlState, id: string): Obstacle | null {
  const others = [...members.values()].filter((other) => other.id !== id && other.state !== "draining");
  if (others.length > 0) return null;
  const message = `${id} is the last node of ${cluster.name}: let another one join first, or stop it and keep its data`;
  return { slug: "last-node", message };
}

function lastVoter(state: ControlState, id: string): Obstacle | null {
  const voters = votersWanted(state);
  if (voters.length !== 1 || voters[0] !== id) return null;
  return { slug: "last-voter", message: `${id} is the only voter: promote another member first` };
}

function tooFewCopies(state: ControlState, id: string): Obstacle | null {
  const owners = ownersOf(state);
  if (!owners.includes(id)) return null;
  const wanted = state.placement.minOwners ?? Math.min(3, owners.length);
  const left = owners.length - 1;
  if (left >= wanted) return null;
  const message =
    `without ${id} there would be ${left} copies of the data, and the placement wants ${wanted}: ` +
    `let another node join and become active, or lower the placement's minOwners`;
  return { slug: "too-few-copies", message };
}

/** @param isAtOnce it is a member no more before the Raft group lets go of it, and that the others must decide without it */
function quorumLost(group: GroupView, id: string, nowMs: number, isAtOnce: boolean): Obstacle | null {
  const { incoming } = group.configuration;
  const others = [...incoming].filter((other) => other !== id);
  if (!incoming.has(id) || others.length === 0) return null;
  const answering = others.filter((other) => answers(group, other, nowMs)).length;
  const needed = Math.floor((isAtOnce ? incoming.size : others.length) / 2) + 1;
  if (answering >= needed) return null;
  const message =
    `without ${id} too few of the voters ${others.sort().join(", ")} answer to decide anything: ` +
    `bring them back first, or replace the dead ones${isAtOnce ? "; who lives can be drained" : ""}`;
  return { slug: "would-lose-quorum", message };
}
