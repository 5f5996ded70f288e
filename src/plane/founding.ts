import type { ClusterConfig } from "../config/types.ts";
import { encodeCommand } from "../control/codec.ts";
import type { CommandOf } from "../control/commands.ts";
import { ControlMachine } from "../control/machine.ts";
import { LEVEL_KNOWN, votersWanted } from "../control/state.ts";
import { present } from "../kernel/assert.ts";
import { toHex, utf8, Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { formatAddress } from "../world/world.ts";

/** What a group begins with: the same at every founder that has the same configuration, byte for byte, so that each may
 *  write it down by itself, in whatever order they start. */
export interface Founding {
  readonly voters: readonly string[];
  readonly data: Uint8Array;
}

/** Of the owners that a configuration names. Throws InputError when they can't found a cluster. */
export function foundingOf(cluster: ClusterConfig, partitionBits: number, sha256: Sha256): Founding {
  const machine = new ControlMachine(sha256);
  const result = machine.apply({ index: 1, bytes: encodeCommand(initOf(cluster, partitionBits, sha256)) });
  present(result.ok || null, `the configuration's owners can found a cluster: ${result.ok ? "" : result.message}`);
  return { voters: votersWanted(present(machine.state, "it was founded")), data: machine.snapshot() };
}

function initOf(cluster: ClusterConfig, partitionBits: number, sha256: Sha256): CommandOf<"init"> {
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
    })),
  };
}

/** Who has the salt can show it, nobody can read it here. */
export function saltProof({ id, salt }: Pick<ClusterConfig, "id" | "salt">, sha256: Sha256): string {
  return toHex(sha256(new Writer().raw(utf8("starling control")).raw(salt).text(id).finish()));
}
