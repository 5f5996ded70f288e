import { Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { Hello } from "./frames.ts";

export const PROTOCOL = { min: 1, max: 1 } as const;
export const USUAL_LEAF_BITS = 10;

export interface HelloParts {
  readonly cluster: { readonly id: string; readonly salt: Uint8Array };
  readonly node: { readonly id: string; readonly region: string };
  readonly layout: { readonly partitionBits: number; readonly leafBits: number };
}

/** How a node shows itself to peers: the proof says that it knows the cluster's salt, without showing it. */
export function makeHello({ cluster, node, layout }: HelloParts, sha256: Sha256): Omit<Hello, "traffic"> {
  const proof = sha256(new Writer().raw(cluster.salt).text("peer").text(cluster.id).finish()).slice(0, 16);
  const { partitionBits, leafBits } = layout;
  return {
    cluster: cluster.id,
    proof,
    node: node.id,
    region: node.region,
    partitionBits,
    ...(leafBits !== USUAL_LEAF_BITS && { leafBits }),
    protocol: PROTOCOL,
    epoch: 0,
    features: [],
  };
}
