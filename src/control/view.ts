import type { Json } from "./codec.ts";
import type { ControlState } from "./state.ts";

/** A tree of plain values: tables by key, without prototypes (a bucket may be called `__proto__`). */
export interface Tree {
  readonly [key: string]: Json;
}

/** The state as anybody may see it who may see configuration, without its version. Hashes of tokens and what proves the
 *  salt are not in it: a short secret could be found from its hash. */
export function viewOf(state: ControlState): Tree {
  const { id, name, incarnation } = state.cluster;
  return {
    cluster: { id, name, incarnation },
    partitionBits: state.partitionBits,
    featureLevel: state.featureLevel,
    members: treeOf(state.members, (member) => ({ ...member })),
    removed: treeOf(state.removed.ids, (one) => ({ ...one })),
    placement: { ...state.placement },
    buckets: treeOf(state.buckets, (bucket) => ({ ...bucket })),
    policies: treeOf(state.policies, (policy) => ({ ...policy })),
    joinTokens: treeOf(state.joinTokens, ({ hash: _, ...shown }) => shown),
    roles: treeOf(state.roles, (role) => ({ ...role })),
    apiTokens: treeOf(state.apiTokens, ({ hash: _, ...shown }) => shown),
    keys: treeOf(state.keys, ({ fingerprint: _, ...shown }) => shown),
    autopilot: { ...state.autopilot },
  };
}

function treeOf<V>(table: ReadonlyMap<string, V>, show: (value: V) => Tree): Tree {
  const tree: Record<string, Json> = Object.create(null);
  for (const key of [...table.keys()].sort()) tree[key] = show(table.get(key) as V);
  return tree;
}
