import type { Id } from "../../src/consensus/core/quorum.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { Agenda } from "./agenda.ts";
import type { Operation } from "./history.ts";
import { encodeCommand, type Outcome } from "./machine.ts";
import { isRefusal, type SimNode } from "./node.ts";
import type { Plan } from "./plan.ts";

/** What clients share: the history they write, and the nodes they ask. */
export interface World {
  readonly plan: Plan;
  readonly agenda: Agenda;
  readonly nodes: ReadonlyMap<Id, SimNode>;
  readonly operations: Operation[];
  /** The next place in the run's order. */
  moment(): number;
  record(what: string, detail: unknown): void;
}

/** One after the other it writes, swaps and reads. When no answer comes it asks again elsewhere, or gives up and doesn't
 *  know. */
export class Client {
  readonly #number: number;
  readonly #world: World;
  readonly #rng: Rng;
  readonly #lastSeen = new Map<number, number>();
  #seq = 0;
  #favourite: SimNode | null = null;
  /** What it waits for. */
  #open: Operation | null = null;
  isStopped = false;

  constructor(number: number, world: World, rng: Rng) {
    this.#number = number;
    this.#world = world;
    this.#rng = rng;
  }

  begin(): void {
    this.#think();
  }

  /** The run is over: what is open stays so. */
  end(): void {
    if (this.#open && this.#open.kind !== "read") this.#world.operations.push(this.#open);
  }

  #think(): void {
    this.#open = null;
    this.#world.agenda.after(10 + this.#rng.unit() * this.#world.plan.thinkMs, () => {
      if (!this.isStopped) this.#call();
    });
  }

  #call(): void {
    const kind = (["write", "swap", "read", "read"] as const)[this.#rng.below(4)] ?? "read";
    this.#seq += 1;
    const key = 1 + this.#rng.below(this.#world.plan.keys);
    const op: Operation = {
      kind,
      key,
      // No value is written twice: what is read says which write it was.
      value: this.#seq * 16 + this.#number,
      from: this.#lastSeen.get(key) ?? 0,
      calledAt: this.#world.moment(),
      returnedAt: Number.POSITIVE_INFINITY,
      seen: 0,
    };
    this.#open = op;
    this.#world.record("call", { client: this.#number, seq: this.#seq, kind, key, value: op.value, from: op.from });
    this.#try(op, this.#seq, 3, false);
  }

  /** @param mayHavePassed an earlier try was taken by somebody */
  #try(op: Operation, seq: number, tries: number, mayHavePassed: boolean): void {
    if (tries === 0) {
      if (mayHavePassed && op.kind !== "read") this.#world.operations.push(op);
      this.#favourite = null;
      this.#think();
      return;
    }
    let isOver = false;
    const done = (seen: number): void => {
      if (isOver) return;
      isOver = true;
      this.#answered(op, seen);
    };
    const wasTaken = this.#ask(op, seq, done);
    const waitMs = wasTaken ? this.#world.plan.patienceMs : 100 + this.#rng.unit() * 200;
    this.#world.agenda.after(waitMs, () => {
      if (isOver) return;
      isOver = true;
      this.#favourite = null;
      const isTired = this.#rng.unit() < 0.3;
      this.#try(op, seq, isTired ? 0 : tries - 1, mayHavePassed || wasTaken);
    });
  }

  #answered(op: Operation, seen: number): void {
    op.returnedAt = this.#world.moment();
    op.seen = seen;
    const after = op.kind === "write" || (op.kind === "swap" && seen === op.from) ? op.value : seen;
    this.#lastSeen.set(op.key, after);
    this.#world.operations.push(op);
    this.#world.record("answer", { client: this.#number, key: op.key, seen });
    this.#think();
  }

  /** Returns false when it was refused at once. */
  #ask(op: Operation, seq: number, done: (seen: number) => void): boolean {
    const node = this.#favourite?.isUp ? this.#favourite : this.#pick();
    if (!node) return false;
    this.#favourite = node;
    const client = this.#number;
    try {
      if (op.kind === "read") node.read(this.#world.moment(), (machine) => done(machine.read(op.key)));
      else {
        const data = encodeCommand(
          { client, seq, kind: op.kind, key: op.key, value: op.value, from: op.from },
          this.#rng.below(20),
        );
        node.propose({ kind: "command", data }, `${client}.${seq}`, ({ seen }: Outcome) => done(seen));
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      return false;
    }
    return true;
  }

  #pick(): SimNode | null {
    const up = [...this.#world.nodes.values()].filter((node) => node.isUp);
    return up[this.#rng.below(up.length)] ?? null;
  }
}
