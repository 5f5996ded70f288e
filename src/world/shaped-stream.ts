import { assert } from "../kernel/assert.ts";
import type { Address, Stream, StreamHandlers, Timers } from "./world.ts";

/** What a shaped stream asks about the rules of the moment. */
export interface Shaper {
  readonly timers: Timers;
  isCut(region: string | undefined): boolean;
  delayMs(region: string | undefined): number;
  /** The stream has ended: it need not hear of new rules. */
  forget(stream: ShapedStream): void;
}

/** What we have written to a stream across a cut, at most; then it closes. More: memory for each peer that is cut off.
 *  Less: a short cut breaks more streams. What the other side sends waits with it, because we stop reading. */
const HELD_BYTES_MAX = 1024 * 1024;

/** A stream that obeys the rules: bytes that we write leave in order after the delay; across a cut both directions are
 *  silent, and go on in order when it heals, or end with "reset after a cut" when the other side has ended meanwhile. */
export class ShapedStream implements Stream {
  readonly #inner: Stream;
  readonly #shaper: Shaper;
  #region: () => string | undefined;
  #handlers: StreamHandlers | undefined;
  #cut: boolean;
  #paused = false;
  /** Why it ended, for its owner. Set once. */
  #reason: string | undefined;
  /** Written, not yet let through; `ripe` when the delay has passed. */
  #outgoing: { readonly bytes: Uint8Array; ripe: boolean }[] = [];
  #outgoingBytes = 0;
  /** The other side ended during a cut: not to be known before it heals. */
  #endedBehindCut = false;

  constructor(inner: Stream, region: () => string | undefined, shaper: Shaper) {
    this.#inner = inner;
    this.#region = region;
    this.#shaper = shaper;
    this.#cut = shaper.isCut(region());
    if (this.#cut) inner.pause(true);
  }

  get remote(): Address {
    return this.#inner.remote;
  }

  open(handlers: StreamHandlers): void {
    assert(this.#handlers === undefined, "a stream is opened once");
    this.#handlers = handlers;
    if (this.#reason !== undefined) {
      this.#tell(this.#reason);
      return;
    }
    this.#inner.open({
      onData: (bytes) => {
        if (this.#reason === undefined) handlers.onData(bytes);
      },
      onDrain: () => {
        if (this.#reason === undefined && this.queuedBytes === 0) handlers.onDrain?.();
      },
      onClose: (reason) => {
        this.#outgoing = [];
        this.#outgoingBytes = 0;
        if (this.#cut) this.#endedBehindCut = true;
        else this.#end(reason);
      },
    });
  }

  write(bytes: Uint8Array): void {
    if (this.#reason !== undefined || bytes.length === 0) return;
    const delayMs = this.#shaper.delayMs(this.#region());
    if (delayMs === 0 && !this.#cut && this.#outgoing.length === 0) {
      this.#inner.write(bytes);
      return;
    }
    const entry = { bytes, ripe: delayMs === 0 };
    this.#outgoing.push(entry);
    this.#outgoingBytes += bytes.length;
    if (this.#overfull() || entry.ripe) return;
    this.#shaper.timers.after(delayMs, () => {
      entry.ripe = true;
      this.#letOut();
    });
  }

  get queuedBytes(): number {
    return this.#outgoingBytes + this.#inner.queuedBytes;
  }

  pause(paused: boolean): void {
    this.#paused = paused;
    if (!this.#cut && this.#reason === undefined) this.#inner.pause(paused);
  }

  close(): void {
    if (this.#reason !== undefined) return;
    this.#end("closed here");
    this.#finish();
  }

  /** The other side said who it is. */
  attribute(region: string): void {
    this.#region = () => region;
    this.rulesChanged();
  }

  rulesChanged(): void {
    const wasCut = this.#cut;
    this.#cut = this.#shaper.isCut(this.#region());
    if (this.#cut === wasCut) return;
    if (this.#reason !== undefined) this.#finish();
    else if (this.#cut) this.#inner.pause(true);
    else this.#heal();
  }

  #heal(): void {
    if (this.#endedBehindCut) {
      this.#end("reset after a cut");
      return;
    }
    this.#inner.pause(this.#paused);
    this.#letOut();
  }

  #letOut(): void {
    while (!this.#cut && this.#outgoing[0]?.ripe) {
      const { bytes } = this.#outgoing.shift() as { bytes: Uint8Array };
      this.#outgoingBytes -= bytes.length;
      this.#inner.write(bytes);
    }
    if (this.#reason !== undefined) this.#finish();
  }

  #overfull(): boolean {
    if (!this.#cut || this.#outgoingBytes <= HELD_BYTES_MAX) return false;
    this.#end(`more than ${HELD_BYTES_MAX} bytes held during a cut`);
    this.#finish();
    return true;
  }

  #end(reason: string): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    if (this.#outgoing.length === 0) this.#shaper.forget(this);
    if (this.#handlers !== undefined) this.#tell(reason);
  }

  /** Never from within a call of the owner. */
  #tell(reason: string): void {
    this.#shaper.timers.soon(() => this.#handlers?.onClose(reason));
  }

  /** After the end: what only waits for its delay still goes out, what is behind a cut is lost. */
  #finish(): void {
    if (this.#cut) this.#outgoing = [];
    else if (this.#outgoing.length > 0) return;
    this.#shaper.forget(this);
    this.#inner.close();
  }
}
