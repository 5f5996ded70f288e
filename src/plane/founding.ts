import type { ClusterConfig, Config } from "../config/types.ts";
import { encodeCommand } from "../control/codec.ts";
import type { CommandOf } from "../control/commands.ts";
import { ControlMachine } from "../control/machine.ts";
import { LEVEL_KNOWN } from "../control/state.ts";
import { present } from "../kernel/assert.ts";
import { toHex, utf8, Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { formatAddress } from "../world/world.ts";
import type { Neighbour } from "./neighbours.ts";

/** Who is to be a member from the beginning. */
export interface Founder {
  readonly id: string;
  readonly region: string;
  readonly zone: string;
  /** Where to dial it until gossip knows better. */
  readonly peer: string | null;
}

/** What a node with no log and no state may do to get a cluster. */
export type FoundingPlan =
  /** Found one when at least `needed` of `others` have said that they know of none. */
  | {
      readonly kind: "found";
      readonly founders: readonly Founder[];
      readonly others: readonly string[];
      readonly needed: number;
    }
  | { readonly kind: "wait"; readonly why: string };

/** One node founds: of several that may, the one with the smallest id, and only when the others know of no cluster: an emptied
 *  data directory must not found a second one beside the first. */
export function foundingPlan({ cluster, node }: Config, neighbours: readonly Neighbour[]): FoundingPlan {
  const self: Founder = { id: node.id, region: node.region, zone: node.zone, peer: null };
  const { start } = cluster;
  const knowing = neighbours.find(({ state }) => state !== null);
  // Hearsay decides nothing (I11), but it may hold back.
  if (knowing) return { kind: "wait", why: `${knowing.id} knows of a cluster: waiting to hear its state` };
  if (start.kind === "joined") return { kind: "wait", why: "waiting to hear of the cluster that it joins" };
  if (start.kind === "expect") return planOfExpected(self, start.count, neighbours);
  if (start.kind === "alone") return { kind: "found", founders: [self], others: [], needed: 0 };
  const owners = cluster.owners.map(
    ({ id, region, peer }): Founder =>
      id === self.id ? self : { id, region, zone: "", peer: peer ? formatAddress(peer) : null },
  );
  const others = owners.map(({ id }) => id).filter((id) => id !== self.id);
  const first = [...others, self.id].sort()[0];
  if (first !== self.id) return { kind: "wait", why: `waiting for ${first} to found the cluster` };
  // A cluster of theirs that goes on without this node has a quorum of them: one of so many knows of it.
  const needed = others.length === 0 ? 0 : Math.floor(others.length / 2) + 1;
  return { kind: "found", founders: owners, others, needed };
}

function planOfExpected(self: Founder, count: number, neighbours: readonly Neighbour[]): FoundingPlan {
  const there = neighbours.filter(({ isAlive, expects }) => isAlive && expects === count);
  if (there.length + 1 < count)
    return { kind: "wait", why: `waiting for ${count} nodes to found the cluster: ${there.length + 1} are there` };
  const others = there.map(({ id }) => id);
  const first = [...others, self.id].sort()[0];
  if (first !== self.id) return { kind: "wait", why: `waiting for ${first} to found the cluster` };
  const founders = there.map(({ id, region, zone }): Founder => ({ id, region, zone, peer: null }));
  // All: whoever founds must be the only one that any of them lets.
  return { kind: "found", founders: [self, ...founders], others, needed: others.length };
}

/** What the group begins with, whose only voter is `self`. Throws InputError when they can't found a cluster. */
export function foundingOf(
  { cluster, self }: { readonly cluster: Pick<ClusterConfig, "id" | "name" | "salt">; readonly self: string },
  founders: readonly Founder[],
  {
    instance,
    partitionBits,
    atMs,
  }: { readonly instance: string; readonly partitionBits: number; readonly atMs: number },
  sha256: Sha256,
): Uint8Array {
  const machine = new ControlMachine(sha256);
  const command: CommandOf<"init"> = {
    kind: "init",
    id: `founding-${instance}`,
    basis: 0,
    level: 1,
    by: self,
    atMs,
    reason: null,
    ifVersion: null,
    cluster: { id: cluster.id, name: cluster.name, incarnation: 1, saltProof: saltProof(cluster, sha256) },
    partitionBits,
    founders: founders.map(({ id, region, zone, peer }) => ({
      id,
      region,
      zone,
      weight: 100,
      // Each says the rest of itself once it runs (`update-member`).
      addresses: { client: null, gossip: null, peer },
      protocol: { min: 1, max: LEVEL_KNOWN },
      instance: id === self ? instance : null,
    })),
  };
  const result = machine.apply({ index: 1, bytes: encodeCommand(command) });
  present(result.ok || null, `the founders can found a cluster: ${result.ok ? "" : result.message}`);
  return machine.snapshot();
}

/** Who has the salt can show it, nobody can read it here. */
function saltProof({ id, salt }: { readonly id: string; readonly salt: Uint8Array }, sha256: Sha256): string {
  return toHex(sha256(new Writer().raw(utf8("starling control")).raw(salt).text(id).finish()));
}
