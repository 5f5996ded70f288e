import { ipToBytes, isWildcard, PROFILES, type Profile, profileProblems } from "../../gossip/index.ts";
import { isLoopbackHost } from "../kernel/host-port.ts";
import { formatAddress } from "../world/world.ts";
import { badConfig } from "./resolve.ts";
import type { Values } from "./settings.ts";
import type { ClusterConfig, ClusterStart, Config } from "./types.ts";

/** The identity of a cluster that no setting names: a node keeps it with its data (cluster.json). */
export interface OwnCluster {
  readonly id: string;
  readonly salt: Uint8Array;
  /** Null: whatever the settings say. */
  readonly name: string | null;
  /** A founder's cluster began here; a member was let in by others. */
  readonly role: "founder" | "member";
  /** Where members gossip, as the one told that let it in: `host:port`. */
  readonly seeds: readonly string[];
}

/** Checks what no single setting can say. @returns sentences that tell what to do; empty when all is well. */
export function problemsOf(values: Values): string[] {
  return [
    ...listenerProblems(values),
    ...clusterProblems(values),
    ...profileProblems(profileOf(values)).map((problem) => `gossip: ${problem}`),
  ];
}

/** True when `makeConfig` needs an `OwnCluster`. */
export function needsOwnCluster(values: Values): boolean {
  return values["cluster.id"] === null;
}

/** May a node without cluster.json make one? With seeds there may be a cluster already that it can't reach yet. */
export function mayFoundAlone(values: Values): boolean {
  return values["cluster.seeds"].length === 0 || values["cluster.bootstrap_expect"] === 1;
}

/** Throws InputError `bad-config` with every problem. `own` is used when the settings name no cluster. */
export function makeConfig(values: Values, own: OwnCluster | null): Config {
  const problems = problemsOf(values);
  if (problems.length > 0) throw badConfig(problems);
  return {
    node: {
      id: values["node.id"],
      region: values["node.region"],
      zone: values["node.zone"],
      dataDir: values["node.data_dir"],
    },
    client: { bind: values["client.bind"], advertise: values["client.advertise"] ?? values["client.bind"] },
    gossip: {
      bind: values["gossip.bind"],
      advertise: values["gossip.advertise"] ?? values["gossip.bind"],
      advertiseTo: values["gossip.advertise_to"],
      profile: profileOf(values),
      label: values["gossip.label"],
      compress: values["gossip.compress"],
      keys: values["gossip.keys"],
      verifyIncoming: values["gossip.verify_incoming"],
      verifyOutgoing: values["gossip.verify_outgoing"],
    },
    peer: {
      bind: values["peer.bind"],
      advertise: values["peer.advertise"] ?? values["peer.bind"],
      advertiseTo: values["peer.advertise_to"],
    },
    cluster: makeCluster(values, own),
    replication: {
      syncIntervalMs: values["replication.sync_interval"],
      historyMs: values["replication.history"],
      logMaxBytes: values["replication.log_max_bytes"],
    },
    clock: { maxDriftMs: values["clock.max_drift"] },
    limits: makeLimits(values),
    log: { level: values["log.level"], format: values["log.format"] },
    dev: values["dev.enabled"],
  };
}

/** The profile by name, with what the settings replace of it. */
function profileOf(values: Values): Profile {
  const named = PROFILES[values["gossip.profile"]];
  return {
    probeIntervalMs: values["gossip.probe_interval"] ?? named.probeIntervalMs,
    probeTimeoutMsMin: values["gossip.probe_timeout_min"] ?? named.probeTimeoutMsMin,
    probeTimeoutMsMax: values["gossip.probe_timeout_max"] ?? named.probeTimeoutMsMax,
    indirectProbes: values["gossip.indirect_probes"] ?? named.indirectProbes,
    suspicionMultiplier: values["gossip.suspicion_multiplier"] ?? named.suspicionMultiplier,
    suspicionMaxFactor: values["gossip.suspicion_max_factor"] ?? named.suspicionMaxFactor,
    awarenessMax: values["gossip.awareness_max"] ?? named.awarenessMax,
    gossipIntervalMs: values["gossip.interval"] ?? named.gossipIntervalMs,
    gossipFanOut: values["gossip.fan_out"] ?? named.gossipFanOut,
    retransmitMultiplier: values["gossip.retransmit_multiplier"] ?? named.retransmitMultiplier,
    pushPullIntervalMs: values["gossip.push_pull_interval"] ?? named.pushPullIntervalMs,
    gossipToTheDeadMs: values["gossip.to_the_dead"] ?? named.gossipToTheDeadMs,
    reconnectIntervalMs: values["gossip.reconnect_interval"] ?? named.reconnectIntervalMs,
    reclaimMs: values["gossip.reclaim_after"] ?? named.reclaimMs,
    seedRetryMsMax: values["gossip.seed_retry_max"] ?? named.seedRetryMsMax,
    regionAware: values["gossip.region_aware"] ?? named.regionAware,
  };
}

function makeCluster(values: Values, kept: OwnCluster | null): ClusterConfig {
  // Settings that name a cluster say all about it.
  const own = needsOwnCluster(values) ? kept : null;
  const id = values["cluster.id"] ?? own?.id;
  const salt = values["cluster.salt"] ?? own?.salt;
  if (id === undefined || salt === undefined) throw badConfig(["cluster.id and cluster.salt are missing"]);
  const name = values["cluster.name"];
  if (own && own.name !== null && name !== null && own.name !== name)
    throw badConfig([
      `cluster.name is ${name}, but the data directory is of cluster ${own.name}: leave cluster.name out`,
    ]);
  const start = startOf(values, own);
  return {
    id,
    name: name ?? own?.name ?? DEFAULT_NAME,
    salt,
    seeds: [...new Set([...(own?.seeds ?? []), ...values["cluster.seeds"]])].slice(0, SEEDS_MAX),
    start,
    lookups: {
      dnsServer: values["cluster.dns_server"],
      consulToken: values["cluster.consul_token"],
      kubernetesApi: values["cluster.kubernetes_api"],
      kubernetesCredentials: values["cluster.kubernetes_credentials"],
    },
    owners:
      values["cluster.owners"] ??
      (start.kind === "joined" ? [] : [{ id: values["node.id"], region: values["node.region"] }]),
  };
}

export const DEFAULT_NAME = "starling";
/** Gossip tries no more. */
const SEEDS_MAX = 64;

function startOf(values: Values, own: OwnCluster | null): ClusterStart {
  const count = values["cluster.bootstrap_expect"] ?? 1;
  if (values["cluster.owners"] !== null) return { kind: "owners" };
  if (count > 1) return { kind: "expect", count };
  return { kind: own?.role === "member" ? "joined" : "alone" };
}

function makeLimits(values: Values): Config["limits"] {
  return {
    keyBytes: values["limits.key_bytes"],
    valueBytes: values["limits.value_bytes"],
    rowBytes: values["limits.row_bytes"],
    siblings: values["limits.siblings"],
    bodyBytes: values["limits.body_bytes"],
    lineBytes: values["limits.line_bytes"],
    batchItems: values["limits.batch_items"],
    opsPerRequest: values["limits.ops_per_request"],
    headerBytes: values["limits.header_bytes"],
    connections: values["limits.connections"],
    requestTimeoutMs: values["limits.request_timeout"],
    queuedWrites: values["limits.queued_writes"],
    cacheBytes: values["limits.cache_bytes"],
  };
}

const LISTENERS = ["client", "gossip", "peer"] as const;

function listenerProblems(values: Values): string[] {
  const problems: string[] = [];
  const exposed = LISTENERS.filter((listener) => !isLoopbackHost(values[`${listener}.bind`].host));
  for (const listener of exposed) {
    if (!values["security.insecure"])
      problems.push(
        `${listener}.bind ${formatAddress(values[`${listener}.bind`])} can be reached from other machines, and encryption and ` +
          `authentication are not built yet: use 127.0.0.1, or, on a network where you trust every host, set ` +
          `security.insecure = true and gossip.label to a name that only this cluster uses`,
      );
    if (isWildcard((values[`${listener}.advertise`] ?? values[`${listener}.bind`]).host))
      problems.push(
        `nobody can connect to every address of ${listener}: set ${listener}.advertise to the one at which others reach it`,
      );
  }
  if (
    exposed.length > 0 &&
    values["gossip.label"] === "" &&
    values["gossip.keys"].length === 0 &&
    values["security.insecure"]
  )
    problems.push(
      "gossip.label (or gossip.keys) is needed off loopback: without it, two clusters on one network can merge by accident",
    );
  for (const [region, at] of values["gossip.advertise_to"])
    if (!ipToBytes(at.host) || isWildcard(at.host) || at.port === 0)
      problems.push(`gossip.advertise_to: members of ${region} are told an IP and a port, not ${formatAddress(at)}`);
  for (const [region, at] of values["peer.advertise_to"])
    if (isWildcard(at.host) || at.port === 0)
      problems.push(`peer.advertise_to: members of ${region} cannot connect to ${formatAddress(at)}`);
  if (values["dev.enabled"] && !isLoopbackHost(values["client.bind"].host))
    problems.push("dev.enabled lets any client cut this node's network: keep client.bind on loopback, or turn it off");
  return [...problems, ...portProblems(values)];
}

function portProblems(values: Values): string[] {
  const seen = new Map<string, string>();
  const problems: string[] = [];
  for (const listener of LISTENERS) {
    const at = formatAddress(values[`${listener}.bind`]);
    const other = seen.get(at);
    if (other !== undefined && values[`${listener}.bind`].port !== 0)
      problems.push(`${other}.bind and ${listener}.bind are both ${at}: each listener needs its own port`);
    seen.set(at, listener);
  }
  return problems;
}

function clusterProblems(values: Values): string[] {
  const { "cluster.id": id, "cluster.salt": salt, "cluster.owners": owners, "node.id": self } = values;
  if ((id === null) !== (salt === null))
    return [
      `cluster.${id === null ? "salt" : "id"} is set: cluster.${id === null ? "id" : "salt"} must be set with it`,
    ];
  if (id === "") return ["cluster.id is empty"];
  const founding = foundingProblems(values);
  if (founding.length > 0) return founding;
  if (id === null && owners !== null)
    return ["cluster.owners is set: all owners need the same cluster.id and cluster.salt, so set these too"];
  if (owners === null) return [];
  const me = owners.find((owner) => owner.id === self);
  if (!me)
    return [`cluster.owners must name this node (${self}): until there is a control plane, every node is an owner`];
  if (me.region !== values["node.region"])
    return [`node.region is ${values["node.region"]}, but cluster.owners puts ${self} into ${me.region}`];
  return [];
}

/** Nobody founds by accident, and nobody founds twice. */
function foundingProblems(values: Values): string[] {
  const { "cluster.id": id, "cluster.owners": owners, "cluster.bootstrap_expect": expect } = values;
  if (values["cluster.name"] === "") return ["cluster.name is empty: leave it out, or name the cluster"];
  if (expect !== null && owners !== null)
    return ["cluster.bootstrap_expect and cluster.owners both say who founds the cluster: leave one of them out"];
  if (expect !== null && expect > 1 && id === null)
    return [
      `cluster.bootstrap_expect is ${expect}: all ${expect} nodes need the same cluster.id and cluster.salt, so set these too`,
    ];
  if (id !== null && owners === null && expect === null && values["cluster.seeds"].length > 0)
    return [
      "cluster.id and cluster.seeds are set, and nothing says who founds the cluster: set cluster.owners or " +
        "cluster.bootstrap_expect (1 on the one node that founds it alone), or leave cluster.id out and let the node join",
    ];
  return [];
}
