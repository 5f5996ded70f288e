interface Item {
  readonly atMs: number;
  readonly serial: number;
  readonly call: () => void;
}

/** What is to come, in virtual time: a binary heap. At the same moment: in the order in which it was planned. */
export class Agenda {
  readonly #items: Item[] = [];
  #serial = 0;
  nowMs = 0;

  after(ms: number, call: () => void): void {
    this.#serial += 1;
    const item = { atMs: this.nowMs + ms, serial: this.#serial, call };
    let i = this.#items.push(item) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (isBefore(this.#items[parent] as Item, item)) break;
      this.#items[i] = this.#items[parent] as Item;
      i = parent;
    }
    this.#items[i] = item;
  }

  run(untilMs: number): void {
    for (let item = this.#take(untilMs); item; item = this.#take(untilMs)) {
      this.nowMs = item.atMs;
      item.call();
    }
    this.nowMs = untilMs;
  }

  #take(endMs: number): Item | undefined {
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
  return a.atMs !== b.atMs ? a.atMs < b.atMs : a.serial < b.serial;
}
