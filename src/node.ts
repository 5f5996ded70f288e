import type { GossipConfig, GossipHost, MemberEvent } from "../gossip/drivers/gossip-host.ts";
import { startGossip } from "../gossip/drivers/gossip-host.ts";
import type { Config } from "./config/types.ts";
import type { RaftSettings } from "./consensus/driver/settings.ts";
import { GossipMemory } from "./gossip-memory.ts";
import { makeApp } from "./http/app.ts";
import type { HttpDeps } from "./http/deps.ts";
import type { NodeId } from "./kernel/ids.ts";
import { hearsayOf, Members, metaOf, peerAddressOf, Regions } from "./members.ts";
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
  let fail: (reason: string) => void = () => {};
  const failed = new Promise<string>((resolve) => {
    fail = resolve;
  });
  const closers: Closer[] = [() => store.close()];
  try {
    let gossip: GossipHost | null = null;
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
    const plane = await openPlane(config, world, { replica, gossip: () => gossip, extras, fail });
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
    gossip = await startGossip({
      world,
      config: gossipConfig(config, memory),
      meta: metaOf(config, replica.actor(), { client, peer }),
      onEvent: (event) => hear(event, { members, memory, replica, gossip: () => gossip, fail }),
    });
    const started = gossip;
    closers.push(() => started.close());
    replica.start();
    const addresses = { client: client.local, gossip: started.local, peer: peer.local };
    world.log.info("node.started", {
      client: formatAddress(client.local),
      gossip: formatAddress(started.local),
      peer: formatAddress(peer.local),
    });
    // Others hear of it within a gossip round or two; whoever doesn't will find out by probing.
    closers.push(() => within(world, LEAVE_MS, started.leave()));
    const stop = (): Promise<void> => closeAll(closers.splice(0).reverse());
    return { addresses, replica, gossip: started, plane, failed, stop };
  } catch (error) {
    await closeAll(closers.splice(0).reverse(), [error]);
    throw error;
  }
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
  readonly extras: NodeExtras;
  readonly fail: (reason: string) => void;
}

function openPlane(config: Config, world: World, parts: PlaneParts): Promise<ControlPlane> {
  const { replica, gossip, extras, fail } = parts;
  return ControlPlane.open({
    config,
    world,
    partitionBits: replica.layout.partitionBits,
    owners: replica.owners,
    door: replica.door,
    gossipedAddress: (node) => {
      const host = gossip();
      return host ? peerAddressOf(host, node) : null;
    },
    hearsayOf: (node) => hearsayOf(gossip(), node),
    ...(extras.raft && { settings: extras.raft }),
    onFailure: fail,
  });
}

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
