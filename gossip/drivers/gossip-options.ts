import { InputError } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { parseActorId, startOfActor } from "../../src/kernel/ids.ts";
import type { Address, World } from "../../src/world/world.ts";
import { parseSeed } from "../discovery/notation.ts";
import {
  Envelope,
  ipToBytes,
  isLoopback,
  isWildcard,
  Keyring,
  type MemberEvent,
  type Profile,
  profileProblems,
} from "../index.ts";
import type { LookupConfig } from "./seed-finder.ts";

/** What gossip needs of a World. */
export type GossipWorld = Pick<World, "clock" | "timers" | "rng" | "network" | "disk" | "aead" | "sha256" | "log">;

export interface GossipConfig {
  /** This member's name in the pool: the node's id. */
  readonly name: string;
  /** Where to listen, UDP and TCP. Port 0 takes any that is free for both. */
  readonly bind: Address;
  /** What others are told; a literal IP. Needed where `bind` is a wildcard. */
  readonly advertise?: Address;
  /** The cluster's name: packets of others are dropped unread. Empty is allowed on loopback only. */
  readonly label: string;
  /** Packets and streams that become shorter by it are compressed. */
  readonly compress: boolean;
  /** AES keys of 16, 24 or 32 bytes; none: gossip is not encrypted. All members have them; the first one seals. */
  readonly keys: readonly Uint8Array[];
  /** False takes, or sends, unencrypted gossip in spite of keys: while a pool goes over to encryption. */
  readonly verifyIncoming: boolean;
  readonly verifyOutgoing: boolean;
  /** One of `PROFILES`, or what was made of one. */
  readonly profile: Profile;
  /** Addresses, and where to ask for them (discovery/notation.ts); our own address may be among them. */
  readonly seeds: readonly string[];
  readonly lookups: LookupConfig;
  /** Where members were in an earlier life of this node; unusable ones are left out. */
  readonly remembered?: readonly string[];
}

export interface GossipOptions {
  readonly world: GossipWorld;
  readonly config: GossipConfig;
  /** Tags of this member, ≤ 512 bytes encoded. `actor` (if it is there) gives the start that incarnations begin at. */
  readonly meta: ReadonlyMap<string, string>;
  readonly onEvent: (event: MemberEvent) => void;
}

/** Rows of the largest possible names and metadata in a full table still fit a push/pull message. */
export const MEMBERS_MAX = 8192;
const SEEDS_MAX = 64;
export function checkConfig(config: GossipConfig): void {
  const { name, bind, advertise, label, keys, seeds } = config;
  const nameBytes = utf8(name).length;
  if (nameBytes === 0 || nameBytes > 255)
    throw new InputError("bad-gossip-name", "a gossip name has 1 to 255 bytes of UTF-8");
  // Pools merge by accident when an address is used again by another cluster.
  if (label === "" && keys.length === 0 && !isLoopback(bind.host))
    throw new InputError("gossip-label-required", `gossip on ${bind.host} needs a label (the cluster's name) or keys`);
  const { host } = advertise ?? bind;
  if (isWildcard(host) || ipToBytes(host) === undefined)
    throw new InputError("gossip-advertise-required", `members are told IPs, not ${host}: set gossip.advertise to one`);
  const [problem] = profileProblems(config.profile);
  if (problem !== undefined) throw new InputError("bad-gossip-profile", problem);
  if (seeds.length > SEEDS_MAX)
    throw new InputError("too-many-seeds", `${seeds.length} gossip seeds; at most ${SEEDS_MAX} are of use`);
}

export function envelopeOf({ world, config }: GossipOptions): Envelope {
  const { label, compress, keys, verifyIncoming, verifyOutgoing } = config;
  const keyring = keys.length > 0 ? new Keyring(world.aead, keys) : undefined;
  return new Envelope({ label, compress, keyring, verifyIncoming, verifyOutgoing });
}

export function usableAddress(text: string): Address[] {
  try {
    const source = parseSeed(text);
    return source.kind === "static" ? [source.address] : [];
  } catch (error) {
    if (error instanceof InputError) return [];
    throw error;
  }
}

/** When this life started, by its actor where the tags name one. Throws InputError for a malformed actor. */
export function startOf(meta: ReadonlyMap<string, string>, world: GossipWorld): number {
  const actor = meta.get("actor");
  return actor === undefined ? world.clock.wallMs() : startOfActor(parseActorId(actor));
}
