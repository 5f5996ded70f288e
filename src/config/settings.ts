import type { Kind } from "./kinds.ts";
import {
  address,
  boolean,
  duration,
  gossipKeys,
  integer,
  literalAddress,
  nodeId,
  oneOf,
  owners,
  region,
  regionAddresses,
  secret,
  seeds,
  size,
  text,
  token,
} from "./kinds.ts";

/** One key of the configuration. `fallback` is written as a user would write it; null when the value follows from others
 *  (`derived` says how). */
export interface Setting<T> {
  readonly kind: Kind<T>;
  readonly fallback: string | null;
  readonly about: string;
  readonly derived?: string;
}

function setting<T>(kind: Kind<T>, fallback: string, about: string): Setting<T> {
  return { kind, fallback, about };
}

function optional<T>(kind: Kind<T>, about: string, derived: string): Setting<T | null> {
  const { parse, show } = kind;
  return { kind: { parse, show: (value) => (value === null ? "" : show(value)) }, fallback: null, about, derived };
}

function ofProfile<T>(kind: Kind<T>, about: string): Setting<T | null> {
  return optional(kind, about, "gossip.profile");
}

/** As many as the control plane takes. */
const FOUNDERS_MAX = 128;

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

/** Every key there is, in the order in which people see them. Names are `section.key` in TOML,
 *  `STARLING_SECTION_KEY` in the environment and `--section.key` as flags. */
export const SETTINGS = {
  "node.id": setting(nodeId, "n1", "this node's name, unique in its cluster"),
  "node.region": setting(region, "local", "the region it stands in"),
  "node.zone": setting(text(32), "", "what fails together inside the region"),
  "node.data_dir": setting(text(4096), ".starling/node", "where its data lives"),

  "client.bind": setting(address, "127.0.0.1:7001", "HTTP API (TCP)"),
  "client.advertise": optional(address, "where clients reach it", "client.bind"),

  "gossip.bind": setting(address, "127.0.0.1:7002", "membership (UDP and TCP)"),
  "gossip.advertise": optional(address, "where other members reach it", "gossip.bind"),
  // Behind NAT a node has another address for each side.
  "gossip.advertise_to": setting(regionAddresses, "", "where members of other regions reach it: region=ip:port"),
  // geo tolerates slow links and finds failures later; local finds them in a second and suspects under load.
  "gossip.profile": setting(oneOf("lan", "geo", "wan", "local"), "lan", "timing of failure detection"),
  // Each of these replaces one constant of the profile: docs/gossip.md tells what gets worse on each side.
  "gossip.probe_interval": ofProfile(duration(10), "how often each member probes another"),
  "gossip.probe_timeout_min": ofProfile(duration(1), "until relays are asked, at least"),
  "gossip.probe_timeout_max": ofProfile(duration(1), "until relays are asked, at most"),
  "gossip.indirect_probes": ofProfile(integer(0, 16), "relays asked"),
  "gossip.suspicion_multiplier": ofProfile(
    integer(1, 100),
    "probe intervals for a refutation, times log10 of the pool",
  ),
  "gossip.suspicion_max_factor": ofProfile(integer(1, 100), "times longer while nobody confirms"),
  "gossip.awareness_max": ofProfile(integer(0, 8), "how far a member distrusts itself"),
  "gossip.interval": ofProfile(duration(10), "how often news is sent"),
  "gossip.fan_out": ofProfile(integer(1, 16), "to how many members"),
  "gossip.retransmit_multiplier": ofProfile(integer(1, 16), "how often each news is sent, times the pool's digits"),
  "gossip.push_pull_interval": ofProfile(duration(100), "how often two members compare tables"),
  "gossip.to_the_dead": ofProfile(duration(0), "how long the dead hear news"),
  "gossip.reconnect_interval": ofProfile(duration(100), "how often the dead are tried again"),
  "gossip.reclaim_after": ofProfile(duration(1000), "when the dead and the left are forgotten"),
  "gossip.seed_retry_max": ofProfile(duration(100), "longest pause between tries of missing seeds"),
  "gossip.region_aware": ofProfile(boolean, "relays and gossip targets of chosen regions"),
  "gossip.label": setting(text(64), "", "packets with another label are dropped; needed off loopback"),

  "gossip.compress": setting(boolean, "true", "compress what becomes shorter by it"),
  "gossip.keys": setting(gossipKeys, "", "AES keys, base64; the first encrypts, all are tried"),
  // Both false while a pool goes over to encryption: first all nodes get keys, then all send, then all insist.
  "gossip.verify_incoming": setting(boolean, "true", "with keys: drop gossip that is not encrypted"),
  "gossip.verify_outgoing": setting(boolean, "true", "with keys: encrypt what is sent"),

  "peer.bind": setting(address, "127.0.0.1:7003", "data between nodes (TCP)"),
  "peer.advertise": optional(address, "where other nodes reach it", "peer.bind"),
  "peer.advertise_to": setting(regionAddresses, "", "where nodes of other regions reach it: region=host:port"),

  "cluster.id": optional(text(64), "the cluster's id", "made at the first start, kept in cluster.json"),
  "cluster.name": optional(text(64), "a name for people", "starling, or as cluster.json says"),
  "cluster.salt": optional(secret, "secret salt of key hashes, hex", "made at the first start, kept in cluster.json"),
  "cluster.seeds": setting(seeds, "", "first members: host:port, or where to ask for them (docs/gossip.md)"),
  "cluster.dns_server": optional(literalAddress, "asked for the names in seeds", "the system's DNS"),
  "cluster.consul_token": setting(token, "", "sent to the Consul that seeds name"),
  "cluster.kubernetes_api": setting(address, "kubernetes.default.svc:443", "asked for seeds; pods are told theirs"),
  "cluster.kubernetes_credentials": setting(
    text(4096),
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "directory with token and ca.crt for it",
  ),
  // A node with seeds that nobody answers for must not found a second cluster beside the first.
  "cluster.bootstrap_expect": optional(
    integer(1, FOUNDERS_MAX),
    "how many nodes found the cluster together; more than one need cluster.id and cluster.salt",
    "1 without seeds; with seeds it waits for `starling init` or `starling join`",
  ),
  "cluster.owners": optional(owners, "every node that holds the data", "this node alone"),

  // Shorter finds what push missed sooner and costs a round of vectors (64 partitions: some kB) per peer each time.
  "replication.sync_interval": setting(duration(20), "2s", "how often peers compare what they have"),
  // Longer serves nodes that were away longer from the log; shorter takes less disk and sends them to a copy sooner.
  "replication.history": setting(duration(0), "24h", "how long the log of changes is kept"),
  "replication.log_max_bytes": setting(size(MIB, 1024 * GIB), "4GiB", "the log is cut above this size"),

  "clock.max_drift": setting(duration(1), "500ms", "further off the others' clocks, writes are marked"),

  "limits.key_bytes": setting(size(1, 1024), "1KiB", "a key"),
  "limits.value_bytes": setting(size(1, 64 * MIB), "1MiB", "a value"),
  "limits.row_bytes": setting(size(1, 256 * MIB), "4MiB", "a record with all its siblings"),
  "limits.siblings": setting(integer(2, 1024), "64", "concurrent values that a write may add up to"),
  "limits.body_bytes": setting(size(1024, GIB), "16MiB", "a request's body, except imports"),
  "limits.line_bytes": setting(size(1024, 256 * MIB), "4MiB", "a line of an import"),
  "limits.batch_items": setting(integer(1, 100_000), "1000", "items of one batch request"),
  "limits.ops_per_request": setting(integer(1, 100_000), "1000", "operations on one key in one request"),
  "limits.header_bytes": setting(size(1024, MIB), "16KiB", "a request's headers"),
  "limits.connections": setting(integer(1, 1_000_000), "4096", "open client connections"),
  "limits.request_timeout": setting(duration(100), "30s", "until a request must have arrived"),
  "limits.queued_writes": setting(integer(1, 1_000_000), "10000", "writes waiting for a commit; more get 503"),
  "limits.cache_bytes": setting(size(MIB, 64 * GIB), "64MiB", "rows kept in memory"),

  "security.insecure": setting(boolean, "false", "allow listeners off loopback without encryption"),

  "log.level": setting(oneOf("debug", "info", "warn", "error", "silent"), "info", "least level that is written"),
  "log.format": setting(oneOf("json", "pretty"), "json", "one JSON object a line, or for eyes"),

  "dev.enabled": setting(boolean, "false", "offer PUT /v1/dev/network (cuts and delays)"),
} satisfies { [key: string]: Setting<never> | Setting<unknown> };

export type SettingName = keyof typeof SETTINGS;
type ValueOf<S> = S extends Setting<infer T> ? T : never;
/** The effective value of every setting. */
export type Values = { readonly [K in SettingName]: ValueOf<(typeof SETTINGS)[K]> };

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** `gossip.bind` → `STARLING_GOSSIP_BIND`. */
export function environmentName(name: SettingName): string {
  return `STARLING_${name.replace(".", "_").toUpperCase()}`;
}
