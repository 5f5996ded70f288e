/** At the same moment: ordinary things in the order in which they were planned, then what a stall held back. */
export const Order = { normal: 0, stalled: 1, latePacket: 2, lateTimer: 3 } as const;

export interface Item {
  readonly atMs: number;
  readonly order: number;
  readonly serial: number;
  readonly call: () => void;
}

/** What is to happen in virtual time, soonest first: a binary heap. */
export class Agenda {
  readonly #items: Item[] = [];
  #serial = 0;

  at(atMs: number, call: () => void, order: number = Order.normal): void {
    this.#serial += 1;
    const item = { atMs, order, serial: this.#serial, call };
    let i = this.#items.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(this.#items[parent] as Item, item)) break;
      this.#items[i] = this.#items[parent] as Item;
      i = parent;
    }
    this.#items[i] = item;
  }

  next(endMs: number): Item | undefined {
    const first = this.#items[0];
    if (!first || first.atMs > endMs) return undefined;
    const last = this.#items.pop() as Item;
    if (this.#items.length > 0) this.#sink(last);
    return first;
  }

  #sink(item: Item): void {
    const size = this.#items.length;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= size) break;
      if (child + 1 < size && isBefore(this.#items[child + 1] as Item, this.#items[child] as Item)) child += 1;
      if (isBefore(item, this.#items[child] as Item)) break;
      this.#items[i] = this.#items[child] as Item;
      i = child;
    }
    this.#items[i] = item;
  }
}

function isBefore(a: Item, b: Item): boolean {
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.order !== b.order ? a.order < b.order : a.serial < b.serial;
}
