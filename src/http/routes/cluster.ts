import type { Member } from "../../control/schemas.ts";
import { InputError } from "../../kernel/assert.ts";
import type { RaftStatus } from "../../plane/api.ts";
import type { PeerSync, ReplicaStatus } from "../../replication/api.ts";
import type { Owner } from "../../replication/owners.ts";
import { type Api, baseHeaders, jsonResponse, rfc3339 } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import type { MemberView } from "../deps.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { departureOf } from "./leaving.ts";

type State = "healthy" | "degraded" | "unavailable";

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

/** Named checks, worst first in meaning: `storage` and `ready` decide whether this node serves at all. */
function checksOf(api: Api, status: ReplicaStatus): Check[] {
  const others = otherOwners(api);
  const members = new Map(api.members().map((member) => [member.id, member]));
  const away = others.filter(({ id }) => members.get(id)?.state !== "alive").map(({ id }) => id);
  const links = new Map(status.peers.map((peer) => [peer.node, peer.link]));
  const unlinked = others.filter(({ id }) => links.get(id) !== "up").map(({ id }) => id);
  const damaged = status.partitions.reduce((sum, { damagedLeaves }) => sum + damagedLeaves, 0);
  return [
    checkOf("storage", status.failed === undefined, status.failed ?? "writing"),
    checkOf("ready", status.ready, status.readyWarning ?? (status.ready ? "caught up" : "catching up with its peers")),
    consensusCheck(api.plane.status()),
    checkOf("disk", status.disk.level === "ample", DISK[status.disk.level]),
    checkOf("clock", !status.clock.suspect, clockDetail(status.clock)),
    checkOf("members", away.length === 0, away.length === 0 ? "all owners alive" : `not alive: ${away.join(", ")}`),
    checkOf("links", unlinked.length === 0, unlinked.length === 0 ? "all up" : `not up: ${unlinked.join(", ")}`),
    checkOf(
      "rows",
      damaged === 0,
      damaged === 0 ? "no damaged leaf" : `${damaged} damaged leaves: POST /cluster/repair`,
    ),
  ];
}

/** Without a leader nothing can be agreed; data goes on (I10). */
function consensusCheck({ leader, term, state, reason }: RaftStatus): Check {
  if (leader !== null) return checkOf("consensus", true, `${leader} leads in term ${term}`);
  const why =
    state === "running" ? "no leader is known: the configuration can't be changed" : `${state}: ${reason ?? ""}`;
  return checkOf("consensus", false, `${why}; data goes on without`);
}

function clockDetail({ suspect, clocks, offsetMs, uncertaintyMs }: ReplicaStatus["clock"]): string {
  if (offsetMs === null) return `nothing to compare with: ${clocks} known, of the three that it takes`;
  const where = `${Math.abs(offsetMs)} ± ${uncertaintyMs} ms ${offsetMs < 0 ? "behind" : "ahead of"} the median of ${clocks}`;
  return suspect ? `${where}: what is written here is marked clock-suspect` : where;
}

const DISK: Readonly<Record<ReplicaStatus["disk"]["level"], string>> = {
  ample: "there is room",
  low: "little room: imports are refused",
  scarce: "hardly any room: only deletes and settled conflicts are taken",
  full: "no room: reads only, until there is some again",
};

function checkOf(name: string, ok: boolean, detail: string): Check {
  return { name, ok, detail };
}

function otherOwners(api: Api): readonly Owner[] {
  return api.replica.owners.others;
}

function stateOf(checks: readonly Check[]): State {
  const failed = new Set(checks.filter(({ ok }) => !ok).map(({ name }) => name));
  if (failed.has("storage") || failed.has("ready")) return "unavailable";
  return failed.size > 0 ? "degraded" : "healthy";
}

/** Nothing is known to be missing on any owner, as far as this node can see. */
function isConverged(api: Api, { peers }: ReplicaStatus): boolean {
  const byNode = new Map(peers.map((peer) => [peer.node, peer]));
  return otherOwners(api).every(({ id }) => {
    const peer = byNode.get(id);
    if (peer?.link !== "up" || peer.lastSyncMs === null) return false;
    return peer.differences + peer.sumDifferences + peer.lagEntries + peer.behindEntries === 0;
  });
}

/** Whom Raft counts, and whether they can decide. */
function quorumView({ voters, leader }: RaftStatus): View {
  // A leader without a majority steps down, and its followers notice: whoever has a leader has a quorum, as far as known.
  return { voters: voters.length, needed: Math.floor(voters.length / 2) + 1, reached: leader !== null };
}

/** `GET /cluster/status`: as this node sees it, its own indexes included. */
export function clusterStatus(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const status = api.replica.status();
  const checks = checksOf(api, status);
  const raft = api.plane.status();
  const { last, committed, first } = raft.indexes;
  return jsonResponse(api, call, {
    state: stateOf(checks),
    cluster: { id: api.config.cluster.id, name: api.config.cluster.name },
    node: api.replica.node,
    region: api.replica.region,
    version: api.version,
    leader: raft.leader,
    term: raft.term,
    quorum: quorumView(raft),
    config: { version: api.plane.state?.version ?? null, hash: api.plane.hash },
    nodes: nodeViews(api, status),
    stats: { commitIndex: committed, lastLogIndex: last, snapshotIndex: first - 1 },
    partitions: status.partitions.length,
    records: status.records,
    digest: status.digest,
    converged: isConverged(api, status),
    clock: { ...status.clock },
    checks: checks.map((check) => ({ ...check })),
  });
}

/** Members as gossip knows them, and members and owners of the configuration that it never heard of. */
export function nodeViews(api: Api, status: ReplicaStatus): { readonly [name: string]: View | undefined }[] {
  const { owners } = api.replica;
  const owning: ReadonlyMap<string, string> = owners.regions;
  const members = new Map<string, MemberView>(api.members().map((member) => [member.id, member]));
  const peers = new Map<string, PeerSync>(status.peers.map((peer) => [peer.node, peer]));
  const raft = api.plane.status();
  const committed = api.plane.state?.members;
  const ids = [...new Set([...owners.all.map(({ id }) => id), ...members.keys(), ...(committed?.keys() ?? [])])].sort();
  return ids.map((id) => {
    const member = members.get(id);
    const region = member?.region ?? owning.get(id) ?? committed?.get(id)?.region ?? null;
    const isSelf = id === api.replica.node;
    return {
      id,
      region,
      zone: member?.meta.get("zone") ?? null,
      state: member?.state ?? "unknown",
      self: isSelf ? true : undefined,
      owner: owning.has(id),
      role: roleOf(raft, id),
      leader: raft.leader === id ? true : undefined,
      memberState: committed?.get(id)?.state ?? null,
      afterDrain: committed?.get(id)?.afterDrain ?? null,
      joinedAt: joinedAtOf(committed?.get(id)),
      departure: departureOf(api, id) ?? undefined,
      actor: isSelf ? status.actor : (member?.meta.get("actor") ?? null),
      addresses: addressViews(member, peers.get(id)),
      incarnation: member?.incarnation ?? null,
      since: member ? rfc3339(member.sinceMs) : null,
      rttMs: member?.rttMs ?? null,
      estimatedRttMs: member?.estimatedRttMs ?? null,
      directLoss: member?.directLoss ?? null,
      phi: peers.get(id)?.phi ?? null,
      gray: peers.has(id) ? [...(peers.get(id)?.gray ?? [])] : undefined,
      accusers: [...(member?.accusers ?? [])],
      version: isSelf ? api.version : (member?.meta.get("version") ?? null),
      lag: peers.has(id) ? lagView(peers.get(id)) : undefined,
    };
  });
}

/** Null for founders, whose founding says no time, and for who is no member. */
function joinedAtOf(member: Readonly<Member> | undefined): string | null {
  return member && member.joinedAtMs > 0 ? rfc3339(member.joinedAtMs) : null;
}

function roleOf({ voters, outgoingVoters, learners }: RaftStatus, id: string): "voter" | "learner" | "none" {
  if (voters.includes(id) || outgoingVoters.includes(id)) return "voter";
  return learners.includes(id) ? "learner" : "none";
}

function addressViews(member: MemberView | undefined, peer: PeerSync | undefined): View {
  return {
    gossip: member?.gossipAddress ?? null,
    client: member?.meta.get("client") ?? null,
    peer: peer?.address ?? member?.meta.get("peer") ?? null,
  };
}

/** Entries still to go there, and to come from there. */
function lagView(peer: PeerSync | undefined): View {
  return peer ? { link: peer.link, to: peer.lagEntries, from: peer.behindEntries } : null;
}

/** `GET /cluster/nodes`, `/cluster/peers` (the same without this node). */
export function listNodes(api: Api, call: Call, who: "all" | "others"): Response {
  checkParameters(parseQuery(call.search), []);
  const nodes = nodeViews(api, api.replica.status());
  return jsonResponse(api, call, { nodes: nodes.filter(({ id }) => who === "all" || id !== api.replica.node) });
}

export function getNode(api: Api, call: Call, id: string): Response {
  checkParameters(parseQuery(call.search), []);
  const node = nodeViews(api, api.replica.status()).find((view) => view.id === id);
  if (!node)
    throw new ProblemError("not-found", `no node ${JSON.stringify(id.slice(0, 80))} here: see GET /cluster/nodes`);
  return jsonResponse(api, call, node);
}

/** `GET /cluster/rtt?to=&from=`: `from` is this node unless it says another. */
export function roundTrip(api: Api, call: Call): Response {
  const query = parseQuery(call.search);
  checkParameters(query, ["from", "to"]);
  const [from, to] = [query.get("from") ?? api.replica.node, query.get("to") ?? ""];
  const members = new Map<string, MemberView>(api.members().map((member) => [member.id, member]));
  for (const name of [from, to])
    if (!members.has(name))
      throw new ProblemError(
        "not-found",
        `no member ${JSON.stringify(name.slice(0, 80))} here: see GET /cluster/nodes`,
      );
  const measuredMs = from === api.replica.node ? (members.get(to)?.rttMs ?? null) : null;
  return jsonResponse(api, call, { from, to, estimatedMs: api.estimateRttMs(from, to), measuredMs });
}

/** `GET /cluster/health`: for people and alerts; a balancer that obeyed it would take every node out at once. */
export function clusterHealth(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const checks = checksOf(api, api.replica.status());
  const state = stateOf(checks);
  const view: View = { state, checks: checks.map((check) => ({ ...check })) };
  return jsonResponse(api, call, view, { status: state === "healthy" ? 200 : 503 });
}

// ---- anti-entropy

/** `POST /cluster/sync`: a round with every reachable peer, answered when it is done. */
export async function runSync(api: Api, call: Call): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  const peers = await api.replica.syncNow();
  return jsonResponse(api, call, syncView(api, { ...api.replica.status(), peers }));
}

/** `GET /cluster/sync/status`: equal digests on all owners = converged. */
export function syncStatus(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  return jsonResponse(api, call, syncView(api, api.replica.status()));
}

function syncView(api: Api, status: ReplicaStatus): View {
  return {
    node: api.replica.node,
    digest: status.digest,
    records: status.records,
    converged: isConverged(api, status),
    queuedWrites: status.queueDepth,
    earlyEntries: status.earlyEntries,
    peers: status.peers.map((peer) => ({
      node: peer.node,
      region: peer.region,
      link: peer.link,
      reason: peer.reason,
      address: peer.address,
      lastSync: peer.lastSyncMs === null ? null : rfc3339(peer.lastSyncMs),
      differences: peer.differences,
      sumDifferences: peer.sumDifferences,
      lag: lagView(peer),
      sentBytes: peer.sentBytes,
      receivedBytes: peer.receivedBytes,
      rttMs: peer.rttMs,
    })),
  };
}

// ---- liveness

/** The loop turns: nothing else. */
export function live(api: Api, call: Call): Response {
  return new Response("ok\n", { headers: { ...baseHeaders(api, call), "content-type": "text/plain" } });
}

/** Why clients should be sent to other nodes, though this one answers who comes. */
function asideFor({ plane, replica }: Api): string | undefined {
  const { node } = replica;
  if (plane.state === null) return undefined;
  const member = plane.state.members.get(node);
  if (!member) return `${node} is no member of ${plane.state.cluster.name}: send requests to others`;
  const why = {
    active: undefined,
    joining: "joins and owns nothing yet",
    draining: "hands over and goes",
    maintenance: "is in maintenance",
  };
  const is = why[member.state];
  return is && `${node} ${is}: send requests to others`;
}

/** 503 until this node may be sent reads, or writes (`?for=`). */
export function ready(api: Api, call: Call): Response {
  const query = parseQuery(call.search);
  checkParameters(query, ["for"]);
  const purpose = query.get("for") ?? "write";
  if (purpose !== "read" && purpose !== "write") throw new InputError("bad-parameter", "for is read or write");
  const { ready: isReady, readyWarning, failed, disk } = api.replica.status();
  // A node whose storage failed answers nothing from doubt (I13), reads included; one whose disk is full still reads.
  const takesIt = purpose === "read" || disk.level === "ample" || disk.level === "low";
  const aside = asideFor(api);
  const ok = isReady && failed === undefined && takesIt && aside === undefined;
  const view: View = {
    ready: ok,
    for: purpose,
    warning: aside ?? readyWarning,
    waitsFor: api.plane.waitsFor ?? undefined,
    failed,
    disk: disk.level,
  };
  return jsonResponse(api, call, view, { status: ok ? 200 : 503 });
}
