import type { GossipConfig, GossipHost, MemberEvent } from "../gossip/drivers/gossip-host.ts";
import { startGossip } from "../gossip/drivers/gossip-host.ts";
import type { Config } from "./config/types.ts";
import type { RaftSettings } from "./consensus/driver/settings.ts";
import type { Member } from "./control/schemas.ts";
import { GossipMemory } from "./gossip-memory.ts";
import { makeApp } from "./http/app.ts";
import type { HttpDeps } from "./http/deps.ts";
import type { NodeId } from "./kernel/ids.ts";
import { advertised, Members, metaOf, neighboursOf, peerAddressOf, Regions } from "./members.ts";
import { ControlPlane } from "./plane/plane.ts";
import { Owners } from "./replication/owners.ts";
import type { Tuning } from "./replication/parts.ts";
import { Replica } from "./replication/replica.ts";
import { type Closer, closeAll } from "./storage/closing.ts";
import { type ShapedNetwork, shapeNetwork } from "./world/shaping.ts";
import type { Address, Timer, World } from "./world/world.ts";
import { formatAddress } from "./world/world.ts";

export const VERSION = "0.1.0";

/** How long a stop waits for the news of it to spread. */
const LEAVE_MS = 5_000;

export interface RunningNode {
  readonly addresses: { readonly client: Address; readonly gossip: Address; readonly peer: Address };
  /** For the simulator's checkers and for tests: the very parts that serve. */
  readonly replica: Replica;
  readonly gossip: GossipHost;
  readonly plane: ControlPlane;
  /** Resolves when the node is no member any more and has handed over what it had: it should be stopped. */
  readonly gone: Promise<string>;
  /** Resolves with a reason when the node had to stop by itself (storage failed, an impossible state). */
  readonly failed: Promise<string>;
  /** Leaves the pool, ends every connection, saves what a start would have to work out, and releases the disk. */
  stop(): Promise<void>;
}

export interface NodeExtras {
  /** How late the event loop was lately; only a real process can tell. */
  readonly loopDelayMs?: () => { readonly p50: number; readonly p99: number; readonly max: number };
  /** For simulations of long times: nothing in a configuration sets it. */
  readonly tuning?: Tuning;
  readonly raft?: Partial<RaftSettings>;
}

/** The one place where the parts meet: (configuration, world) → node. The simulator runs this very function. */
export async function startNode(config: Config, outerWorld: World, extras: NodeExtras = {}): Promise<RunningNode> {
  const store = await outerWorld.disk.openStore(config.node.dataDir);
  const regions = new Regions(config);
  const shaped = config.dev
    ? shapeNetwork(outerWorld.network, {
        self: config.node.region,
        timers: outerWorld.timers,
        rng: outerWorld.rng.fork(),
        regionOf: (address) => regions.of(address),
      })
    : undefined;
  const world: World = { ...outerWorld, network: shaped?.network ?? outerWorld.network };
  const [failed, fail] = word();
  const [gone, leave] = word();
  const closers: Closer[] = [() => store.close()];
  try {
    let gossip: GossipHost | null = null;
    let reached: Member["addresses"] | null = null;
    const owners = new Owners(config.node.id, config.cluster.owners);
    const replica = await Replica.open({
      config,
      owners,
      world,
      store,
      gossipedAddress: (node) => (gossip ? peerAddressOf(gossip, node) : null),
      gossipedLoss: (node) => gossip?.member(node)?.directLoss ?? null,
      attribute: (stream, region) => shaped?.attribute(stream, region),
      onFailure: fail,
      ...(extras.tuning && { tuning: extras.tuning }),
    });
    closers.push(() => replica.stop());
    const peer = await world.network.listen(config.peer.bind, (stream) => replica.door.accept(stream));
    closers.push(() => peer.close());
    const members = new Members(() => gossip, world, regions);
    const plane = await openPlane(config, world, {
      replica,
      gossip: () => gossip,
      addresses: () => reached,
      extras,
      fail,
      onGone: (why) => void handOver(world, replica, why).then(leave),
    });
    closers.push(() => plane.stop());
    const app = makeApp(depsOf({ config, world, replica, plane, members, extras, shaped, gossip: () => gossip }));
    const { requestTimeoutMs, headerBytes, connections } = config.limits;
    const client = await world.network.serveHttp(config.client.bind, (request) => app.fetch(request), {
      requestTimeoutMs,
      headerBytes,
      connections,
    });
    closers.push(() => client.close());
    const memory = new GossipMemory(replica, world, config.gossip);
    closers.push(async () => memory.stop());
    const meta = metaOf(config, replica.actor(), { client, peer }, world.sha256);
    gossip = await startGossip({
      world,
      config: gossipConfig(config, memory),
      meta,
      onEvent: (event) => hear(event, { members, memory, replica, gossip: () => gossip, fail }),
    });
    const started = gossip;
    closers.push(() => started.close());
    closers.push(tellOf(plane, world, meta, started));
    replica.start();
    reached = { ...reachedAt(meta), gossip: advertised(config.gossip, started) };
    const addresses = { client: client.local, gossip: started.local, peer: peer.local };
    world.log.info("node.started", {
      client: formatAddress(client.local),
      gossip: formatAddress(started.local),
      peer: formatAddress(peer.local),
    });
    // Others hear of it within a gossip round or two; whoever doesn't will find out by probing.
    closers.push(() => within(world, LEAVE_MS, started.leave()));
    const stop = (): Promise<void> => closeAll(closers.splice(0).reverse());
    return { addresses, replica, gossip: started, plane, gone, failed, stop };
  } catch (error) {
    await closeAll(closers.splice(0).reverse(), [error]);
    throw error;
  }
}

/** Something that is said once, and how to say it. */
function word(): [Promise<string>, (text: string) => void] {
  let say: (text: string) => void = () => {};
  const said = new Promise<string>((resolve) => {
    say = resolve;
  });
  return [said, say];
}

function reachedAt(meta: ReadonlyMap<string, string>): Pick<Member["addresses"], "client" | "peer"> {
  return { client: meta.get("client") ?? null, peer: meta.get("peer") ?? null };
}

interface HttpParts {
  readonly config: Config;
  readonly world: World;
  readonly replica: Replica;
  readonly plane: ControlPlane;
  readonly members: Members;
  readonly extras: NodeExtras;
  readonly shaped: ShapedNetwork | undefined;
  readonly gossip: () => GossipHost | null;
}

/** What the HTTP API asks. */
function depsOf({ config, world, replica, plane, members, extras, shaped, gossip }: HttpParts): HttpDeps {
  return {
    config,
    replica,
    plane,
    world,
    members: () => members.views(),
    estimateRttMs: (from, to) => members.estimateRttMs(from, to),
    gossipKeys: async (operation, key) => (await gossip()?.keys(operation, key)) ?? { members: 0, answers: new Map() },
    gossipFigures: () => gossip()?.figures() ?? null,
    seedSources: () => members.seedSources(),
    events: members,
    version: VERSION,
    ...(shaped && { network: shaped }),
    ...(extras.loopDelayMs && { loopDelayMs: extras.loopDelayMs }),
  };
}

interface PlaneParts {
  readonly replica: Replica;
  readonly gossip: () => GossipHost | null;
  readonly addresses: () => Member["addresses"] | null;
  readonly extras: NodeExtras;
  readonly onGone: (why: string) => void;
  readonly fail: (reason: string) => void;
}

function openPlane(config: Config, world: World, parts: PlaneParts): Promise<ControlPlane> {
  const { replica, gossip, addresses, extras, onGone, fail } = parts;
  return ControlPlane.open({
    config,
    world,
    partitionBits: replica.layout.partitionBits,
    owners: replica.owners,
    door: replica.door,
    notebook: replica,
    copy: replica,
    addresses,
    gossipedAddress: (node) => {
      const host = gossip();
      return host ? peerAddressOf(host, node as NodeId) : null;
    },
    neighbours: () => neighboursOf(gossip()),
    ...(extras.raft && { settings: extras.raft }),
    onGone,
    onFailure: fail,
  });
}

/** News of the control plane come in bursts, and each is told to everybody. */
const TELL_AFTER_MS = 200;

/** Keeps what gossip says of this node's part in the control plane up to date. Returns what ends that. */
function tellOf(plane: ControlPlane, world: World, meta: ReadonlyMap<string, string>, gossip: GossipHost): Closer {
  let timer: Timer | null = null;
  let told = "";
  const tell = (): void => {
    timer = null;
    const tags = [...plane.tags()].filter(([, value]) => value !== "");
    if (told === String(tags)) return;
    told = String(tags);
    gossip.updateMeta(new Map([...meta, ...tags]));
  };
  const later = (): void => {
    timer ??= world.timers.after(TELL_AFTER_MS, tell);
  };
  const end = plane.onChange(later);
  later();
  return async () => {
    end();
    timer?.cancel();
  };
}

/** How long a node that is no member any more waits for its last writes to be elsewhere. */
const HAND_OVER_MS = 10_000;

/** What was being written when the node left is handed over before it stops. */
async function handOver(world: World, replica: Replica, why: string): Promise<string> {
  world.log.warn("node.gone", { why });
  const untilMs = world.clock.monotonicMs() + HAND_OVER_MS;
  while (!replica.isHandedOver() && world.clock.monotonicMs() < untilMs)
    await new Promise<void>((resolve) => {
      world.timers.after(HAND_OVER_POLL_MS, resolve);
    });
  if (!replica.isHandedOver())
    world.log.error("node.not-handed-over", {
      detail: "the data directory has writes that no other node has: keep it",
    });
  return why;
}

const HAND_OVER_POLL_MS = 100;

async function within(world: World, ms: number, done: Promise<void>): Promise<void> {
  let timer: Timer | undefined;
  const late = new Promise<void>((resolve) => {
    timer = world.timers.after(ms, resolve);
  });
  await Promise.race([done, late]);
  timer?.cancel();
}

interface Hearers {
  readonly members: Members;
  readonly memory: GossipMemory;
  readonly replica: Replica;
  readonly gossip: () => GossipHost | null;
  readonly fail: (reason: string) => void;
}

/** What gossip tells the parts of a node. */
function hear(event: MemberEvent, { members, memory, replica, gossip, fail }: Hearers): void {
  members.onEvent(event);
  if (event.kind === "keys-changed") memory.keysChanged(gossip()?.ownKeys() ?? []);
  else memory.membersChanged(() => members.othersAlive());
  if (event.kind === "member-up" || event.kind === "member-update" || event.kind === "refuted")
    replica.seen(event.name as NodeId);
  if (event.kind === "conflict" && event.role === "second")
    fail(`another living node is called ${event.name}: give each node a node.id of its own`);
}

function gossipConfig({ node, gossip, cluster }: Config, memory: GossipMemory): GossipConfig {
  return {
    name: node.id,
    bind: gossip.bind,
    ...(gossip.advertise.port !== 0 && { advertise: gossip.advertise }),
    label: gossip.label,
    compress: gossip.compress,
    keys: memory.keys(),
    verifyIncoming: gossip.verifyIncoming,
    verifyOutgoing: gossip.verifyOutgoing,
    profile: gossip.profile,
    seeds: cluster.seeds,
    lookups: cluster.lookups,
    remembered: memory.addresses(),
  };
}
