import type { ClusterConfig } from "../config/types.ts";
import { type ControlState, ownersOf } from "../control/state.ts";
import { present } from "../kernel/assert.ts";
import { type NodeId, parseNodeId, parseRegion } from "../kernel/ids.ts";
import type { Owner, Owners } from "../replication/owners.ts";
import { type Address, parseAddress } from "../world/world.ts";

/** Whoever the state says owns the data does from now on (I11), and a node that owns none answers no questions about it. */
export function follow(state: ControlState | null, owners: Owners, self: NodeId, cluster: ClusterConfig): void {
  if (state !== null) {
    const next = ownersIn(state, cluster);
    if (!isSame(next, owners.all)) owners.set(next);
  }
  owners.notServing = whyNotServing(state, self, cluster);
}

function ownersIn(state: ControlState, cluster: ClusterConfig): Owner[] {
  return ownersOf(state).map((id) => {
    const { region } = present(state.members.get(id), "owners are members");
    const peer = peerAddressIn(state, id, cluster);
    return { id: parseNodeId(id), region: parseRegion(region), ...(peer && { peer }) };
  });
}

/** Where to dial a node until gossip knows better. */
export function peerAddressIn(
  state: ControlState | null,
  node: string,
  { owners }: Pick<ClusterConfig, "owners">,
): Address | null {
  const committed = state?.members.get(node)?.addresses.peer ?? null;
  const configured = owners.find(({ id }) => id === node)?.peer ?? null;
  return committed === null ? configured : parseAddress(committed);
}

function isSame(a: readonly Owner[], b: readonly Owner[]): boolean {
  const text = (owners: readonly Owner[]): string => JSON.stringify([...owners].sort((x, y) => (x.id < y.id ? -1 : 1)));
  return text(a) === text(b);
}

/** Why this node's copy says nothing about the data; null when it may be asked. Who drains still has it all. */
function whyNotServing(state: ControlState | null, self: NodeId, { start, name }: ClusterConfig): string | null {
  if (state === null)
    return start.kind === "expect" || start.kind === "joined" ? "this node waits to hear of its cluster" : null;
  const me = state.members.get(self);
  if (me) return me.state === "joining" ? `this node is joining ${name} and owns nothing yet: use another node` : null;
  return state.removed.ids.has(self)
    ? `this node is no member of ${name} any more: use another node`
    : `this node is no member of ${name} yet: use another node`;
}
