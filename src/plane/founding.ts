import type { ClusterConfig } from "../config/types.ts";
import { encodeCommand } from "../control/codec.ts";
import type { CommandOf } from "../control/commands.ts";
import { ControlMachine } from "../control/machine.ts";
import { LEVEL_KNOWN } from "../control/state.ts";
import { assert } from "../kernel/assert.ts";
import { toHex, utf8, Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { formatAddress } from "../world/world.ts";

/** Who writes a group down: it is the group alone until the other founders claim their logs. */
export interface Founder {
  readonly id: string;
  /** Of its log. */
  readonly instance: string;
}

/** What a group begins with. */
export interface Founding {
  readonly voters: readonly string[];
  readonly data: Uint8Array;
}

/** Of the owners that a configuration names. Throws InputError when they can't found a cluster. */
export function foundingOf(cluster: ClusterConfig, partitionBits: number, founder: Founder, sha256: Sha256): Founding {
  const machine = new ControlMachine(sha256);
  const result = machine.apply({ index: 1, bytes: encodeCommand(initOf(cluster, partitionBits, founder, sha256)) });
  assert(result.ok, `the configuration's owners can found a cluster: ${result.ok ? "" : result.message}`);
  return { voters: [founder.id], data: machine.snapshot() };
}

function initOf(cluster: ClusterConfig, partitionBits: number, founder: Founder, sha256: Sha256): CommandOf<"init"> {
  return {
    kind: "init",
    id: "founding",
    basis: 0,
    level: 1,
    by: "configuration",
    atMs: 0,
    reason: null,
    ifVersion: null,
    cluster: { id: cluster.id, name: cluster.name, incarnation: 1, saltProof: saltProof(cluster, sha256) },
    partitionBits,
    founders: cluster.owners.map(({ id, region, peer }) => ({
      id,
      region,
      // Each says the rest of itself once it runs (`update-member`).
      zone: "",
      weight: 100,
      addresses: { client: null, gossip: null, peer: peer ? formatAddress(peer) : null },
      protocol: { min: 1, max: LEVEL_KNOWN },
      instance: id === founder.id ? founder.instance : null,
    })),
  };
}

/** Who has the salt can show it, nobody can read it here. */
export function saltProof({ id, salt }: Pick<ClusterConfig, "id" | "salt">, sha256: Sha256): string {
  return toHex(sha256(new Writer().raw(utf8("starling control")).raw(salt).text(id).finish()));
}
