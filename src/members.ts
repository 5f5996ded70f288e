import type { GossipHost, MemberEvent } from "../gossip/drivers/gossip-host.ts";
import { contactTag, estimatedRttMs } from "../gossip/index.ts";
import type { Config } from "./config/types.ts";
import type { MemberChange, MemberEvents, MemberView, SeedSourceState } from "./http/deps.ts";
import { InputError } from "./kernel/assert.ts";
import { toHex, utf8 } from "./kernel/bytes.ts";
import type { Sha256 } from "./kernel/hashing.ts";
import { type ActorId, NAME, type NodeId, type Region } from "./kernel/ids.ts";
import { type Neighbour, parseTag } from "./plane/neighbours.ts";
import type { Address, Listener, World } from "./world/world.ts";
import { formatAddress, parseAddress } from "./world/world.ts";

/** What this node says of itself in gossip, at most 512 bytes (gossip.md): where it is and how to reach it. */
export function metaOf(
  config: Config,
  actor: ActorId,
  at: { client: Listener; peer: Listener },
  sha256: Sha256,
): Map<string, string> {
  return new Map([
    ["id", config.node.id],
    ["actor", actor],
    ["region", config.node.region],
    ["zone", config.node.zone],
    ["client", advertised(config.client, at.client)],
    ["peer", advertised(config.peer, at.peer)],
    ["proto", "1-1"],
    // Enough to tell two clusters in one pool apart.
    ["cluster", toHex(sha256(utf8(config.cluster.id)).subarray(0, 4))],
    ...[...config.gossip.advertiseTo].map(([region, to]): Tag => [contactTag(region), formatAddress(to)]),
    ...[...config.peer.advertiseTo].map(([region, to]): Tag => [`peer.${region}`, formatAddress(to)]),
  ]);
}

type Tag = [string, string];

/** Where others reach a listener: as configured, with the port that it got if that was left open. */
export function advertised({ advertise }: { readonly advertise: Address }, { local }: Pick<Listener, "local">): string {
  return formatAddress(advertise.port === 0 ? { host: advertise.host, port: local.port } : advertise);
}

/** Where gossip says that we reach a node's peer port, if it counts it as alive. */
export function peerAddressOf(gossip: GossipHost, node: NodeId): Address | null {
  const member = gossip.member(node);
  const region = gossip.self.meta.get("region") ?? "";
  const told = usable(member?.meta.get(`peer.${region}`)) ?? usable(member?.meta.get("peer"));
  return member?.state === "left" ? null : told;
}

/** What the others of this cluster say of their part in the control plane. Serf's agents, and whoever else is in the pool, have
 *  none. */
export function neighboursOf(gossip: GossipHost | null): Neighbour[] {
  const cluster = gossip?.self.meta.get("cluster");
  const isOurs = ({ name, meta }: { readonly name: string; readonly meta: ReadonlyMap<string, string> }): boolean =>
    name !== gossip?.self.name && meta.get("cluster") === cluster && isPeer(name, meta);
  const others = gossip?.members().filter(isOurs) ?? [];
  return others.map(({ name, meta, state, stateChangedMs }) => ({
    id: name,
    region: meta.get("region") ?? "",
    zone: meta.get("zone") ?? "",
    isAlive: state === "alive",
    sinceMs: stateChangedMs,
    state: parseTag(meta.get("ctl")),
    leads: countIn(meta.get("lead")),
    expects: countIn(meta.get("boot")),
  }));
}

function isPeer(name: string, meta: ReadonlyMap<string, string>): boolean {
  return NAME.test(name) && meta.get("id") === name && NAME.test(meta.get("region") ?? "");
}

function countIn(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : null;
}

/** Hearsay: what is no address is as if nobody had said it. */
function usable(text: string | undefined): Address | null {
  if (text === undefined) return null;
  try {
    const address = parseAddress(text);
    return address.port === 0 ? null : address;
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}

/** Which region an address is in, as far as configuration and gossip ever told: for the development network shaper. */
export class Regions {
  readonly #regions = new Map<string, string>();
  readonly #isUsed: boolean;

  constructor(config: Config) {
    this.#isUsed = config.dev;
    for (const { region, peer } of config.cluster.owners) if (peer) this.#regions.set(formatAddress(peer), region);
  }

  of(address: Address): string | undefined {
    return this.#regions.get(formatAddress(address));
  }

  learn(view: MemberView): void {
    if (!this.#isUsed) return;
    for (const text of [view.gossipAddress, view.meta.get("peer")])
      if (text !== undefined) this.#regions.set(text, view.region);
  }
}

/** The members as the HTTP API shows them, and who wants to hear of their changes. */
export class Members implements MemberEvents {
  readonly #gossip: () => GossipHost | null;
  readonly #world: World;
  readonly #regions: Regions;
  readonly #listeners = new Set<(member: MemberView, change: MemberChange) => void>();

  constructor(gossip: () => GossipHost | null, world: World, regions: Regions) {
    this.#gossip = gossip;
    this.#world = world;
    this.#regions = regions;
  }

  views(): MemberView[] {
    return (this.#gossip()?.members() ?? []).map((member) => this.#view(member));
  }

  seedSources(): SeedSourceState[] {
    const nowMs = this.#world.clock.monotonicMs();
    return (this.#gossip()?.seedSources() ?? []).map(({ nextTryMs, addresses, ...rest }) => ({
      ...rest,
      addresses: addresses.map(formatAddress),
      nextTryInMs: nextTryMs === null ? null : Math.max(0, Math.round(nextTryMs - nowMs)),
    }));
  }

  /** Where the others that live are: what a restart should know. */
  othersAlive(): string[] {
    const gossip = this.#gossip();
    const others = gossip?.members().filter(({ name, state }) => state === "alive" && name !== gossip.self.name) ?? [];
    return others.map(({ contact }) => formatAddress(contact));
  }

  #view(member: ReturnType<GossipHost["members"]>[number]): MemberView {
    const ageMs = this.#world.clock.monotonicMs() - member.stateChangedMs;
    const view: MemberView = {
      id: member.name as NodeId,
      region: (member.meta.get("region") ?? "unknown") as Region,
      state: member.state,
      incarnation: member.incarnation,
      gossipAddress: formatAddress(member.address),
      meta: member.meta,
      rttMs: member.rttMs,
      estimatedRttMs: this.estimateRttMs(this.#gossip()?.self.name ?? "", member.name),
      directLoss: member.directLoss,
      accusers: member.accusers,
      sinceMs: this.#world.clock.wallMs() - ageMs,
    };
    this.#regions.learn(view);
    return view;
  }

  /** By coordinates: also between two who never measured each other. Null where one is unknown, or told none yet. */
  estimateRttMs(from: string, to: string): number | null {
    const gossip = this.#gossip();
    const [a, b] = [gossip?.member(from)?.coordinate, gossip?.member(to)?.coordinate];
    return a && b && from !== to ? estimatedRttMs(a, b) : null;
  }

  onEvent(event: MemberEvent): void {
    const member = this.#gossip()?.member(event.name);
    this.#world.log[event.kind === "member-dead" || event.kind === "conflict" ? "warn" : "info"](
      `gossip.${event.kind}`,
      { member: event.name },
    );
    if (!member) return;
    const view = this.#view(member);
    const change = { kind: event.kind, ...("by" in event && { by: event.by }) };
    for (const listener of this.#listeners) listener(view, change);
  }

  subscribe(listener: (member: MemberView, change: MemberChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
