import { VersionVector } from "../../../crdt/index.ts";
import { InputError } from "../../kernel/assert.ts";
import type { NodeId } from "../../kernel/ids.ts";
import { nodeOfActor, parseActorId } from "../../kernel/ids.ts";
import { parseBody } from "../../peer/frames.ts";
import type { Link } from "../../peer/link.ts";
import { LinkError } from "../../peer/link.ts";
import type { LogRecord } from "../../storage/store.ts";
import { entriesReply } from "./bodies.ts";
import type { PeerHost } from "./host.ts";

/** Bytes sent and not yet answered. More: a longer link stays full; less: a slow peer holds less memory here. */
const WINDOW_BYTES = 4 * 2 ** 20;
/** Frames likewise: while the peer is busy, what is written meanwhile gathers into larger ones. */
const WINDOW_FRAMES = 32;
const FRAME_BYTES = 512 * 2 ** 10;
const FRAME_RECORDS = 512;
/** A peer that is busy applying answers late; one that is gone closes its link much earlier. */
const PUSH_TIMEOUT_MS = 60_000;

/** Pushes this node's own entries to one peer: a cursor into the log, not a queue of bodies, so a slow or dead peer
 *  costs nothing but its position (replication.md, Push). In order per actor: an entry that the peer could not apply
 *  next is not sent; anti-entropy finds it. */
export class Outbox {
  readonly #host: PeerHost;
  readonly #peer: NodeId;
  #link: Link | null = null;
  #cursor = 0;
  /** Per partition: what the peer has, or will have when what is under way arrives. */
  #sent: VersionVector[] = [];
  #inFlightBytes = 0;
  #inFlightFrames = 0;
  #pumping = false;
  #again = false;
  #generation = 0;
  /** Some entries could not be sent in order: where the peer stands must be asked anew. */
  stalled = false;

  constructor(host: PeerHost, peer: NodeId) {
    this.#host = host;
    this.#peer = peer;
  }

  /** Starts from where the peer says it stands. */
  open(link: Link, vectors: readonly VersionVector[]): void {
    this.#link = link;
    this.#generation += 1;
    this.#sent = vectors.map((vector) => vector.copy());
    this.#inFlightBytes = 0;
    this.#inFlightFrames = 0;
    this.stalled = false;
    const generation = this.#generation;
    void this.#findCursor().then(
      (cursor) => {
        if (generation !== this.#generation) return;
        this.#cursor = cursor;
        this.pump();
      },
      (error: unknown) => this.#onReadFailed(generation, error),
    );
    this.#cursor = Number.MAX_SAFE_INTEGER;
  }

  /** Log records up to here were sent, or need not be; infinite without a link, whose end finds its place anew. */
  get pushedPos(): number {
    return this.#link ? this.#cursor : Number.POSITIVE_INFINITY;
  }

  close(): void {
    this.#link = null;
    this.#generation += 1;
  }

  /** The log position before the first entry of ours that the peer lacks. */
  async #findCursor(): Promise<number> {
    const { partitions, node, store, tail } = this.#host;
    let cursor = tail.lastPos;
    const lacking = partitions.flatMap(({ id, state }) =>
      state.vector
        .missingFrom(this.#sent[id] ?? new VersionVector())
        .filter(({ actor }) => nodeOfActor(actor) === node)
        .map(({ actor, from }) => ({ partition: id, actor, from })),
    );
    for (const { partition, actor, from } of lacking) {
      const [record] = await store.readLogOf(partition, actor, from + 1, 1, 1);
      if (record) cursor = Math.min(cursor, record.pos - 1);
    }
    return cursor;
  }

  /** Sends what there is, as far as the window allows. Called after each commit and each answer. */
  pump(): void {
    if (this.#pumping) {
      this.#again = true;
      return;
    }
    this.#pumping = true;
    const generation = this.#generation;
    const run = this.#run().catch((error: unknown) => this.#onReadFailed(generation, error));
    void run.finally(() => {
      this.#pumping = false;
      if (this.#again) {
        this.#again = false;
        this.pump();
      }
    });
  }

  async #run(): Promise<void> {
    const generation = this.#generation;
    while (this.#hasRoom() && this.#cursor < this.#host.tail.lastPos) {
      const { tail, store } = this.#host;
      const records =
        tail.after(this.#cursor, FRAME_RECORDS) ?? (await store.readLog(this.#cursor, FRAME_RECORDS, FRAME_BYTES));
      if (generation !== this.#generation) return;
      const last = records.at(-1);
      if (!last) return;
      const chosen: LogRecord[] = [];
      let bytes = 0;
      for (const record of records) {
        if (bytes > FRAME_BYTES) break;
        this.#cursor = record.pos;
        if (!this.#isNext(record)) continue;
        chosen.push(record);
        bytes += record.body.length;
      }
      if (chosen.length > 0 && this.#link) this.#send(this.#link, chosen, bytes);
    }
  }

  #hasRoom(): boolean {
    return this.#link !== null && this.#inFlightBytes < WINDOW_BYTES && this.#inFlightFrames < WINDOW_FRAMES;
  }

  #isNext(record: LogRecord): boolean {
    const sent = this.#sent[record.partition];
    if (!sent || !this.#host.isOwn(record) || sent.seq(record.actor) >= record.last) return false;
    if (sent.seq(record.actor) + 1 !== record.first) {
      this.stalled = true;
      return false;
    }
    sent.rise(record.actor, record.last);
    return true;
  }

  #send(link: Link, records: readonly LogRecord[], bytes: number): void {
    const generation = this.#generation;
    this.#inFlightBytes += bytes;
    this.#inFlightFrames += 1;
    const entries = records.map(({ body }) => body);
    link.request("entries", { entries }, PUSH_TIMEOUT_MS).then(
      (answer) => {
        if (generation !== this.#generation) return;
        this.#inFlightBytes -= bytes;
        this.#inFlightFrames -= 1;
        this.#onAnswer(records, answer);
        this.pump();
      },
      (error: unknown) => {
        if (!(error instanceof LinkError)) throw error;
        if (generation === this.#generation) link.close(`push failed: ${error.message}`);
      },
    );
  }

  #onAnswer(records: readonly LogRecord[], answer: unknown): void {
    const { gaps } = this.#parse(answer);
    for (const { partition, actor, from } of gaps) this.#rewind(partition, actor, from);
    const vectors = new Map<number, VersionVector>();
    for (const { partition, actor, last } of records) {
      if (gaps.some((gap) => gap.partition === partition && gap.actor === actor)) continue;
      let vector = vectors.get(partition);
      if (!vector) {
        vector = new VersionVector();
        vectors.set(partition, vector);
      }
      vector.rise(actor, last);
    }
    for (const [partition, vector] of vectors) this.#host.acknowledge(this.#peer, partition, vector);
  }

  #parse(answer: unknown): { gaps: readonly { partition: number; actor: string; from: number }[] } {
    try {
      return parseBody(entriesReply, answer);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#link?.close(error.message);
      return { gaps: [] };
    }
  }

  /** The peer lacks what we thought it had: its disk or memory went back. Send again from there. */
  #rewind(partition: number, actorText: string, from: number): void {
    const actor = parseActorId(actorText);
    const sent = this.#sent[partition];
    if (!sent) return;
    const entries = sent.entries().filter(([name]) => name !== actor);
    this.#sent[partition] = new VersionVector(from > 1 ? [...entries, [actor, from - 1]] : entries);
    const generation = this.#generation;
    void this.#host.store.readLogOf(partition, actor, from, 1, 1).then(
      ([record]) => {
        if (generation !== this.#generation || !record) return;
        this.#cursor = Math.min(this.#cursor, record.pos - 1);
        this.pump();
      },
      (error: unknown) => this.#onReadFailed(generation, error),
    );
  }

  /** A node that stops closes its store; its links are closed by then. */
  #onReadFailed(generation: number, error: unknown): void {
    if (generation === this.#generation) throw error;
  }
}
