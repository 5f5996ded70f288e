import { InputError } from "../../kernel/assert.ts";
import { Reader, Writer } from "../../kernel/bytes.ts";
import type { Timer, World } from "../../world/world.ts";
import type { Payload } from "../core/log.ts";
import type { Id } from "../core/quorum.ts";
import { Latencies } from "./latencies.ts";
import { OutcomeUnknown, RaftRefusal } from "./refusal.ts";

/** When others are likely to be through. */
const RETRY_AFTER_MS = 100;
/** Of the frame that a proposal's bytes travel in. */
const VERSION = 1;
/** Of an instance: enough to tell one node's logs apart. */
const LOG_DIGITS = 8;

/** Which proposal an entry came from: whoever asked must not take another's entry for its own. */
interface ProposalId {
  readonly node: Id;
  /** Which of its logs: an emptied node counts its lives from one again. */
  readonly log: string;
  readonly life: number;
  readonly counter: number;
}

export interface Outcome<Result> {
  readonly index: number;
  readonly result: Result;
}

interface Waiting<Result> {
  readonly resolve: (outcome: Outcome<Result>) => void;
  readonly reject: (error: Error) => void;
  readonly timer: Timer;
  readonly askedMs: number;
}

/** The bytes of an entry, and which proposal brought them; the machine's own changes of the group have none. Throws
 *  InputError on what no node proposed. */
export function unframe(data: Uint8Array): { readonly id: ProposalId | null; readonly data: Uint8Array } {
  if (data.length === 0) return { id: null, data };
  const reader = new Reader(data);
  if (reader.u8() !== VERSION) throw new InputError("bad-proposal", "a proposal of another version");
  const id = { node: reader.text(), log: reader.text(), life: reader.uint(), counter: reader.uint() };
  return { id, data: reader.raw(reader.left) };
}

/** Throws InputError unless a member may have forwarded it. @param check of a command, by whoever applies it */
export function checkForwarded(payload: Payload, bytesMax: number, check: (data: Uint8Array) => void): void {
  if (payload.kind === "nothing") throw new InputError("bad-proposal", "only a leader appends empty entries");
  const { data } = unframe(payload.data);
  if (data.length > bytesMax) throw new InputError("too-large", "a forwarded proposal is too large");
  if (payload.kind === "command") check(data);
}

/** Proposals of this node that are not settled yet: each is settled once, and none waits for ever. */
export class Proposals<Result> {
  readonly #world: World;
  readonly #node: Id;
  readonly #log: string;
  readonly #life: number;
  readonly #max: number;
  readonly #waiting = new Map<number, Waiting<Result>>();
  #counter = 0;
  readonly latencies = new Latencies();
  applied = 0;
  unknown = 0;
  refused = 0;

  /** @param life never the same for two runs of the log with that instance */
  constructor(world: World, node: Id, { instance, life }: { instance: string; life: number }, max: number) {
    this.#world = world;
    this.#node = node;
    this.#log = instance.slice(0, LOG_DIGITS);
    this.#life = life;
    this.#max = max;
  }

  get inFlight(): number {
    return this.#waiting.size;
  }

  /** @param hand gives the framed bytes on; what it throws is what the promise rejects with, and nothing has happened then */
  ask(bytes: Uint8Array, timeoutMs: number, hand: (framed: Uint8Array) => void): Promise<Outcome<Result>> {
    if (this.#waiting.size >= this.#max) {
      this.refused += 1;
      const message = `${this.#max} proposals of this node wait for their outcome: try again`;
      return Promise.reject(new RaftRefusal("too-many-in-flight", message, RETRY_AFTER_MS));
    }
    this.#counter += 1;
    const counter = this.#counter;
    return new Promise((resolve, reject) => {
      const timer = this.#world.timers.after(timeoutMs, () => this.#giveUp(counter, `within ${timeoutMs} ms`));
      this.#waiting.set(counter, { resolve, reject, timer, askedMs: this.#world.clock.monotonicMs() });
      try {
        hand(this.#frame(counter, bytes));
      } catch (error) {
        timer.cancel();
        this.#waiting.delete(counter);
        this.refused += 1;
        throw error;
      }
    });
  }

  #frame(counter: number, bytes: Uint8Array): Uint8Array {
    return new Writer().u8(VERSION).text(this.#node).text(this.#log).uint(this.#life).uint(counter).raw(bytes).finish();
  }

  /** An entry was applied here. */
  settle(id: ProposalId | null, index: number, result: Result): void {
    if (id?.node !== this.#node || id.log !== this.#log || id.life !== this.#life) return;
    const waiting = this.#take(id.counter);
    if (!waiting) return; // its time was over
    this.applied += 1;
    this.latencies.add(this.#world.clock.monotonicMs() - waiting.askedMs);
    waiting.resolve({ index, result });
  }

  #giveUp(counter: number, when: string): void {
    const waiting = this.#take(counter);
    if (!waiting) return;
    this.unknown += 1;
    waiting.reject(
      new OutcomeUnknown(`the proposal was not applied here ${when}: it may have been elsewhere, or may yet be`),
    );
  }

  #take(counter: number): Waiting<Result> | undefined {
    const waiting = this.#waiting.get(counter);
    waiting?.timer.cancel();
    this.#waiting.delete(counter);
    return waiting;
  }

  /** Nothing will be applied here any more. */
  end(): void {
    for (const counter of [...this.#waiting.keys()]) this.#giveUp(counter, "before this member ended its part");
  }
}
