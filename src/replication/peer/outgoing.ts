import { VersionVector } from "../../../crdt/index.ts";
import type { SyncEffect, SyncMessage } from "../../../gossip/antientropy/session.ts";
import { SyncSession } from "../../../gossip/antientropy/session.ts";
import { InputError } from "../../kernel/assert.ts";
import type { ActorId, NodeId, Region } from "../../kernel/ids.ts";
import { dial } from "../../peer/dial.ts";
import { parseBody, type Traffic } from "../../peer/frames.ts";
import { type ClockExchange, type Link, LinkError } from "../../peer/link.ts";
import type { Address, Timer, World } from "../../world/world.ts";
import { formatAddress } from "../../world/world.ts";
import type { PeerSync } from "../api.ts";
import { Unavailable } from "../api.ts";
import { rangeReply, syncMessage, vectorsReply } from "./bodies.ts";
import type { BulkSource, PeerHost } from "./host.ts";
import { Outbox } from "./outbox.ts";
import { type GrayReason, Pulse } from "./pulse.ts";

const FIRST_RETRY_MS = 200;
/** Longer: a healed cut is used later; shorter: a dead peer costs more connection attempts. */
const MAX_RETRY_MS = 1_500;
const REFUSED_RETRY_MS = 5_000;
const REQUEST_TIMEOUT_MS = 15_000;

/** Everything this node does towards one peer: dials it for ever, pushes its own entries, and asks it, round after
 *  round, what is lacking here (anti-entropy). What the peer wants from us it asks over links of its own. */
export class OutgoingPeer implements BulkSource {
  readonly node: NodeId;
  readonly region: Region;
  readonly #host: PeerHost;
  readonly #world: World;
  readonly outbox: Outbox;
  readonly #pulse: Pulse;
  #delta: Link | null = null;
  #bulk: Promise<Link> | null = null;
  #state: PeerSync["link"] = "connecting";
  #reason: string | undefined;
  #retryMs = FIRST_RETRY_MS;
  #timer: Timer | null = null;
  #syncTimer: Timer | null = null;
  #round: Promise<void> | null = null;
  #stopped = false;
  failedDials = 0;
  /** What it showed when its link first came up: this node is ready when it has that (operate: /health/ready). */
  shownAtStart: VersionVector[] | null = null;
  #lastSync: { atMs: number; differences: number; sumDifferences: number } | null = null;
  #behindEntries = 0;
  /** What was missing in the round before, so that what a push is bringing anyway isn't pulled as well. */
  #missingBefore = new Map<string, number>();
  #sentBytes = 0;
  #receivedBytes = 0;

  constructor(host: PeerHost, node: NodeId, region: Region) {
    this.#host = host;
    this.#world = host.world;
    this.node = node;
    this.region = region;
    this.outbox = new Outbox(host, node);
    this.#pulse = new Pulse(host.heartbeatMs);
  }

  start(): void {
    void this.#dial();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#syncTimer?.cancel();
    this.#closeBulk("this node is stopping");
    this.#delta?.close("this node is stopping");
  }

  /** Forgotten while open it would live on: its heartbeats are answered. */
  #closeBulk(reason: string): void {
    const opening = this.#bulk;
    this.#bulk = null;
    opening?.then(
      (link) => link.close(reason),
      () => {},
    ); // it never came up: nothing to close
  }

  get isUp(): boolean {
    return this.#delta !== null;
  }

  // ---- the links

  /** It was heard of just now: try at once if we are waiting to try again. */
  dialNow(): void {
    if (!this.#timer || this.#delta || this.#stopped) return;
    this.#timer.cancel();
    this.#timer = null;
    this.#retryMs = FIRST_RETRY_MS;
    void this.#dial();
  }

  async #dial(): Promise<void> {
    const address = this.#host.addressOf(this.node);
    this.#setState("connecting", address ? undefined : "its peer address is not known yet");
    try {
      if (!address) throw new LinkError("its peer address is not known yet");
      const { link, vectors } = await this.#open(address, "delta");
      if (this.#stopped) link.close("this node is stopping");
      else this.#up(link, vectors);
    } catch (error) {
      if (!(error instanceof LinkError || error instanceof InputError)) throw error;
      this.failedDials += 1;
      this.#down(error.message, error instanceof InputError ? "refused" : "down");
    }
  }

  /** Connects and says hello. LinkError: nobody there; InputError: it, or we, refused. */
  async #open(address: Address, traffic: Traffic): Promise<{ link: Link; vectors: VersionVector[] }> {
    const { link, welcome } = await dial({
      world: this.#world,
      address,
      node: this.node,
      hello: this.#host.hello(traffic),
      heartbeatMs: this.#host.heartbeatMs,
      handlers: {
        onClock: (exchange) => {
          this.#host.clockHeard(this.node, exchange);
          // A bulk link's answers wait behind megabytes of rows.
          if (traffic === "delta") this.#beat(exchange);
        },
        onStall: (lateMs) => {
          if (traffic === "delta") this.#pulse.slept(lateMs, this.#world.clock.monotonicMs());
        },
        onClose: (reason, closed) => {
          this.#sentBytes += closed.sentBytes;
          this.#receivedBytes += closed.receivedBytes;
          if (this.#delta === closed) this.#down(reason, "down");
        },
      },
    });
    try {
      return { link, vectors: welcome.vectors.map((bytes) => VersionVector.decode(bytes)) };
    } catch (error) {
      link.close("its vectors are malformed");
      throw error;
    }
  }

  #up(link: Link, vectors: VersionVector[]): void {
    if (vectors.length !== this.#host.partitions.length) {
      link.close("it has another number of partitions");
      return;
    }
    this.#delta = link;
    this.#retryMs = FIRST_RETRY_MS;
    this.#pulse.opened();
    this.shownAtStart ??= vectors.map((vector) => vector.copy());
    this.#setState("up");
    for (const [partition, vector] of vectors.entries()) this.#host.acknowledge(this.node, partition, vector);
    this.outbox.open(link, vectors);
    this.#scheduleSync(this.#world.rng.below(1_000));
  }

  #down(reason: string, state: "down" | "refused"): void {
    this.#delta = null;
    this.#closeBulk(reason);
    this.outbox.close();
    this.#syncTimer?.cancel();
    if (this.#stopped) return;
    this.#setState(state, reason);
    this.#retryMs = state === "refused" ? REFUSED_RETRY_MS : Math.min(MAX_RETRY_MS, this.#retryMs * 1.6);
    const jitterMs = this.#world.rng.below(Math.ceil(this.#retryMs / 2));
    this.#timer?.cancel();
    this.#timer = this.#world.timers.after(this.#retryMs + jitterMs, () => {
      this.#timer = null;
      void this.#dial();
    });
  }

  #setState(state: PeerSync["link"], reason?: string): void {
    const changed = state !== this.#state || reason !== this.#reason;
    this.#state = state;
    this.#reason = reason;
    if (changed && state !== "connecting") this.#host.linkChanged(this.node, state, reason);
  }

  bulk(): Promise<Link> {
    if (this.#bulk) return this.#bulk;
    const address = this.#host.addressOf(this.node);
    if (!address || !this.#delta) return Promise.reject(new LinkError(`no link to ${this.node}`));
    const opening = this.#open(address, "bulk").then(({ link }) => link);
    this.#bulk = opening;
    const forget = (): void => {
      if (this.#bulk === opening) this.#bulk = null;
    };
    opening.catch(forget);
    return opening.then((link) => {
      if (!link.isClosed) return link;
      forget();
      throw new LinkError("the bulk link closed");
    });
  }

  // ---- anti-entropy

  #scheduleSync(delayMs: number): void {
    this.#syncTimer?.cancel();
    this.#syncTimer = this.#world.timers.after(delayMs, () => {
      const { syncIntervalMs } = this.#host;
      const next = (): void => {
        if (this.#delta && !this.#stopped)
          this.#scheduleSync(syncIntervalMs + this.#world.rng.below(syncIntervalMs / 4 + 1));
      };
      void this.sync(false).then(next);
    });
  }

  /** One round; `eager` also pulls what a push may be bringing. Never rejects: a broken link ends the round. */
  async sync(eager: boolean): Promise<void> {
    while (this.#round) await this.#round;
    this.#round = this.#runRound(eager).catch((error: unknown) => {
      if (!(error instanceof LinkError || error instanceof InputError || error instanceof Unavailable)) throw error;
      this.#world.log.warn("sync.round-ended", { peer: this.node, reason: error.message });
    });
    await this.#round;
    this.#round = null;
  }

  async #runRound(eager: boolean): Promise<void> {
    const link = this.#delta;
    if (!link) return;
    if (this.outbox.stalled) await this.#refreshOutbox(link);
    const session = new SyncSession(this.#host.syncHost());
    const snapshot = this.#host.partitions.map(({ state }) => state.vector.copy());
    const pulls: (() => Promise<void>)[] = [];
    this.#behindEntries = 0;
    let effects: SyncEffect[] = session.step({ kind: "begin" });
    while (effects.length > 0) {
      let answer: SyncMessage | null = null;
      for (const effect of effects)
        if (effect.kind === "send")
          answer = parseBody(syncMessage, await link.request("sync", effect.message, REQUEST_TIMEOUT_MS));
        else this.#onEffect(effect, snapshot, pulls, eager);
      effects = answer ? session.step({ kind: "message", message: answer }) : [];
    }
    for (const pull of pulls) await pull();
  }

  #onEffect(
    effect: Exclude<SyncEffect, { kind: "send" }>,
    snapshot: readonly VersionVector[],
    pulls: (() => Promise<void>)[],
    eager: boolean,
  ): void {
    switch (effect.kind) {
      case "even":
        for (const [partition, vector] of snapshot.entries())
          if (effect.partitions === "all" || effect.partitions.includes(partition))
            this.#host.acknowledge(this.node, partition, vector);
        return;
      case "showed":
        this.#host.acknowledge(this.node, effect.partition, VersionVector.decode(effect.vector));
        return;
      case "level":
        pulls.push(() => this.#level(effect.partition, VersionVector.decode(effect.vector), eager));
        return;
      case "catch-up":
        pulls.push(() => this.#host.catchUp(this, effect.partition));
        return;
      case "compare-leaves":
        pulls.push(() => this.#host.compareLeaves(this, effect.partition, effect.leaves));
        return;
      case "done":
        this.#lastSync = {
          atMs: this.#world.clock.wallMs(),
          differences: effect.vectorDifferences,
          sumDifferences: effect.sumDifferences,
        };
    }
  }

  /** Pulls what its log has above my vector, in order. */
  async #level(partition: number, theirs: VersionVector, eager: boolean): Promise<void> {
    const mine = (): VersionVector => this.#host.partition(partition).state.vector;
    for (const { actor, from, to } of theirs.missingFrom(mine())) {
      this.#behindEntries += to - from;
      const key = `${partition}:${actor}`;
      const stuck = this.#missingBefore.get(key) === from;
      this.#missingBefore.set(key, from);
      if (!stuck && !eager) continue;
      await this.#pull(partition, actor, to);
      this.#missingBefore.delete(key);
    }
  }

  async #pull(partition: number, actor: ActorId, to: number): Promise<void> {
    for (;;) {
      const have = this.#host.partition(partition).state.vector.seq(actor);
      const link = this.#delta;
      if (have >= to || !link) return;
      const reply = await link.request("range", { partition, actor, from: have + 1 }, REQUEST_TIMEOUT_MS);
      const { entries } = parseBody(rangeReply, reply);
      if (entries.length === 0) return; // its log was cut meanwhile: the next round sees that
      await this.#host.takeEntries(entries);
      if (this.#host.partition(partition).state.vector.seq(actor) === have) return; // no progress: a gap there too
    }
  }

  /** After entries could not be sent in order: asks where the peer stands now and starts over from there. */
  async #refreshOutbox(link: Link): Promise<void> {
    const { vectors } = parseBody(vectorsReply, await link.request("vectors", null, REQUEST_TIMEOUT_MS));
    this.outbox.open(
      link,
      vectors.map((bytes) => VersionVector.decode(bytes)),
    );
  }

  #beat({ asked, answered }: ClockExchange): void {
    this.#pulse.heard(answered.monotonicMs, answered.monotonicMs - asked.monotonicMs);
  }

  /** Why others are asked before it; empty while all is well. */
  grayReasons(): GrayReason[] {
    return this.#pulse.grayReasons(this.#world.clock.monotonicMs(), this.#host.directLossOf(this.node));
  }

  get rttMs(): number | null {
    return this.#delta?.rttMs ?? null;
  }

  view(): PeerSync {
    const address = this.#host.addressOf(this.node);
    return {
      node: this.node,
      region: this.region,
      link: this.#state,
      ...(this.#reason !== undefined && { reason: this.#reason }),
      address: address ? formatAddress(address) : null,
      lastSyncMs: this.#lastSync?.atMs ?? null,
      differences: this.#lastSync?.differences ?? 0,
      sumDifferences: this.#lastSync?.sumDifferences ?? 0,
      lagEntries: this.#host.unacknowledged(this.node),
      behindEntries: this.#behindEntries,
      sentBytes: this.#sentBytes + (this.#delta?.sentBytes ?? 0),
      receivedBytes: this.#receivedBytes + (this.#delta?.receivedBytes ?? 0),
      rttMs: this.rttMs,
      phi: this.#pulse.phi(this.#world.clock.monotonicMs()),
      gray: this.grayReasons(),
    };
  }
}
