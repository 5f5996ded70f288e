import type { Config } from "../config/types.ts";
import type { Message } from "../consensus/core/messages.ts";
import { RaftHost } from "../consensus/driver/host.ts";
import { type RaftLinkStatus, RaftLinks } from "../consensus/driver/links.ts";
import type { Snapshotted } from "../consensus/driver/ready-loop.ts";
import { RaftRefusal } from "../consensus/driver/refusal.ts";
import { RAFT_SETTINGS, type RaftSettings } from "../consensus/driver/settings.ts";
import type { RaftStatus } from "../consensus/driver/status.ts";
import type { Result } from "../control/apply.ts";
import { type Going, type Obstacle, obstaclesTo } from "../control/checks.ts";
import { encodeCommand } from "../control/codec.ts";
import type { Feed } from "../control/feed.ts";
import { ControlMachine } from "../control/machine.ts";
import type { Member } from "../control/schemas.ts";
import type { ControlState } from "../control/state.ts";
import { present } from "../kernel/assert.ts";
import { EMPTY_BYTES } from "../kernel/bytes.ts";
import type { PeerDoor } from "../peer/door.ts";
import type { Owners } from "../replication/owners.ts";
import type { Address, Timer, World } from "../world/world.ts";
import type { PlaneApi, Wish } from "./api.ts";
import { Applying } from "./applying.ts";
import { commandOf } from "./command-of.ts";
import { Keeper, type Notebook } from "./keeper.ts";
import { formatTag, type Neighbour, type StateTag, tagOf } from "./neighbours.ts";
import { Outside } from "./outside.ts";
import { follow, peerAddressIn } from "./ownership.ts";
import { type CopyProgress, Residence } from "./residence.ts";
import { Seat } from "./seat.ts";
import { Steward } from "./steward.ts";
import { untilSettled } from "./trying.ts";
import { Waits } from "./waits.ts";

export interface PlaneOptions {
  readonly config: Config;
  readonly world: World;
  readonly partitionBits: number;
  /** Follows the committed members from here on. */
  readonly owners: Owners;
  readonly door: PeerDoor;
  readonly notebook: Notebook;
  readonly copy: CopyProgress;
  /** Where others reach this node; null while it opens its listeners. */
  readonly addresses: () => Member["addresses"] | null;
  /** The newest gossiped peer address of a node. */
  readonly gossipedAddress: (node: string) => Address | null;
  /** All others that gossip knows of. */
  readonly neighbours: () => readonly Neighbour[];
  readonly settings?: Partial<RaftSettings>;
  /** This node is a member no more: it should hand over what is left, and stop. */
  readonly onGone: (why: string) => void;
  /** Storage failed or a state was impossible: the process must stop (I13). */
  readonly onFailure: (reason: string) => void;
}

/** How often it is looked at what this node should do about its seat. */
const LOOK_MS = 1_000;
/** Of the steward's own steps; the next look is a second later anyway. */
const STEWARD_TIMEOUT_MS = 5_000;

/** A node's part in what the cluster agrees on: its seat in the Raft group, the latest committed state that it has, and
 *  what follows from that here. No data read or write asks it for anything (I10). */
export class ControlPlane implements PlaneApi {
  readonly #o: PlaneOptions;
  readonly #machine: ControlMachine;
  readonly #keeper: Keeper;
  readonly #steward: Steward;
  readonly #residence: Residence;
  readonly #seat: Seat;
  readonly #outside: Outside;
  readonly #waits: Waits;
  #host: RaftHost<Result> | null = null;
  #links: RaftLinks | null = null;
  #followed: ControlState | null = null;
  #timer: Timer | null = null;
  #isLooking = false;
  #isStopped = false;
  readonly #listeners = new Set<() => void>();

  /** Rejects with InputError when the data directory is another node's. */
  static async open(options: PlaneOptions): Promise<ControlPlane> {
    const plane = new ControlPlane(options);
    await plane.#open();
    return plane;
  }

  private constructor(options: PlaneOptions) {
    const { world, notebook, config, copy, onGone } = options;
    this.#o = options;
    this.#machine = new ControlMachine(world.sha256);
    this.#keeper = new Keeper(notebook, world);
    this.#waits = new Waits(world);
    this.#seat = this.#makeSeat();
    this.#outside = this.#makeOutside();
    this.#steward = new Steward(world, {
      status: () => this.#raft.status(),
      state: () => this.#machine.appliedState,
      hearsayOf: (node) => this.#outside.hearsayOf(node),
      propose: (wish) => this.propose(wish, STEWARD_TIMEOUT_MS),
      changeGroup: (change) => this.#raft.changeGroup(change, STEWARD_TIMEOUT_MS),
      transfer: (to) => this.#raft.transfer(to),
    });
    this.#residence = new Residence({
      self: config.node.id,
      world,
      copy,
      state: () => this.state,
      isSettled: () => this.#seat.why === null,
      isNeeded: () => this.#raft.status().leader !== null && this.#isInGroup(config.node.id),
      isLetGo: (timeoutMs) => this.#outside.isLetGo(timeoutMs),
      propose: (wish, timeoutMs) => this.propose(wish, timeoutMs),
      onGone,
    });
  }

  async #open(): Promise<void> {
    const { config, world, settings } = this.#o;
    this.#keeper.restore((bytes) => this.#machine.adopt(bytes));
    const store = await world.disk.openRaftStore(config.node.dataDir);
    const machine = new Applying(this.#machine, () => this.#changed());
    const host = await RaftHost.open<Result>({
      world,
      identity: { cluster: config.cluster.id, node: config.node.id },
      store,
      machine,
      settings: { ...RAFT_SETTINGS, ...settings },
      send: (message) => this.#send(message),
      // A newcomer hears of its group from whoever has the salt; later the committed members count.
      allow: (node) => this.state === null || this.state.members.has(node),
      mayTakePart: (log) => this.#seat.mayTakePart(log),
      onFailure: (reason) => (machine.isTooOld ? undefined : this.#o.onFailure(reason)),
    });
    this.#host = host;
    this.#links = this.#openLinks(host);
    host.onLeader(() => this.#tell());
    this.#changed();
    this.#steward.start();
    this.#look(0);
  }

  #makeSeat(): Seat {
    const { config, world, partitionBits, neighbours, addresses } = this.#o;
    return new Seat({
      config,
      world,
      partitionBits,
      neighbours,
      addresses,
      host: () => this.#raft,
      state: () => this.state,
      propose: (wish, timeoutMs) => this.propose(wish, timeoutMs),
      askToFound: (node, timeoutMs) => this.#control.ask(node, "found", EMPTY_BYTES, timeoutMs),
      keep: () => this.#keeper.save(),
    });
  }

  #makeOutside(): Outside {
    const { world, neighbours } = this.#o;
    return new Outside({
      world,
      self: this.#o.config.node.id,
      neighbours,
      state: () => this.state,
      tag: () => this.#tag(),
      stateBytes: () => this.#machine.stateBytes(),
      adopt: (bytes) => {
        if (this.#machine.adopt(bytes)) this.#changed();
      },
      ask: (node, op, body, timeoutMs) => this.#control.ask(node, op, body, timeoutMs),
      hasSeat: () => this.#hasSeat,
      propose: async (bytes, timeoutMs) => (await this.#raft.propose(bytes, timeoutMs)).result,
      read: async (timeoutMs) => {
        await this.#raft.read(timeoutMs);
      },
      mayFound: (caller) => this.#seat.answerFound(caller),
      isInGroup: (node) => this.#isInGroup(node),
    });
  }

  #openLinks(host: RaftHost<Result>): RaftLinks {
    const { world, door } = this.#o;
    return new RaftLinks({
      world,
      hello: door.mine,
      heartbeatMs: door.heartbeatMs,
      door,
      epoch: () => this.#epoch,
      addressOf: (node) => this.#o.gossipedAddress(node) ?? peerAddressIn(this.state, node, this.#o.config.cluster),
      receive: (from, bytes) => {
        host.receive(from, bytes);
        this.#steward.heard(from); // only what was taken: nothing is kept of strangers
      },
      answer: (op, body, caller) => this.#outside.answer(op, body, caller),
      broke: (node) => host.linkBroke(node),
      snapshotEnded: (to, arrived) => host.snapshotEnded(to, arrived),
    });
  }

  get #raft(): RaftHost<Result> {
    return present(this.#host, "a plane is handed out when it is open");
  }

  get #control(): RaftLinks {
    return present(this.#links, "a plane is handed out when it is open");
  }

  /** Who was left behind when a lost quorum was given up speaks with an older one. */
  get #epoch(): number {
    return this.state?.cluster.incarnation ?? 1;
  }

  /** Has this node a part in the Raft group? */
  get #hasSeat(): boolean {
    if (this.#raft.status().state !== "running") return false;
    const me = this.state?.members.get(this.#o.config.node.id);
    return me === undefined ? this.state === null : me.role !== "none";
  }

  /** As far as this node's log tells. */
  #isInGroup(node: string): boolean {
    const { voters, outgoingVoters, learners } = this.#raft.status();
    return [voters, outgoingVoters, learners].some((ids) => ids.includes(node));
  }

  // ---- what is known

  get state(): ControlState | null {
    return this.#machine.state;
  }

  get hash(): string | null {
    return this.#machine.hash();
  }

  get feed(): Feed {
    return this.#outside.awaitsLog ? this.#machine.logFeed : this.#machine.feed;
  }

  #tag(): StateTag | null {
    const { state, hash } = this;
    return state === null || hash === null ? null : tagOf(state, hash);
  }

  /** What this node tells the others by gossip (`Neighbour`). */
  tags(): Map<string, string> {
    const tag = this.#tag();
    const { role, term, state } = this.#raft.status();
    const { start } = this.#o.config.cluster;
    return new Map([
      ["ctl", tag ? formatTag(tag) : ""],
      ["lead", state === "running" && role === "leader" ? String(term) : ""],
      ["boot", tag === null && start.kind === "expect" ? String(start.count) : ""],
    ]);
  }

  /** Without a seat: who leads by hearsay, and who shall vote. */
  status(): RaftStatus {
    const status = this.#raft.status();
    if (this.#hasSeat) return status;
    return { ...this.#outside.statusOf(status), reason: this.#seat.why ?? status.reason };
  }

  links(): RaftLinkStatus[] {
    return this.#links?.status() ?? [];
  }

  get advice(): string | null {
    return this.#steward.advice;
  }

  get waitsFor(): string | null {
    return this.#seat.why ?? this.#residence.why;
  }

  /** Nodes that have another state of our version: 0, or something is broken. */
  get differing(): number {
    return this.#outside.differing;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // ---- what is asked

  /** Resolves when the command was applied, with what became of it. Rejects with RaftRefusal when nothing has happened,
   *  with OutcomeUnknown when nobody can say; with InputError when it says what no command may. */
  async propose(wish: Wish, timeoutMs: number): Promise<Result> {
    const { world } = this.#o;
    const bytes = encodeCommand(commandOf(wish, this.state?.version ?? 0, world));
    return untilSettled(
      world,
      timeoutMs,
      (ms) => this.#try(bytes, ms),
      () => this.#isStopped,
    );
  }

  async #try(bytes: Uint8Array, timeoutMs: number): Promise<Result> {
    if (!this.#hasSeat) return this.#outside.propose(bytes, timeoutMs);
    return (await this.#raft.propose(bytes, timeoutMs)).result;
  }

  /** A state no older than what any node had acknowledged when this was called. Rejects with RaftRefusal. */
  async read(timeoutMs: number): Promise<ControlState> {
    if (this.#hasSeat) await this.#raft.read(timeoutMs);
    else await this.#outside.read(timeoutMs);
    return present(this.state, "a group that answers has been founded");
  }

  preview(wish: Wish): Result {
    return this.#machine.preview(commandOf(wish, this.state?.version ?? 0, this.#o.world));
  }

  obstacles(going: Going, id: string): readonly Obstacle[] {
    return this.state ? obstaclesTo(going, this.state, id, this.#steward.evidence()) : [];
  }

  heardAtMs(id: string): number | null {
    return this.#outside.heardAtMs(id);
  }

  snapshot(): Promise<Snapshotted> {
    return this.#raft.snapshot();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#steward.stop();
    this.#links?.stop();
    await this.#host?.stop();
    await this.#keeper.stop();
  }

  // ---- what follows

  #send(message: Message): void {
    this.#links?.send(message); // before the links are there it is lost, and Raft repeats it
  }

  #changed(): void {
    const { state } = this;
    const { owners, config } = this.#o;
    if (state !== null && state === this.#followed) return;
    const before = this.#followed;
    this.#followed = state;
    // Most versions are about settings, and many come at once: what follows from members is not looked at for each.
    const isAboutMembers = before?.members !== state?.members || before?.cluster !== state?.cluster;
    if (isAboutMembers || state === null) follow(state, owners, config.node.id, config.cluster);
    if (state === null) return;
    this.#keeper.changed(state, () => this.#machine.stateBytes());
    if (isAboutMembers) {
      this.#links?.keepOnly(new Set(state.members.keys()));
      if (before !== null && before.cluster.incarnation !== state.cluster.incarnation) this.#links?.reopen();
      this.#look(0);
    }
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Looks at what is to be done about this node's seat: soon, and each second. */
  #look(afterMs: number): void {
    if (this.#isStopped) return;
    this.#timer?.cancel();
    this.#timer = this.#o.world.timers.after(afterMs, () => {
      this.#timer = null;
      void this.#lookNow().then(() => {
        if (this.#timer === null) this.#look(LOOK_MS);
      });
    });
  }

  async #lookNow(): Promise<void> {
    if (this.#isLooking || this.#host === null) return;
    this.#isLooking = true;
    try {
      await this.#outside.pull();
      await this.#seat.look();
      await this.#residence.look();
      this.#waits.say(this.waitsFor);
    } catch (error) {
      if (this.#isStopped) return;
      // No room now, or a seat that is just ending: the next look tries again. All else is a failure (I13).
      if (error instanceof RaftRefusal) this.#o.world.log.info("plane.not-now", { reason: error.message });
      else this.#o.onFailure(error instanceof Error ? error.message : String(error));
    } finally {
      this.#isLooking = false;
    }
  }
}
