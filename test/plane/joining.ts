import { toHex, utf8 } from "../../src/kernel/bytes.ts";
import type { Wish } from "../../src/plane/api.ts";
import type { SimCluster } from "../sim/cluster.ts";

// Join tokens of simulated clusters.

const TOKEN = "joiners.secret";
const DAY_MS = 24 * 3_600_000;
const BY = { by: "tester", reason: null, ifVersion: null } as const;

export function tokenWish(cluster: SimCluster, uses: number, wallMs: number): Wish {
  const hash = toHex(cluster.sha256(utf8(TOKEN)));
  return { kind: "token-create", token: "joiners", hash, uses, region: null, expiresAtMs: wallMs + DAY_MS, ...BY };
}

export function joinWish(
  cluster: SimCluster,
  { name, region, replace }: { readonly name: string; readonly region: string; readonly replace: string | null },
): Wish {
  return {
    kind: "join",
    cluster: "test",
    token: "joiners",
    tokenHash: toHex(cluster.sha256(utf8(TOKEN))),
    member: {
      id: name,
      region,
      zone: "",
      weight: 100,
      addresses: { client: null, gossip: null, peer: null },
      protocol: { min: 1, max: 1 },
    },
    replace: replace === null ? null : { id: replace, heardAtMs: 0 },
    ...BY,
  };
}
