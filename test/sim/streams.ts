import { assert } from "../../src/kernel/assert.ts";
import { concatBytes, copyBytes } from "../../src/kernel/bytes.ts";
import type { Address, Stream, StreamHandlers } from "../../src/world/world.ts";
import type { Life } from "./life.ts";
import type { Links } from "./links.ts";
import type { Machine } from "./machine.ts";
import { PHASE_IO, TURN_MS } from "./scheduler.ts";
import { hashBytes } from "./trace.ts";

/** Bytes on their way and unread on the other side; more wait at the sender (`queuedBytes`). Real ones are of this order. */
const WINDOW_BYTES = 256 * 1024;
/** What one read hands out at most: Node's. */
const SEGMENT_BYTES_MAX = 64 * 1024;
/** So many of a hundred segments arrive in two pieces: whoever parses frames must not count on their borders. */
const SPLIT_PERCENT = 10;
/** Bytes that were stuck in a cut for longer are not delivered when it heals: their connection was given up. */
const GIVE_UP_MS = 20_000;

type Segment =
  | { readonly kind: "data"; readonly bytes: Uint8Array; readonly hash: number }
  | { readonly kind: "fin" }
  | { readonly kind: "reset" };

/** One side of a connection. Segments travel in order, each after its delay; a cut holds them. */
export class StreamEnd implements Stream {
  readonly remote: Address;
  readonly #life: Life;
  readonly #machine: Machine;
  readonly #links: Links;
  #peer: StreamEnd | undefined;
  #handlers: StreamHandlers | undefined;
  #reason: string | undefined;
  #paused = false;
  // What we send:
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #flushing = false;
  #unreadBytes = 0;
  #lastArrivalMs = 0;
  #held: Segment[] = [];
  #heldSinceMs = 0;
  // What came and was not read yet:
  #inbox: Segment[] = [];

  private constructor(life: Life, machine: Machine, remote: Address, links: Links) {
    this.#life = life;
    this.#machine = machine;
    this.remote = remote;
    this.#links = links;
    life.onDeath.add(this.#die);
  }

  /** Both ends of a new connection. */
  static pair(
    client: { readonly life: Life; readonly machine: Machine; readonly address: Address },
    server: { readonly life: Life; readonly machine: Machine; readonly address: Address },
    links: Links,
  ): [client: StreamEnd, server: StreamEnd] {
    const ends: [StreamEnd, StreamEnd] = [
      new StreamEnd(client.life, client.machine, server.address, links),
      new StreamEnd(server.life, server.machine, client.address, links),
    ];
    ends[0].#peer = ends[1];
    ends[1].#peer = ends[0];
    return ends;
  }

  get closed(): boolean {
    return this.#reason !== undefined;
  }

  open(handlers: StreamHandlers): void {
    assert(this.#handlers === undefined, "a stream is opened once");
    this.#handlers = handlers;
    if (this.#reason !== undefined) this.#tell(this.#reason);
    else if (this.#inbox.length > 0) this.#readSoon();
  }

  write(bytes: Uint8Array): void {
    if (this.closed || !this.#life.alive || bytes.length === 0) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    this.#flushAtTurnEnd();
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!paused && this.#inbox.length > 0) this.#readSoon();
  }

  close(): void {
    if (this.closed || !this.#life.alive) return;
    while (this.#queue.length > 0) this.#send(this.#nextSegment());
    this.#send({ kind: "fin" });
    this.#end("closed here");
  }

  /** Nobody wants this connection any more: as when a connect came back too late. */
  abort(): void {
    if (this.closed) return;
    this.#send({ kind: "reset" });
    this.#reason = "aborted";
    this.#life.onDeath.delete(this.#die);
  }

  /** The cut that we waited for may be over. */
  readonly #healed = (): void => {
    this.#flushAtTurnEnd();
    if (this.#held.length === 0) return;
    if (this.#isCut()) {
      this.#links.onHeal(this.#healed);
      return;
    }
    const { scheduler } = this.#life.core;
    const stuckMs = scheduler.nowMs - this.#heldSinceMs;
    // Senders ask more and more rarely whether the way is open again.
    const waitMs = this.#links.segmentDelayMs(this.#machine, this.#receiver.#machine) + this.#links.below(1_000);
    scheduler.at(scheduler.nowMs + Math.min(waitMs, 50 + stuckMs), PHASE_IO, () => this.#release(stuckMs > GIVE_UP_MS));
  };

  #release(givenUp: boolean): boolean {
    if (this.#isCut()) {
      this.#links.onHeal(this.#healed);
      return false;
    }
    const segments: Segment[] = givenUp ? [{ kind: "reset" }] : this.#held;
    this.#held = [];
    let ran = false;
    for (const segment of segments) ran = this.#receiver.#receive(segment) || ran;
    if (givenUp) ran = this.#receive({ kind: "reset" }) || ran;
    return ran;
  }

  get #receiver(): StreamEnd {
    assert(this.#peer !== undefined, "a connection has two ends");
    return this.#peer;
  }

  #isCut(): boolean {
    return this.#links.isCut(this.#machine, this.#receiver.#machine);
  }

  /** What is written in one turn travels together, as with `cork`. */
  #flushAtTurnEnd(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    this.#life.core.atTurnEnd(() => {
      this.#flushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.closed || !this.#life.alive || this.#queue.length === 0) return;
    while (this.#queue.length > 0 && this.#unreadBytes < WINDOW_BYTES) this.#send(this.#nextSegment());
    if (this.#queue.length === 0 && this.#handlers?.onDrain)
      this.#life.later(TURN_MS, PHASE_IO, "drain", this.#drained);
  }

  readonly #drained = (): void => {
    if (!this.closed && this.#queuedBytes === 0) this.#handlers?.onDrain?.();
  };

  /** The next queued bytes, as many as one segment takes. */
  #nextSegment(): Segment {
    const parts: Uint8Array[] = [];
    let left = SEGMENT_BYTES_MAX;
    while (left > 0) {
      const bytes = this.#queue.shift();
      if (bytes === undefined) break;
      if (bytes.length > left) this.#queue.unshift(bytes.subarray(left));
      parts.push(bytes.length > left ? bytes.subarray(0, left) : bytes);
      left -= Math.min(left, bytes.length);
    }
    this.#queuedBytes -= SEGMENT_BYTES_MAX - left;
    this.#unreadBytes += SEGMENT_BYTES_MAX - left;
    const [first] = parts;
    // A copy: the receiver must not see what the sender does with its bytes.
    const bytes = first && parts.length === 1 ? copyBytes(first) : concatBytes(parts);
    return { kind: "data", bytes, hash: hashBytes(bytes) };
  }

  #send(segment: Segment): void {
    const { core } = this.#life;
    const { scheduler } = core;
    const content = segment.kind === "data" ? segment.hash : 0;
    core.trace.record(scheduler.nowMs, this.#life.index, "send", content, this.#receiver.#machine.name);
    const delayMs = this.#links.segmentDelayMs(this.#machine, this.#receiver.#machine);
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, scheduler.nowMs + delayMs);
    scheduler.at(this.#lastArrivalMs, PHASE_IO, () => this.#arrive(segment));
  }

  #arrive(segment: Segment): boolean {
    if (this.#held.length === 0 && !this.#isCut()) return this.#receiver.#receive(segment);
    if (this.#held.length === 0) {
      this.#heldSinceMs = this.#life.core.scheduler.nowMs;
      this.#links.onHeal(this.#healed);
    }
    this.#held.push(segment);
    return false;
  }

  #receive(segment: Segment): boolean {
    if (this.closed) return false;
    if (!this.#life.alive) {
      // The machine knows no such connection (any more); when it is off, nobody answers.
      if (segment.kind === "data" && this.#machine.isUp) this.#send({ kind: "reset" });
      return false;
    }
    if (segment.kind === "data") return this.#life.enter(PHASE_IO, "data", segment.hash, () => this.#keep(segment));
    return this.#life.enter(PHASE_IO, "closed", 0, () => this.#keep(segment), segment.kind);
  }

  #keep(segment: Segment): void {
    if (this.closed) return;
    if (segment.kind === "reset") {
      this.#end("connection reset");
      return;
    }
    const isWhole = segment.kind !== "data" || segment.bytes.length < 2 || !this.#links.chance(SPLIT_PERCENT);
    if (isWhole) this.#inbox.push(segment);
    else this.#inbox.push(...split(segment, 1 + this.#links.below(segment.bytes.length - 1)));
    this.#read();
  }

  #readSoon(): void {
    this.#life.later(TURN_MS, PHASE_IO, "data", () => this.#read());
  }

  #read(): void {
    while (!this.#paused && !this.closed && this.#handlers !== undefined) {
      const segment = this.#inbox.shift();
      if (segment === undefined) return;
      if (segment.kind === "data") {
        this.#receiver.#acknowledged(segment.bytes.length);
        this.#handlers.onData(segment.bytes);
      } else {
        this.#end("closed by the other side");
      }
    }
  }

  /** The other side has read so many of our bytes; news of it travels back when something waits for the room. */
  #acknowledged(bytes: number): void {
    const wasFull = this.#unreadBytes >= WINDOW_BYTES;
    this.#unreadBytes -= bytes;
    if (!wasFull || this.#unreadBytes >= WINDOW_BYTES || this.#queue.length === 0) return;
    const { scheduler } = this.#life.core;
    const delayMs = this.#links.delayMs(this.#receiver.#machine, this.#machine);
    scheduler.at(scheduler.nowMs + delayMs, PHASE_IO, () => {
      if (this.#links.isCut(this.#receiver.#machine, this.#machine)) this.#links.onHeal(this.#healed);
      else this.#flush();
      return false;
    });
  }

  #end(reason: string): void {
    if (this.closed) return;
    this.#reason = reason;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#inbox = [];
    this.#life.onDeath.delete(this.#die);
    if (this.#handlers !== undefined) this.#tell(reason);
  }

  #tell(reason: string): void {
    this.#life.later(TURN_MS, PHASE_IO, "closed", () => this.#handlers?.onClose(reason));
  }

  /** The kernel ends the connections of a process that is gone: in order, or with a reset when something was unread. */
  readonly #die = (): void => {
    if (this.#machine.isUp) this.#send({ kind: this.#links.chance(50) ? "fin" : "reset" });
  };
}

function split(segment: Segment & { readonly kind: "data" }, at: number): Segment[] {
  return [segment.bytes.subarray(0, at), segment.bytes.subarray(at)].map((bytes) => ({ ...segment, bytes }));
}
