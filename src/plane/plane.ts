import type { Config } from "../config/types.ts";
import type { Message } from "../consensus/core/messages.ts";
import { RaftHost } from "../consensus/driver/host.ts";
import { type RaftLinkStatus, RaftLinks } from "../consensus/driver/links.ts";
import type { Snapshotted } from "../consensus/driver/ready-loop.ts";
import { OutcomeUnknown, RaftRefusal } from "../consensus/driver/refusal.ts";
import { RAFT_SETTINGS, type RaftSettings } from "../consensus/driver/settings.ts";
import type { Applied } from "../consensus/driver/state-machine.ts";
import type { RaftStatus } from "../consensus/driver/status.ts";
import type { Result } from "../control/apply.ts";
import { type Going, type Obstacle, obstaclesTo } from "../control/checks.ts";
import { encodeCommand } from "../control/codec.ts";
import type { Feed } from "../control/feed.ts";
import { ControlMachine } from "../control/machine.ts";
import { type ControlState, ownersOf } from "../control/state.ts";
import { InputError, present } from "../kernel/assert.ts";
import { type NodeId, parseNodeId, parseRegion } from "../kernel/ids.ts";
import type { PeerDoor } from "../peer/door.ts";
import type { Owner, Owners } from "../replication/owners.ts";
import { type Address, parseAddress, type World } from "../world/world.ts";
import type { PlaneApi, Wish } from "./api.ts";
import { commandOf } from "./command-of.ts";
import { foundingOf } from "./founding.ts";
import { Steward } from "./steward.ts";

export interface PlaneOptions {
  readonly config: Config;
  readonly world: World;
  readonly partitionBits: number;
  /** Follows the committed members from here on. */
  readonly owners: Owners;
  readonly door: PeerDoor;
  /** The newest gossiped peer address of a node. */
  readonly gossipedAddress: (node: NodeId) => Address | null;
  /** Since when gossip holds it for alive, or not (monotonic ms); null when it never heard of it. */
  readonly hearsayOf: (node: string) => { readonly isAlive: boolean; readonly sinceMs: number } | null;
  readonly settings?: Partial<RaftSettings>;
  /** Storage failed or a state was impossible: the process must stop (I13). */
  readonly onFailure: (reason: string) => void;
}

/** How long one try of a proposal may take: it may have been forwarded to a leader that is gone. About two elections. */
const ATTEMPT_MS = 2_000;
/** Between tries. */
const RETRY_MS = 100;

/** A node's part in what the cluster agrees on: its seat in the Raft group, the latest committed state that it has, and
 *  what follows from that here. No data read or write asks it for anything (I10). */
export class ControlPlane implements PlaneApi {
  readonly #o: PlaneOptions;
  readonly #machine: ControlMachine;
  readonly #steward: Steward;
  #host: RaftHost<Result> | null = null;
  #links: RaftLinks | null = null;
  #ownersVersion = -1;
  readonly #listeners = new Set<() => void>();
  /** A later version's commands: this node applies no more, and its data goes on. */
  #tooOld: string | null = null;

  static async open(options: PlaneOptions): Promise<ControlPlane> {
    const plane = new ControlPlane(options);
    await plane.#open();
    return plane;
  }

  private constructor(options: PlaneOptions) {
    this.#o = options;
    this.#machine = new ControlMachine(options.world.sha256);
    this.#steward = new Steward(options.world, {
      status: () => this.status(),
      state: () => this.state,
      hearsayOf: options.hearsayOf,
      propose: (wish) => this.propose(wish, STEWARD_TIMEOUT_MS),
      changeGroup: (change) => this.#raft.changeGroup(change, STEWARD_TIMEOUT_MS),
      transfer: (to) => this.#raft.transfer(to),
    });
  }

  async #open(): Promise<void> {
    const { config, world, settings } = this.#o;
    const store = await world.disk.openRaftStore(config.node.dataDir);
    this.#host = await RaftHost.open<Result>({
      world,
      identity: { cluster: config.cluster.id, node: config.node.id },
      store,
      machine: {
        apply: (entry) => this.#apply(entry),
        snapshot: () => this.#machine.snapshot(),
        restore: (data) => {
          this.#machine.restore(data);
          this.#changed();
        },
      },
      settings: { ...RAFT_SETTINGS, ...settings },
      send: (message) => this.#send(message),
      // A newcomer hears of its group from whoever has the salt; later the committed members count.
      allow: (node) => this.state === null || this.state.members.has(node),
      onEmpty: (host) => this.#begin(host),
      onFailure: (reason) => (this.#tooOld === null ? this.#o.onFailure(reason) : undefined),
    });
    this.#links = this.#openLinks(this.#host);
    this.#host.onLeader(() => this.#tell());
    this.#steward.start();
  }

  #openLinks(host: RaftHost<Result>): RaftLinks {
    const { world, door } = this.#o;
    return new RaftLinks({
      world,
      hello: door.mine,
      heartbeatMs: door.heartbeatMs,
      door,
      addressOf: (node) => this.#addressOf(node),
      receive: (from, bytes) => {
        this.#steward.heard(from);
        host.receive(from, bytes);
      },
      snapshotEnded: (to, arrived) => host.snapshotEnded(to, arrived),
    });
  }

  /** Whoever the configuration names as an owner founds with the others, each by itself, the same. */
  async #begin(host: RaftHost<Result>): Promise<void> {
    const { config, world, partitionBits } = this.#o;
    const { voters, data } = foundingOf(config.cluster, partitionBits, world.sha256);
    if (voters.includes(config.node.id)) await host.found(voters, data);
    else await host.join();
  }

  get #raft(): RaftHost<Result> {
    return present(this.#host, "a plane is handed out when it is open");
  }

  // ---- what is known

  /** The latest committed state that this node has; null before it heard of any. Nobody waits for a newer one. */
  get state(): ControlState | null {
    return this.#machine.state;
  }

  /** Of the state, hex: equal where the versions are. */
  get hash(): string | null {
    return this.#machine.hash();
  }

  get feed(): Feed {
    return this.#machine.feed;
  }

  status(): RaftStatus {
    return this.#raft.status();
  }

  links(): RaftLinkStatus[] {
    return this.#links?.status() ?? [];
  }

  /** What the leader's steward did last, and why; null elsewhere. */
  get advice(): string | null {
    return this.#steward.advice;
  }

  /** Calls after each change of the state or of the leader, until the returned function is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // ---- what is asked

  /** Resolves when the command was applied here, with what became of it. Rejects with RaftRefusal when nothing has
   *  happened, with OutcomeUnknown when nobody can say; with InputError when it says what no command may. */
  async propose(wish: Wish, timeoutMs: number): Promise<Result> {
    const { world } = this.#o;
    const bytes = encodeCommand(commandOf(wish, this.state?.version ?? 0, world));
    const untilMs = world.clock.monotonicMs() + timeoutMs;
    let unknown: OutcomeUnknown | null = null;
    for (;;) {
      const leftMs = Math.max(1, untilMs - world.clock.monotonicMs());
      try {
        return (await this.#raft.propose(bytes, Math.min(leftMs, ATTEMPT_MS))).result;
      } catch (error) {
        // The same command again: its id makes that it is applied once (apply.ts, Recent).
        if (error instanceof OutcomeUnknown) unknown = error;
        else if (!(error instanceof RaftRefusal) || error.retryAfterMs === null) throw unknown ?? error;
        if (world.clock.monotonicMs() + RETRY_MS >= untilMs) throw unknown ?? error;
      }
      await new Promise<void>((resolve) => {
        world.timers.after(RETRY_MS, resolve);
      });
    }
  }

  /** A state no older than what any node had acknowledged when this was called. Rejects with RaftRefusal. */
  async read(timeoutMs: number): Promise<ControlState> {
    await this.#raft.read(timeoutMs);
    return present(this.state, "a group that answers has been founded");
  }

  preview(wish: Wish): Result {
    return this.#machine.preview(commandOf(wish, this.state?.version ?? 0, this.#o.world));
  }

  obstacles(going: Going, id: string): readonly Obstacle[] {
    return this.state ? obstaclesTo(going, this.state, id, this.#steward.evidence()) : [];
  }

  heardAtMs(id: string): number | null {
    const { world, hearsayOf } = this.#o;
    const told = hearsayOf(id);
    if (!told) return null;
    const agoMs = told.isAlive ? 0 : Math.max(0, world.clock.monotonicMs() - told.sinceMs);
    return Math.floor(world.clock.wallMs() - agoMs);
  }

  snapshot(): Promise<Snapshotted> {
    return this.#raft.snapshot();
  }

  transfer(to: string): void {
    this.#raft.transfer(to);
  }

  async stop(): Promise<void> {
    this.#steward.stop();
    this.#links?.stop();
    await this.#host?.stop();
  }

  // ---- what follows

  #send(message: Message): void {
    this.#links?.send(message); // before the links are there it is lost, and Raft repeats it
  }

  #apply({ index, data, change }: Applied): Result {
    if (data.length === 0 || change !== null) return { ok: true, version: this.state?.version ?? 0 };
    try {
      return this.#machine.apply({ index, bytes: data });
    } catch (error) {
      if (error instanceof InputError) this.#tooOld = error.message;
      throw error;
    } finally {
      this.#changed();
    }
  }

  #changed(): void {
    const { state } = this;
    if (state === null || state.version === this.#ownersVersion) return;
    this.#ownersVersion = state.version;
    const next = ownersIn(state);
    if (!isSame(next, this.#o.owners.all)) this.#o.owners.set(next);
    this.#links?.keepOnly(new Set(state.members.keys()));
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #addressOf(node: string): Address | null {
    const committed = this.state?.members.get(node)?.addresses.peer ?? null;
    const configured = this.#o.config.cluster.owners.find(({ id }) => id === node)?.peer ?? null;
    return this.#o.gossipedAddress(parseNodeId(node)) ?? (committed === null ? configured : parseAddress(committed));
  }
}

/** Of the steward's own steps; the next look is a second later anyway. */
const STEWARD_TIMEOUT_MS = 5_000;

function ownersIn(state: ControlState): Owner[] {
  return ownersOf(state).map((id) => {
    const { region, addresses } = present(state.members.get(id), "owners are members");
    return {
      id: parseNodeId(id),
      region: parseRegion(region),
      ...(addresses.peer !== null && { peer: parseAddress(addresses.peer) }),
    };
  });
}

function isSame(a: readonly Owner[], b: readonly Owner[]): boolean {
  const text = (owners: readonly Owner[]): string => JSON.stringify([...owners].sort((x, y) => (x.id < y.id ? -1 : 1)));
  return text(a) === text(b);
}
