// The explicit list of what others may use: `starling/gossip`. The machine alone, without clock and sockets, is
// `starling/gossip/machine`.

import { parseAesKey } from "../../src/kernel/aead.ts";
import { makeRealWorld } from "../../src/world/real.ts";
import { type Log, parseAddress } from "../../src/world/world.ts";
import { PROFILES, type Profile, type ProfileName } from "../index.ts";
import { type GossipHost, type LookupConfig, type MemberEvent, startGossip } from "./gossip-host.ts";

export { InputError } from "../../src/kernel/assert.ts";
export { estimatedRttMs, PROFILES, type Profile, type ProfileName } from "../index.ts";
export type {
  GossipFigures,
  GossipHost,
  KeyOperation,
  KeyReport,
  LookupConfig,
  Member,
  MemberEvent,
} from "./gossip-host.ts";

export interface PoolOptions {
  /** Unique in the pool; 1 to 255 characters. */
  readonly name: string;
  /** `host:port`, UDP and TCP; 127.0.0.1:7946 unless told. Port 0 takes any that is free. Off loopback a label or keys
   *  are needed. */
  readonly bind?: string;
  /** What others are told, `ip:port`, where it isn't `bind`. */
  readonly advertise?: string;
  /** `host:port` of any members, or where to ask for them (docs/gossip.md, Finding the first members); tried for ever. */
  readonly seeds?: readonly string[];
  /** Who is asked, where seeds have to be asked for. */
  readonly lookups?: Partial<LookupConfig>;
  /** What this member says of itself, at most 512 bytes encoded; serf's tags. */
  readonly tags?: Readonly<Record<string, string>>;
  /** The pool's name: packets with another are dropped unread. */
  readonly label?: string;
  /** AES keys in base64, of 16, 24 or 32 bytes; the first encrypts, all of them decrypt. */
  readonly keys?: readonly string[];
  /** `lan` unless told; all members should have the same. */
  readonly profile?: ProfileName | Profile;
  readonly onEvent?: (event: MemberEvent) => void;
  /** Nothing is logged unless told. */
  readonly log?: Log;
}

/** Starts a member and joins the seeds in the background, for ever. Whether any answers shows in `members()` and in
 *  `onEvent`. Rejects with InputError when an option is unusable or the address can't be bound.
 *
 *  `const pool = await joinPool({ name: "a", seeds: ["127.0.0.1:7000"] })` … `await pool.leave(); await pool.close()` */
export async function joinPool(options: PoolOptions): Promise<GossipHost> {
  const { name, bind = "127.0.0.1:7946", advertise, seeds = [], tags = {}, label = "", keys = [] } = options;
  const { profile = "lan", onEvent = () => {}, log = SILENT, lookups } = options;
  return startGossip({
    world: makeRealWorld({ log }),
    config: {
      name,
      bind: parseAddress(bind),
      ...(advertise !== undefined && { advertise: parseAddress(advertise) }),
      label,
      compress: true,
      keys: keys.map(parseAesKey),
      verifyIncoming: true,
      verifyOutgoing: true,
      profile: typeof profile === "string" ? PROFILES[profile] : profile,
      seeds,
      lookups: { ...LOOKUPS, ...lookups },
    },
    meta: new Map(Object.entries(tags)),
    onEvent,
  });
}

/** As a pod finds them. */
const LOOKUPS: LookupConfig = {
  dnsServer: null,
  consulToken: "",
  kubernetesApi: { host: "kubernetes.default.svc", port: 443 },
  kubernetesCredentials: "/var/run/secrets/kubernetes.io/serviceaccount",
};

const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
