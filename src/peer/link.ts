import { InputError } from "../kernel/assert.ts";
import { concatBytes } from "../kernel/bytes.ts";
import type { Stream, Timer, World } from "../world/world.ts";
import type { Frame } from "./frames.ts";
import {
  encodeFrame,
  FRAME,
  FrameReader,
  OPTIONAL_BIT,
  parseBody,
  pongBody,
  refuseBody,
  requestBody,
  responseBody,
} from "./frames.ts";

/** This node's two clocks, read at once. */
export interface Instant {
  readonly wallMs: number;
  readonly monotonicMs: number;
}

/** A peer was asked for its wall time, and answered. */
export interface ClockExchange {
  readonly asked: Instant;
  readonly answered: Instant;
  readonly peerWallMs: number;
}

export interface LinkHandlers {
  /** The first frame, of the named types; returns false when it was not acceptable (the link is closed by then). */
  onFirst(link: Link, frame: Frame): boolean;
  /** Answers a request of the other side. A rejection is told to it as text, and is logged. */
  onRequest(op: string, body: unknown): Promise<unknown>;
  /** What the other side told without waiting for an answer. Throws InputError on what ends the link. */
  onNote?(body: unknown): void;
  /** The other side told its time. Who gives this asks for it at once, not only with the first heartbeat. */
  onClock?(exchange: ClockExchange): void;
  /** This process stood still for so long. */
  onStall?(lateMs: number): void;
  onClose(reason: string): void;
}

interface Pending {
  readonly done: (body: unknown) => void;
  readonly failed: (error: Error) => void;
  readonly timer: Timer;
}

/** A request over a link came to nothing: it was closed, timed out or refused. */
export class LinkError extends Error {
  override name = "LinkError";
}

export const HEARTBEAT_MS = 1_000;
/** Silence after which a link counts as broken, in heartbeats. Fewer: a stalled peer costs a reconnect; more: a cut is
 *  noticed later. */
const SILENT_HEARTBEATS = 5;
/** Unanswered requests of the other side, in bytes, above which we stop reading from it. */
const MAX_INBOUND_BYTES = 8 * 2 ** 20;
const MAX_PENDING = 1_024;

/** Frames over one stream: requests with answers both ways, heartbeats, and one write per turn of the loop. */
export class Link {
  readonly #world: World;
  readonly #stream: Stream;
  readonly #handlers: LinkHandlers;
  readonly #heartbeatMs: number;
  readonly #reader = new FrameReader();
  readonly #pending = new Map<number, Pending>();
  #corked: Uint8Array[] = [];
  #nextId = 1;
  #first = true;
  #closed = false;
  #inboundBytes = 0;
  #lastHeardMs: number;
  #heartbeat: Timer;
  #pingsSent = 0;
  #pongsHeard = 0;
  /** Pongs come in the order of the pings: a late one must not be taken for the answer to a newer ping. */
  #timedPing: { readonly number: number; readonly sent: Instant } | null = null;
  rttMs: number | null = null;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(world: World, stream: Stream, handlers: LinkHandlers, heartbeatMs: number) {
    this.#world = world;
    this.#heartbeatMs = heartbeatMs;
    this.#stream = stream;
    this.#handlers = handlers;
    this.#lastHeardMs = world.clock.monotonicMs();
    this.#heartbeat = this.#scheduleHeartbeat();
    stream.open({ onData: (bytes) => this.#onData(bytes), onClose: (reason) => this.#onClose(reason) });
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** What was sent and the network has not taken yet. */
  get queuedBytes(): number {
    return this.#stream.queuedBytes + this.#corked.reduce((sum, frame) => sum + frame.length, 0);
  }

  send(type: number, body: unknown): void {
    if (this.#closed) return;
    this.#corked.push(encodeFrame(type, body));
    if (this.#corked.length === 1) this.#world.timers.soon(() => this.#flush());
  }

  #flush(): void {
    const frames = this.#corked;
    this.#corked = [];
    if (this.#closed || frames.length === 0) return;
    const [only] = frames;
    const bytes = frames.length === 1 && only ? only : concatBytes(frames);
    this.sentBytes += bytes.length;
    this.#stream.write(bytes);
  }

  /** Rejects with LinkError. */
  request(op: string, body: unknown, timeoutMs: number): Promise<unknown> {
    if (this.#closed) return Promise.reject(new LinkError("the link is closed"));
    if (this.#pending.size >= MAX_PENDING) return Promise.reject(new LinkError("too many requests wait on this link"));
    const id = this.#nextId++;
    return new Promise((done, failed) => {
      const timer = this.#world.timers.after(timeoutMs, () => {
        this.#pending.delete(id);
        failed(new LinkError(`no answer to ${op} within ${timeoutMs} ms`));
      });
      this.#pending.set(id, { done, failed, timer });
      this.send(FRAME.request, { id, op, body });
    });
  }

  /** Tells the other side why, then closes. */
  refuse(reason: string): void {
    this.send(FRAME.refuse, { reason });
    this.#flush();
    this.close(reason);
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#flush();
    this.#stream.close();
    this.#onClose(reason);
  }

  #onClose(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#heartbeat.cancel();
    for (const { failed, timer } of this.#pending.values()) {
      timer.cancel();
      failed(new LinkError(`the link closed: ${reason}`));
    }
    this.#pending.clear();
    this.#handlers.onClose(reason);
  }

  #onData(bytes: Uint8Array): void {
    this.#lastHeardMs = this.#world.clock.monotonicMs();
    this.receivedBytes += bytes.length;
    try {
      for (const frame of this.#reader.push(bytes)) {
        if (this.#closed) return;
        this.#onFrame(frame);
      }
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      // Who sends such bytes is no peer of ours: the reason goes to the log and to it, the link goes.
      this.refuse(error.message);
    }
  }

  #onFrame(frame: Frame): void {
    if (this.#first) {
      this.#first = !this.#handlers.onFirst(this, frame);
      if (!this.#first && this.#handlers.onClock) this.#ping();
      return;
    }
    switch (frame.type) {
      case FRAME.ping:
        this.send(FRAME.pong, { wallMs: Math.floor(this.#world.clock.wallMs()) });
        return;
      case FRAME.pong:
        this.#onPong(frame.body);
        return;
      case FRAME.request:
        this.#onRequest(frame);
        return;
      case FRAME.response:
        this.#onResponse(frame);
        return;
      case FRAME.note:
        if (!this.#handlers.onNote) throw new InputError("bad-frame", "no notes are taken on this link");
        this.#handlers.onNote(frame.body);
        return;
      case FRAME.refuse:
        this.close(`the peer refused: ${parseBody(refuseBody, frame.body).reason}`);
        return;
      default:
        if ((frame.type & OPTIONAL_BIT) === 0)
          throw new InputError("bad-frame", `unknown type of frame: ${frame.type}`);
    }
  }

  #ping(): void {
    this.#pingsSent += 1;
    this.#timedPing ??= { number: this.#pingsSent, sent: this.#now() };
    this.send(FRAME.ping, null);
  }

  #onPong(body: unknown): void {
    const pong = parseBody(pongBody, body);
    if (this.#pongsHeard === this.#pingsSent) return; // nobody asked
    this.#pongsHeard += 1;
    const timed = this.#timedPing;
    if (timed?.number !== this.#pongsHeard) return;
    this.#timedPing = null;
    const answered = this.#now();
    this.rttMs = answered.monotonicMs - timed.sent.monotonicMs;
    if (pong) this.#handlers.onClock?.({ asked: timed.sent, answered, peerWallMs: pong.wallMs });
  }

  #now(): Instant {
    const { clock } = this.#world;
    return { wallMs: clock.wallMs(), monotonicMs: clock.monotonicMs() };
  }

  #onRequest(frame: Frame): void {
    const { id, op, body } = parseBody(requestBody, frame.body);
    this.#account(frame.bytes);
    this.#handlers.onRequest(op, body).then(
      (answer) => {
        this.#account(-frame.bytes);
        this.send(FRAME.response, { id, body: answer });
      },
      (error: unknown) => {
        this.#account(-frame.bytes);
        const reason = error instanceof Error ? error.message : String(error);
        this.#world.log.warn("peer.request-refused", { op, reason });
        this.send(FRAME.response, { id, error: reason.slice(0, 1_000), body: null });
      },
    );
  }

  #account(bytes: number): void {
    const before = this.#inboundBytes > MAX_INBOUND_BYTES;
    this.#inboundBytes += bytes;
    const after = this.#inboundBytes > MAX_INBOUND_BYTES;
    if (before !== after && !this.#closed) this.#stream.pause(after);
  }

  #onResponse(frame: Frame): void {
    const { id, error, body } = parseBody(responseBody, frame.body);
    const pending = this.#pending.get(id);
    if (!pending) return; // its time was over
    this.#pending.delete(id);
    pending.timer.cancel();
    if (error === undefined) pending.done(body);
    else pending.failed(new LinkError(error));
  }

  #scheduleHeartbeat(): Timer {
    const everyMs = this.#heartbeatMs;
    const dueMs = this.#world.clock.monotonicMs() + everyMs;
    return this.#world.timers.after(everyMs, () => {
      const nowMs = this.#world.clock.monotonicMs();
      const lateMs = nowMs - dueMs;
      // Whoever slept judges nobody: what the peer sent meanwhile is still to be read (gossip.md, stalls).
      if (lateMs > everyMs / 2) {
        this.#lastHeardMs = Math.min(nowMs, this.#lastHeardMs + lateMs);
        this.#handlers.onStall?.(lateMs);
      }
      if (nowMs - this.#lastHeardMs > SILENT_HEARTBEATS * everyMs) {
        this.close(`silent for ${SILENT_HEARTBEATS * everyMs} ms`);
        return;
      }
      if (!this.#first) this.#ping();
      this.#heartbeat = this.#scheduleHeartbeat();
    });
  }
}
