import { ipToBytes, isWildcard, PROFILES, type Profile, profileProblems } from "../../gossip/index.ts";
import { isLoopbackHost } from "../kernel/host-port.ts";
import { formatAddress } from "../world/world.ts";
import { badConfig } from "./resolve.ts";
import type { Values } from "./settings.ts";
import type { ClusterConfig, Config } from "./types.ts";

/** The identity of a cluster that nobody wrote down: a single node makes its own and keeps it with its data. */
export interface OwnCluster {
  readonly id: string;
  readonly salt: Uint8Array;
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

function makeCluster(values: Values, own: OwnCluster | null): ClusterConfig {
  const id = values["cluster.id"] ?? own?.id;
  const salt = values["cluster.salt"] ?? own?.salt;
  if (id === undefined || salt === undefined) throw badConfig(["cluster.id and cluster.salt are missing"]);
  return {
    id,
    name: values["cluster.name"],
    salt,
    seeds: values["cluster.seeds"],
    lookups: {
      dnsServer: values["cluster.dns_server"],
      consulToken: values["cluster.consul_token"],
      kubernetesApi: values["cluster.kubernetes_api"],
      kubernetesCredentials: values["cluster.kubernetes_credentials"],
    },
    owners: values["cluster.owners"] ?? [{ id: values["node.id"], region: values["node.region"] }],
  };
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
