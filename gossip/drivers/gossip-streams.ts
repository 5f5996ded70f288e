import { InputError } from "../../src/kernel/assert.ts";
import type { Stream, Timer } from "../../src/world/world.ts";
import {
  canonicalHost,
  type Envelope,
  encodeStream,
  StreamDecoder,
  type StreamMessage,
  type SwimEvent,
} from "../index.ts";
import type { Effect } from "../swim/protocol.ts";
import type { GossipWorld } from "./gossip-options.ts";
import type { LateTimers } from "./late-timers.ts";

/** A full table of the largest rows takes 7 MiB, serf's words about each of them 4 more. */
const MESSAGE_BYTES_MAX = 12 * 1024 * 1024;
/** Asking, being answered and closing. */
const STREAM_MS_MAX = 10_000;
/** Streams that others opened; each may hold MESSAGE_BYTES_MAX. Further ones are closed at once: push/pull is tried
 *  again with somebody else, and a TCP ping only matters where UDP fails. */
const INBOUND_MAX = 32;

export interface StreamsOptions {
  readonly world: GossipWorld;
  readonly timers: LateTimers;
  readonly envelope: Envelope;
  readonly nodesMax: number;
  readonly step: (event: SwimEvent) => void;
  readonly onReject: (reason: string) => void;
}

type OpenStream = Extract<Effect, { kind: "open-stream" }>;

interface Inbound {
  readonly stream: Stream;
  readonly timer: Timer;
  /** The request is whole: from here on a close is the asker's good right. */
  answered: boolean;
}

/** Push/pull and pings on TCP: one message each way per stream. */
export class GossipStreams {
  readonly #options: StreamsOptions;
  readonly #inbound = new Map<number, Inbound>();
  readonly #outbound = new Set<Stream>();
  #lastInbound = 0;
  #closed = false;

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  accept(stream: Stream): void {
    if (this.#closed || this.#inbound.size >= INBOUND_MAX) {
      this.#options.onReject("too-many-streams");
      stream.open({ onData: () => undefined, onClose: () => undefined });
      stream.close();
      return;
    }
    this.#lastInbound += 1;
    const id = this.#lastInbound;
    const timer = this.#options.timers.afterAwake(STREAM_MS_MAX, () => this.#refuse(id, "stream-timeout"));
    this.#inbound.set(id, { stream, timer, answered: false });
    const decoder = this.#decoder();
    stream.open({
      onData: (bytes) => this.#onRequestBytes(id, decoder, bytes),
      onClose: () => this.#inboundClosed(id),
    });
  }

  open(effect: OpenStream): void {
    void this.#ask(effect);
  }

  /** The asker closes when it has read the answer; closing first could cut it off. */
  reply(id: number, message: StreamMessage): void {
    this.#inbound.get(id)?.stream.write(encodeStream(message, this.#options.envelope));
  }

  closeInbound(id: number): void {
    const inbound = this.#inbound.get(id);
    if (!inbound) return;
    this.#inbound.delete(id);
    inbound.timer.cancel();
    inbound.stream.close();
  }

  close(): void {
    this.#closed = true;
    for (const id of [...this.#inbound.keys()]) this.closeInbound(id);
    for (const stream of this.#outbound) stream.close();
    this.#outbound.clear();
  }

  #decoder(): StreamDecoder {
    const { envelope, nodesMax } = this.#options;
    return new StreamDecoder(envelope, { messageBytes: MESSAGE_BYTES_MAX, nodes: nodesMax });
  }

  #onRequestBytes(id: number, decoder: StreamDecoder, bytes: Uint8Array): void {
    const inbound = this.#inbound.get(id);
    if (!inbound || inbound.answered) return;
    this.#options.timers.arrived();
    try {
      const message = decoder.push(bytes);
      if (!message) return;
      inbound.answered = true;
      this.#options.step({ kind: "stream-request", id, message });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#refuse(id, error.slug);
    }
  }

  #refuse(id: number, reason: string): void {
    if (this.#inbound.get(id)?.answered === false) this.#options.onReject(reason);
    this.closeInbound(id);
  }

  #inboundClosed(id: number): void {
    const inbound = this.#inbound.get(id);
    if (!inbound) return;
    if (!inbound.answered) this.#options.onReject("truncated");
    this.closeInbound(id);
  }

  async #ask(effect: OpenStream): Promise<void> {
    const { id, to, timeoutMs } = effect;
    const { world, step } = this.#options;
    const startMs = world.clock.monotonicMs();
    let stream: Stream;
    try {
      stream = await world.network.connect(to, timeoutMs);
    } catch (error) {
      step({ kind: "stream-failed", id, reason: error instanceof Error ? error.message : String(error) });
      return;
    }
    if (this.#closed) stream.close();
    else this.#exchange(stream, effect, timeoutMs - (world.clock.monotonicMs() - startMs));
  }

  #exchange(stream: Stream, effect: OpenStream, timeoutMs: number): void {
    const { id, message } = effect;
    const { step, timers, envelope, onReject } = this.#options;
    const decoder = this.#decoder();
    const end = (event: SwimEvent): void => {
      if (!this.#outbound.delete(stream)) return; // ended before
      timer.cancel();
      stream.close();
      step(event);
    };
    const fail = (reason: string): void => end({ kind: "stream-failed", id, reason });
    const timer = timers.afterAwake(Math.max(0, timeoutMs), () => fail("no answer in time"));
    this.#outbound.add(stream);
    stream.open({
      onData: (bytes) => {
        timers.arrived();
        try {
          const answer = decoder.push(bytes);
          const remote = { host: canonicalHost(stream.remote.host), port: stream.remote.port };
          if (answer) end({ kind: "stream-reply", id, remote, message: answer });
        } catch (error) {
          if (!(error instanceof InputError)) throw error;
          onReject(error.slug);
          fail(error.message);
        }
      },
      onClose: (reason) => fail(`closed before the answer: ${reason}`),
    });
    stream.write(encodeStream(message, envelope));
  }
}
