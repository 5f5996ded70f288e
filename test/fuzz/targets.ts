import { existsSync, readFileSync } from "node:fs";
import { fromHex } from "../../src/kernel/bytes.ts";
import type { Target } from "./target.ts";
import { CONFIG_TARGETS } from "./targets-config.ts";
import { CONTROL_TARGETS } from "./targets-control.ts";
import { CRDT_TARGETS } from "./targets-crdt.ts";
import { DISCOVERY_TARGETS } from "./targets-discovery.ts";
import { GOSSIP_TARGETS } from "./targets-gossip.ts";
import { HTTP_TARGETS } from "./targets-http.ts";
import { MEMBER_TARGETS } from "./targets-member.ts";
import { PEER_TARGETS } from "./targets-peer.ts";
import { PIECE_TARGETS } from "./targets-pieces.ts";
import { PLANE_TARGETS } from "./targets-plane.ts";
import { RAFT_TARGETS } from "./targets-raft.ts";
import { STORAGE_TARGETS } from "./targets-storage.ts";

/** Every parser that faces a socket or a file. */
export const TARGETS: readonly Target[] = [
  ...GOSSIP_TARGETS,
  ...MEMBER_TARGETS,
  ...DISCOVERY_TARGETS,
  ...PEER_TARGETS,
  ...RAFT_TARGETS,
  ...CRDT_TARGETS,
  ...PIECE_TARGETS,
  ...STORAGE_TARGETS,
  ...CONFIG_TARGETS,
  ...CONTROL_TARGETS,
  ...PLANE_TARGETS,
  ...HTTP_TARGETS,
];

const CAPTURES = ["plain", "events", "failure", "refute", "encrypted"];

/** What real members sent, where the captures are at hand: further seeds for campaigns. */
export function captured(target: Target): readonly Uint8Array[] {
  const proto = target.name === "gossip-packet" ? "udp" : target.name === "gossip-stream" ? "tcp" : null;
  const directory = `${process.env.STARLING_CONFORMANCE ?? "../shared/conformance"}/memberlist`;
  const files = CAPTURES.map((capture) => `${directory}/${capture}.jsonl`);
  if (proto === null) return [];
  return files
    .filter((file) => existsSync(file))
    .flatMap((file) => readFileSync(file, "utf8").trim().split("\n"))
    .map((line) => JSON.parse(line) as { proto: string; hex: string })
    .filter((line) => line.proto === proto && line.hex.length < 3_000)
    .map(({ hex }) => fromHex(hex));
}
