import { InputError } from "../../kernel/assert.ts";
import { dial } from "../../peer/dial.ts";
import { bytes, type Hello, MAX_FRAME_BYTES, parseBody } from "../../peer/frames.ts";
import { type Link, LinkError } from "../../peer/link.ts";
import type { Address, Timer, World } from "../../world/world.ts";
import type { Id } from "../core/quorum.ts";

export interface AsksOptions {
  readonly world: World;
  readonly hello: Omit<Hello, "traffic">;
  readonly heartbeatMs: number;
  readonly addressOf: (node: Id) => Address | null;
  readonly epoch: () => number;
}

/** Unanswered questions to one node; more are refused. */
const ASKS_MAX = 8;
/** A link that nobody asks on is closed: who is asked changes. */
const IDLE_MS = 10_000;
/** Of a question's and of an answer's body: a frame, and room for what is around it. */
export const ASK_BYTES_MAX: number = MAX_FRAME_BYTES - 4_096;

/** The answer, unless it fits no frame. */
export function checkAnswer(op: string, answer: Uint8Array): Uint8Array {
  checkSize(`the answer to ${op}`, answer);
  return answer;
}

function checkSize(what: string, { length }: Uint8Array): void {
  if (length > ASK_BYTES_MAX)
    throw new InputError("too-large", `${what} has ${length} bytes: the limit is ${ASK_BYTES_MAX}`);
}

/** Questions of this node to others, on `control` links of their own: a Raft message of an incarnation that is over ends the
 *  link it came on, and who sends such is the one that must ask for the newer state. */
export class Asks {
  readonly #o: AsksOptions;
  readonly #asked = new Map<Id, Asked>();

  constructor(options: AsksOptions) {
    this.#o = options;
  }

  async ask(node: Id, op: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    checkSize(`the question ${op}`, body);
    let asked = this.#asked.get(node);
    if (!asked) {
      asked = new Asked(node, this.#o, () => this.#asked.delete(node));
      this.#asked.set(node, asked);
    }
    return asked.ask(op, body, timeoutMs);
  }

  stop(reason: string): void {
    for (const asked of [...this.#asked.values()]) asked.stop(reason);
  }
}

/** One other node, while it is asked, and a while after. */
class Asked {
  readonly #node: Id;
  readonly #o: AsksOptions;
  readonly #onIdle: () => void;
  #link: Promise<Link> | null = null;
  #inFlight = 0;
  #idle: Timer | null = null;
  #stopReason: string | null = null;

  constructor(node: Id, options: AsksOptions, onIdle: () => void) {
    this.#node = node;
    this.#o = options;
    this.#onIdle = onIdle;
  }

  async ask(op: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    const { clock } = this.#o.world;
    if (this.#inFlight >= ASKS_MAX) throw new LinkError(`${ASKS_MAX} questions to ${this.#node} wait for an answer`);
    this.#inFlight += 1;
    this.#idle?.cancel();
    try {
      const untilMs = clock.monotonicMs() + timeoutMs;
      const link = await this.#linkWithin(timeoutMs);
      const answer = await link.request(op, body, Math.max(1, untilMs - clock.monotonicMs()));
      return this.#bytesIn(answer);
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) this.#whenIdle();
    }
  }

  #linkWithin(timeoutMs: number): Promise<Link> {
    this.#link ??= this.#dial();
    const dialing = this.#link;
    return new Promise((resolve, reject) => {
      const late = new LinkError(`no link to ${this.#node} within ${timeoutMs} ms`);
      const timer = this.#o.world.timers.after(timeoutMs, () => reject(late));
      void dialing.then(resolve, (error: unknown) => reject(linkErrorOf(error))).finally(() => timer.cancel());
    });
  }

  /** Once it failed or closed, the next question dials. */
  #dial(): Promise<Link> {
    const forget = (): void => {
      if (this.#link === dialing) this.#link = null;
    };
    const dialing = this.#connect(forget);
    dialing.catch(forget);
    return dialing;
  }

  async #connect(onClose: () => void): Promise<Link> {
    const { world, hello, heartbeatMs, addressOf, epoch } = this.#o;
    const address = addressOf(this.#node);
    if (!address) throw new LinkError(`the peer address of ${this.#node} is not known yet`);
    const { link } = await dial({
      world,
      address,
      node: this.#node,
      hello: { ...hello, traffic: "control", epoch: epoch() },
      heartbeatMs,
      handlers: { onClose },
    });
    if (this.#stopReason !== null) link.close(this.#stopReason);
    return link;
  }

  #bytesIn(answer: unknown): Uint8Array {
    try {
      return parseBody(bytes, answer);
    } catch (error) {
      throw linkErrorOf(error);
    }
  }

  #whenIdle(): void {
    if (this.#stopReason === null)
      this.#idle = this.#o.world.timers.after(IDLE_MS, () => this.stop("nothing is asked any more"));
  }

  stop(reason: string): void {
    this.#stopReason = reason;
    this.#idle?.cancel();
    this.#onIdle();
    // Whoever waits for a dial that fails hears of it itself.
    this.#link?.then(
      (link) => link.close(reason),
      () => {},
    );
  }
}

/** What the other side refused, or said wrongly, is no fault of who asked here. */
function linkErrorOf(error: unknown): LinkError {
  if (error instanceof LinkError) return error;
  if (error instanceof InputError) return new LinkError(error.message);
  throw error;
}
