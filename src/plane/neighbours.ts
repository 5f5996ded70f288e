import type { ControlState } from "../control/state.ts";

/** Which state a node has: enough to see who is behind, and whether two have come apart. */
export interface StateTag {
  readonly incarnation: number;
  readonly version: number;
  /** The first 8 hex digits of its hash. */
  readonly hash: string;
}

/** What gossip says of another node's part in the control plane. Hearsay (I11): it says whom to ask, never what is so. */
export interface Neighbour {
  readonly id: string;
  readonly region: string;
  readonly zone: string;
  readonly isAlive: boolean;
  /** Since when it is so (monotonic ms). */
  readonly sinceMs: number;
  /** Null: it has heard of no state. */
  readonly state: StateTag | null;
  /** The term in which it says that it leads; null when it doesn't. */
  readonly leads: number | null;
  /** With how many it waits to found a cluster (`cluster.bootstrap_expect`); null when it doesn't. */
  readonly expects: number | null;
}

const HASH_DIGITS = 8;

export function tagOf({ cluster, version }: ControlState, hash: string): StateTag {
  return { incarnation: cluster.incarnation, version, hash: hash.slice(0, HASH_DIGITS) };
}

/** As it stands in gossip: `incarnation.version.hash`. */
export function formatTag({ incarnation, version, hash }: StateTag): string {
  return `${incarnation}.${version}.${hash}`;
}

/** What nobody can have meant is as if nobody had said it. */
export function parseTag(text: string | undefined): StateTag | null {
  const parts = /^(\d{1,15})\.(\d{1,15})\.([0-9a-f]{8})$/.exec(text ?? "");
  const [, incarnation, version, hash] = parts ?? [];
  if (incarnation === undefined || version === undefined || hash === undefined) return null;
  return { incarnation: Number(incarnation), version: Number(version), hash };
}

/** Positive when `a` is the newer one: a raised incarnation wins over whatever the given-up group still does. */
export function compareTags(a: StateTag, b: StateTag): number {
  return a.incarnation - b.incarnation || a.version - b.version;
}

/** Who is worth asking, the best first: the leader, then who has the newest state. */
export function worthAsking(neighbours: readonly Neighbour[]): Neighbour[] {
  const newest = (a: Neighbour, b: Neighbour): number =>
    a.state && b.state ? compareTags(b.state, a.state) : Number(b.state !== null) - Number(a.state !== null);
  return neighbours
    .filter(({ isAlive, state }) => isAlive && state !== null)
    .sort((a, b) => (b.leads ?? -1) - (a.leads ?? -1) || newest(a, b) || (a.id < b.id ? -1 : 1));
}

/** Who says that it leads, in the latest term of which one does. */
export function leaderAmong(neighbours: readonly Neighbour[]): { readonly id: string; readonly term: number } | null {
  const [first] = worthAsking(neighbours);
  return first && first.leads !== null ? { id: first.id, term: first.leads } : null;
}
