import type { Layout } from "../../crdt/index.ts";
import { addDigest, readSum, VersionVector } from "../../crdt/index.ts";
import { childSums, type LeafSums } from "../../gossip/antientropy/merkle.ts";
import type { SyncHost, SyncMessage } from "../../gossip/antientropy/session.ts";
import { answerSync, HASH_BYTES } from "../../gossip/antientropy/session.ts";
import type { Config } from "../config/types.ts";
import { InputError, present } from "../kernel/assert.ts";
import { concatBytes } from "../kernel/bytes.ts";
import type { NodeId } from "../kernel/ids.ts";
import { nodeOfActor } from "../kernel/ids.ts";
import { PeerDoor } from "../peer/door.ts";
import type { Hello, Traffic } from "../peer/frames.ts";
import { makeHello } from "../peer/hello.ts";
import type { ClockExchange } from "../peer/link.ts";
import type { LogRecord, Store } from "../storage/store.ts";
import type { Address, Stream, World } from "../world/world.ts";
import type { PeerSync } from "./api.ts";
import type { CatchUp } from "./catch-up.ts";
import type { Received } from "./jobs.ts";
import type { LogTail } from "./log-tail.ts";
import type { Owners } from "./owners.ts";
import type { Partition } from "./partitions.ts";
import { decodeInParts } from "./peer/entries.ts";
import type { BulkSource, PeerHost } from "./peer/host.ts";
import type { Answers } from "./peer/incoming.ts";
import { IncomingPeers } from "./peer/incoming.ts";
import { OutgoingPeer } from "./peer/outgoing.ts";
import type { Pipeline } from "./pipeline.ts";
import type { Repair } from "./repair.ts";

export interface PeersOptions {
  readonly config: Config;
  readonly owners: Owners;
  readonly world: World;
  readonly store: Store;
  readonly partitions: readonly Partition[];
  readonly layout: Layout;
  readonly heartbeatMs: number;
  readonly pipeline: Pipeline;
  readonly repair: Repair;
  readonly catchUp: CatchUp;
  readonly addressOf: (node: NodeId) => Address | null;
  /** Of gossip's probes, the share that a node did not answer directly; null when unknown. */
  readonly directLossOf: (node: NodeId) => number | null;
  readonly attribute: (stream: Stream, region: string) => void;
  readonly onLink: (node: NodeId, state: PeerSync["link"], reason: string | undefined) => void;
  readonly onClock: (node: NodeId, exchange: ClockExchange) => void;
  readonly startRepair: () => void;
}

/** All peers of this node: what it dials and what dials it, with the replica as their host. */
export class Peers implements PeerHost {
  readonly #o: PeersOptions;
  readonly world: World;
  readonly node: NodeId;
  readonly store: Store;
  readonly tail: LogTail;
  readonly partitions: readonly Partition[];
  readonly syncIntervalMs: number;
  readonly heartbeatMs: number;
  /** Of all links that peers open to this node. */
  readonly door: PeerDoor;
  readonly #mine: Omit<Hello, "traffic">;
  #outgoing: readonly OutgoingPeer[] = [];
  #isStarted = false;
  readonly #vectorHashes = new Map<number, { readonly vector: VersionVector; readonly hash: Uint8Array }>();

  constructor(options: PeersOptions) {
    this.#o = options;
    this.world = options.world;
    this.node = options.config.node.id;
    this.store = options.store;
    this.tail = options.pipeline.tail;
    this.partitions = options.partitions;
    this.syncIntervalMs = options.config.replication.syncIntervalMs;
    this.heartbeatMs = options.heartbeatMs;
    const { world, layout, heartbeatMs, attribute } = options;
    const { cluster, node } = options.config;
    this.#mine = makeHello({ cluster, node, layout }, world.sha256);
    this.door = new PeerDoor({ world, mine: this.#mine, heartbeatMs, attribute });
    this.door.serve(["delta", "bulk"], new IncomingPeers(this, this.#answers()));
    this.#follow();
    options.owners.onChange(() => this.#follow());
  }

  /** What this node does towards each other owner. */
  get outgoing(): readonly OutgoingPeer[] {
    return this.#outgoing;
  }

  /** Who is an owner still keeps its link; who is none any more is pushed and asked nothing. */
  #follow(): void {
    const { others } = this.#o.owners;
    const stays = new Map(this.#outgoing.map((peer) => [peer.node, peer]));
    this.#outgoing = others.map(({ id, region }) => stays.get(id) ?? new OutgoingPeer(this, id, region));
    for (const peer of stays.values()) if (!this.#outgoing.includes(peer)) this.#drop(peer);
    if (this.#isStarted) for (const peer of this.#outgoing) if (!stays.has(peer.node)) peer.start();
  }

  #drop(peer: OutgoingPeer): void {
    peer.stop();
    for (const { acks } of this.partitions) acks.delete(peer.node);
    this.#o.onLink(peer.node, "down", "it is no owner any more");
  }

  /** Whom to ask first: gray ones last, and the nearest first among equals. */
  nearestFirst(): OutgoingPeer[] {
    const order = this.outgoing.map((peer) => ({
      peer,
      isGray: peer.grayReasons().length > 0,
      rttMs: peer.rttMs ?? Number.MAX_VALUE,
    }));
    return order.sort((a, b) => Number(a.isGray) - Number(b.isGray) || a.rttMs - b.rttMs).map(({ peer }) => peer);
  }

  start(): void {
    this.#isStarted = true;
    for (const peer of this.outgoing) peer.start();
  }

  stop(): void {
    this.#isStarted = false;
    for (const peer of this.outgoing) peer.stop();
    this.door.stop();
  }

  /** Gossip heard of a node (again): no need to wait for the next try. */
  seen(node: NodeId): void {
    this.outgoing.find((peer) => peer.node === node)?.dialNow();
  }

  /** After a commit: whatever is new and ours goes out. */
  pump(): void {
    for (const peer of this.outgoing) peer.outbox.pump();
    this.tail.forget(Math.min(...this.outgoing.map((peer) => peer.outbox.pushedPos)));
  }

  /** Everything that was written here is at all that can be reached, and at more than half of the others: enough to go. */
  isHandedOver(upTo: readonly VersionVector[] = this.written()): boolean {
    const up = this.outgoing.filter(({ isUp }) => isUp);
    return up.length * 2 >= this.outgoing.length && up.every(({ node }) => this.#lacks(node, upTo) === 0);
  }

  /** What was written up to now, here or elsewhere: by partition. */
  written(): VersionVector[] {
    return this.partitions.map(({ state }) => state.vector.copy());
  }

  #answers(): Answers {
    const { repair, catchUp, startRepair } = this.#o;
    return {
      sync: (message) => this.#answerSync(message),
      rows: repair.answerRows,
      copyOpen: catchUp.answerOpen,
      copyRead: catchUp.answerRead,
      copyClose: catchUp.answerClose,
      repair: startRepair,
    };
  }

  // ---- PeerHost

  partition(id: number): Partition {
    return present(this.partitions[id], "a partition of the layout");
  }

  hello(traffic: Traffic): Hello {
    return { ...this.#mine, traffic };
  }

  addressOf(node: NodeId): Address | null {
    return this.#o.addressOf(node);
  }

  directLossOf(node: NodeId): number | null {
    return this.#o.directLossOf(node);
  }

  linkChanged(node: NodeId, state: PeerSync["link"], reason: string | undefined): void {
    this.#o.onLink(node, state, reason);
  }

  clockHeard(node: NodeId, exchange: ClockExchange): void {
    this.#o.onClock(node, exchange);
  }

  acknowledge(node: NodeId, partition: number, vector: VersionVector): void {
    const p = this.partition(partition);
    const known = p.acks.get(node) ?? new VersionVector();
    known.join(vector);
    p.acks.set(node, known);
    // Who knows more of my actor than I do saw what my memory or disk forgot (replication.md, path 1).
    const actor = this.#o.pipeline.currentActor;
    if (actor && vector.seq(actor) > p.state.vector.seq(actor)) {
      this.world.log.error("actor.known-better-elsewhere", { peer: node, partition, actor });
      this.#o.pipeline.renewActor();
    }
  }

  unacknowledged(node: NodeId): number {
    return this.#lacks(
      node,
      this.partitions.map(({ state }) => state.vector),
    );
  }

  /** Entries of this node's own that `vectors` have and a peer has not acknowledged. */
  #lacks(node: NodeId, vectors: readonly VersionVector[]): number {
    let entries = 0;
    for (const { id, acks } of this.partitions)
      for (const { actor, from, to } of (vectors[id] as VersionVector).missingFrom(
        acks.get(node) ?? new VersionVector(),
      ))
        if (nodeOfActor(actor) === this.node) entries += to - from;
    return entries;
  }

  async takeEntries(bodies: readonly Uint8Array[]): Promise<Received> {
    const gaps: Received["gaps"][number][] = [];
    for (const entries of decodeInParts(bodies)) gaps.push(...(await this.#o.pipeline.receive(entries)).gaps);
    return { gaps };
  }

  isOwn(record: LogRecord): boolean {
    return nodeOfActor(record.actor) === this.node;
  }

  async catchUp(peer: BulkSource, partition: number): Promise<void> {
    await this.#o.catchUp.run(peer, partition);
  }

  async compareLeaves(peer: BulkSource, partition: number, leaves: readonly number[]): Promise<void> {
    await this.#o.repair.compareLeaves(peer, partition, leaves);
  }

  // ---- anti-entropy

  syncHost(): SyncHost {
    return {
      partitions: this.partitions.length,
      summary: () => this.#summary(),
      hashes: () => this.#hashes(),
      compare: (partition, vector, floor) => {
        const mine = this.partition(partition).state.vector;
        const theirs = VersionVector.decode(vector);
        if (mine.reaches(theirs)) return "even";
        return mine.reaches(VersionVector.decode(floor)) ? "behind" : "below-floor";
      },
      tree: (partition) => this.#tree(partition),
    };
  }

  #tree(partition: number): LeafSums {
    const { sums } = this.partition(partition);
    return { leaves: sums.recordCounts.length, sumOf: (leaf) => sums.digestOf(leaf) };
  }

  #hashes(): Uint8Array {
    return concatBytes(
      this.partitions.flatMap((p) => [
        this.#vectorHash(p).subarray(0, HASH_BYTES),
        p.sums.total().subarray(0, HASH_BYTES),
      ]),
    );
  }

  /** Each round asks for all of them, and most vectors are as they were in the round before. */
  #vectorHash({ id, state: { vector } }: Partition): Uint8Array {
    const held = this.#vectorHashes.get(id);
    if (held?.vector.equals(vector)) return held.hash;
    const hash = this.world.sha256(vector.encode());
    this.#vectorHashes.set(id, { vector: vector.copy(), hash });
    return hash;
  }

  #summary(): { vectors: Uint8Array; sums: Uint8Array } {
    const vectors = concatBytes(this.partitions.map((p) => this.#vectorHash(p)));
    return { vectors: this.world.sha256(vectors).slice(0, 16), sums: digestOfAll(this.partitions) };
  }

  #answerSync(message: SyncMessage): SyncMessage {
    const host = {
      ...this.syncHost(),
      vectorOf: (partition: number) => {
        const { vector, floor } = this.partition(partition).state;
        return { vector: vector.encode(), floor: floor.encode() };
      },
    };
    const answer = answerSync(host, message, (partition, level, index) =>
      childSums(this.#tree(partition), level, index),
    );
    if (!answer) throw new InputError("bad-sync", "this message asks nothing");
    return answer;
  }
}

/** The sum over all partitions: equal on all owners when they have converged. */
export function digestOfAll(partitions: readonly Partition[]): Uint8Array {
  const sum = new Uint32Array(4);
  for (const { sums } of partitions) addDigest(sum, 0, sums.total());
  return readSum(sum, 0);
}
