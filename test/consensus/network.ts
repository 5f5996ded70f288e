import type { Message } from "../../src/consensus/core/messages.ts";
import type { Id } from "../../src/consensus/core/quorum.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { Agenda } from "./agenda.ts";
import type { NetworkPlan } from "./plan.ts";

const CALM: NetworkPlan = { delayMs: 5, jitterMs: 3, lossPercent: 0, duplicatePercent: 0, stragglerPercent: 0 };

/** Delays, loses, doubles and reorders; links can be cut one way. */
export class Network {
  #plan: NetworkPlan;
  readonly #agenda: Agenda;
  readonly #rng: Rng;
  readonly #deliver: (message: Message) => void;
  readonly #cuts = new Set<string>();
  #epoch = 0;

  constructor(plan: NetworkPlan, agenda: Agenda, rng: Rng, deliver: (message: Message) => void) {
    this.#plan = plan;
    this.#agenda = agenda;
    this.#rng = rng;
    this.#deliver = deliver;
  }

  cut(from: Id, to: Id): void {
    this.#cuts.add(`${from}>${to}`);
  }

  heal(): void {
    this.#cuts.clear();
  }

  /** What is on its way is lost. */
  calm(): void {
    this.#plan = CALM;
    this.#epoch += 1;
    this.heal();
  }

  /** Returns when it will arrive, in ms from now; null when it is lost. */
  send(message: Message): number | null {
    const { lossPercent, duplicatePercent } = this.#plan;
    if (this.#cuts.has(`${message.from}>${message.to}`) || this.#rng.unit() * 100 < lossPercent) return null;
    const delayMs = this.#delayMs();
    const epoch = this.#epoch;
    const deliver = (): void => {
      if (epoch === this.#epoch) this.#deliver(message);
    };
    this.#agenda.after(delayMs, deliver);
    if (this.#rng.unit() * 100 < duplicatePercent) this.#agenda.after(this.#delayMs(), deliver);
    return delayMs;
  }

  #delayMs(): number {
    const { delayMs, jitterMs, stragglerPercent } = this.#plan;
    const isLate = this.#rng.unit() * 100 < stragglerPercent;
    return delayMs + this.#rng.unit() * jitterMs + (isLate ? this.#rng.unit() * 6_000 : 0);
  }
}
