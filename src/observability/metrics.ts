import { Gauge, Registry } from "prom-client";
import type { GossipFigures } from "../../gossip/drivers/gossip-host.ts";
import type { PlaneApi } from "../plane/api.ts";
import type { GrayReason, ReplicaApi, ReplicaStatus } from "../replication/api.ts";
import { planeGauges } from "./plane-gauges.ts";
import { RequestFigures } from "./request-figures.ts";

/** Where figures come from when they are asked for. */
export interface MetricSources {
  readonly replica: Pick<ReplicaApi, "status" | "countConflicts" | "node" | "region">;
  members(): readonly { readonly state: string }[];
  gossipFigures(): GossipFigures | null;
  readonly plane: Pick<PlaneApi, "status" | "state">;
  readonly loopDelayMs?: () => { readonly p50: number; readonly p99: number; readonly max: number };
  readonly version: string;
}

export interface Metrics {
  /** Notes one answered request. `route` is a pattern of ours, never a path. */
  request(route: string, method: string, status: number, seconds: number): void;
  /** The text of `GET /metrics`. */
  scrape(): Promise<{ contentType: string; text: string }>;
}

const METHODS = new Set(["GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS"]);

/** A registry of its own, so that several nodes in one process don't mix. Nothing runs by itself: gauges are read when
 *  somebody asks. */
export function makeMetrics(sources: MetricSources): Metrics {
  const registry = new Registry();
  const requests = new RequestFigures();
  const gauges = makeGauges(registry, sources);
  return {
    request(route, method, status, seconds) {
      requests.note(route, METHODS.has(method) ? method : "other", status, seconds);
    },
    async scrape() {
      await gauges();
      return { contentType: registry.contentType, text: requests.text() + (await registry.metrics()) };
    },
  };
}

/** Returns what brings them up to date. */
function makeGauges(registry: Registry, sources: MetricSources): () => Promise<void> {
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `starling_${name}`, help, labelNames, registers: [registry] });
  const info = gauge("build_info", "1, with who this node is.", ["node", "region", "version"]);
  info.set({ node: sources.replica.node, region: sources.replica.region, version: sources.version }, 1);
  const updateReplica = replicaGauges(gauge);
  const conflicts = gauge("conflicts_open", "Records with concurrent values that nobody settled.");
  const members = gauge("members", "Members as gossip sees them.", ["state"]);
  const updateGossip = gossipGauges(gauge);
  const updatePlane = planeGauges(gauge);
  const loop = gauge("event_loop_delay_ms", "How late the event loop was lately.", ["quantile"]);
  return async () => {
    updateReplica(sources.replica.status());
    updatePlane(sources.plane);
    conflicts.set(await sources.replica.countConflicts());
    for (const state of ["alive", "suspect", "dead", "left"])
      members.set({ state }, sources.members().filter((member) => member.state === state).length);
    const figures = sources.gossipFigures();
    if (figures) updateGossip(figures);
    const delay = sources.loopDelayMs?.();
    for (const [quantile, ms] of Object.entries(delay ?? {})) loop.set({ quantile }, ms);
  };
}

type MakeGauge = (name: string, help: string, labelNames?: string[]) => Gauge;

const GRAY_REASONS: readonly GrayReason[] = ["silent", "slow", "lossy"];

/** Labels are nodes of the configuration: as many as there are owners. */
function replicaGauges(gauge: MakeGauge): (status: ReplicaStatus) => void {
  const records = gauge("records", "Live records on this node.");
  const isReady = gauge("ready", "1 when caught up and writing.");
  const queued = gauge("queued_writes", "Writes that wait for a commit.");
  const early = gauge("early_entries", "Entries that wait for a gap.");
  const damaged = gauge("damaged_leaves", "Leaves whose rows don't add up.");
  const free = gauge("disk_free_bytes", "Free bytes on the data's disk, as last asked.");
  const room = gauge("disk_room", "3 ample, 2 low, 1 scarce, 0 full.");
  const offset = gauge("clock_offset_ms", "This node's clock less the median of all known ones; absent below three.");
  const suspect = gauge("clock_suspect", "1 while this node's writes are marked clock-suspect.");
  const clocks = gauge("clock_known", "Clocks that the median is of, this node's included.");
  const link = gauge("peer_link_up", "1 when the link to this peer is up.", ["peer"]);
  const lag = gauge("peer_lag_entries", "Entries that this peer has not acknowledged.", ["peer"]);
  const behind = gauge("peer_behind_entries", "Entries that this peer showed and we lack.", ["peer"]);
  const differences = gauge("peer_differences", "Partitions that differed at the last comparison.", ["peer"]);
  const sent = gauge("peer_sent_bytes", "Bytes sent to this peer since the start.", ["peer"]);
  const phi = gauge("peer_phi", "How overdue this peer's heartbeat is (phi accrual).", ["peer"]);
  const gray = gauge("peer_gray", "1 when others are asked before this peer.", ["peer", "reason"]);
  const received = gauge("peer_received_bytes", "Bytes received from this peer since the start.", ["peer"]);
  return (status) => {
    records.set(status.records);
    isReady.set(status.ready && status.failed === undefined ? 1 : 0);
    queued.set(status.queueDepth);
    early.set(status.earlyEntries);
    if (status.disk.freeBytes !== null) free.set(status.disk.freeBytes);
    room.set(["full", "scarce", "low", "ample"].indexOf(status.disk.level));
    if (status.clock.offsetMs === null) offset.remove();
    else offset.set(status.clock.offsetMs);
    suspect.set(status.clock.suspect ? 1 : 0);
    clocks.set(status.clock.clocks);
    damaged.set(status.partitions.reduce((sum, { damagedLeaves }) => sum + damagedLeaves, 0));
    for (const peer of status.peers) {
      const label = { peer: peer.node };
      link.set(label, peer.link === "up" ? 1 : 0);
      lag.set(label, peer.lagEntries);
      behind.set(label, peer.behindEntries);
      differences.set(label, peer.differences + peer.sumDifferences);
      sent.set(label, peer.sentBytes);
      if (peer.phi !== null) phi.set(label, peer.phi);
      for (const reason of GRAY_REASONS) gray.set({ ...label, reason }, peer.gray.includes(reason) ? 1 : 0);
      received.set(label, peer.receivedBytes);
    }
  };
}

/** Label values from outside: as many as there can be without a client's help, and one for all others. */
const MAX_REASONS = 32;

const HELP: Readonly<Record<Exclude<keyof GossipFigures, "rejects">, readonly [name: string, help: string]>> = {
  awareness: ["awareness", "How unwell this node holds itself, 0 to 8 (Lifeguard's local health)."],
  queuedNews: ["queued_news", "News about members that is still being sent."],
  probes: ["probes", "Members asked whether they live, since the start."],
  probeTimeouts: ["probe_timeouts", "Probes not answered in time, so that others were asked, since the start."],
  probeFailures: ["probe_failures", "Probes that nobody answered, since the start."],
  suspicions: ["suspicions", "Suspicions of others, by whomever, since the start."],
  deaths: ["deaths", "Members taken for dead, since the start."],
  refutations: ["refutations", "Accusations against this node that it refuted, since the start."],
  tableComparisons: [
    "table_comparisons",
    "Comparisons of the table of members with another member's, since the start.",
  ],
  tableDifferences: [
    "table_differences",
    "Comparisons that found a difference (or were with a member that knows no hashes), since the start.",
  ],
  packetsSent: ["sent_packets", "Gossip packets sent since the start."],
  packetsReceived: ["received_packets", "Gossip packets received since the start, refused ones too."],
  sentBytes: ["sent_bytes", "Bytes of gossip packets sent since the start."],
  receivedBytes: ["received_bytes", "Bytes of gossip packets received since the start."],
  stalls: ["stalls", "How often this process stood still, as gossip's timers noticed, since the start."],
  stalledMs: ["stalled_ms", "For how long in all, since the start."],
  receiveBufferBytes: ["receive_buffer_bytes", "What the kernel granted of the 4 MiB that were asked for."],
};

/** Returns what brings them up to date. */
function gossipGauges(gauge: MakeGauge): (figures: GossipFigures) => void {
  const names = Object.keys(HELP) as (keyof typeof HELP)[];
  const gauges = names.map((key) => ({ key, gauge: gauge(`gossip_${HELP[key][0]}`, HELP[key][1]) }));
  const rejects = gauge("gossip_rejected_packets", "Gossip packets refused since the start.", ["reason"]);
  return (figures) => {
    for (const { key, gauge: one } of gauges) one.set(figures[key]);
    rejects.reset();
    for (const [i, [reason, count]] of [...figures.rejects].entries())
      rejects.inc({ reason: i < MAX_REASONS ? reason : "other" }, count);
  };
}
