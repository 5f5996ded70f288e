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

/** By record, and by table. Neither is ever changed in place, so what is shown of it isn't either: of two states only what
 *  differs is shown anew, and told apart by identity. */
const shownOf = new WeakMap<object, Tree>();

function treeOf<V extends object>(table: ReadonlyMap<string, V>, show: (record: V) => Tree): Tree {
  return shownOnce(table, () => {
    const tree: Record<string, Json> = Object.create(null);
    for (const [key, record] of table) tree[key] = shownOnce(record, () => show(record));
    return tree;
  });
}

function shownOnce(what: object, show: () => Tree): Tree {
  const known = shownOf.get(what);
  if (known) return known;
  const shown = show();
  shownOf.set(what, shown);
  return shown;
}
