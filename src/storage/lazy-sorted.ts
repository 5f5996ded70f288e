// Changes that wait to be merged, when nobody reads. More: longer merges; fewer: more of them. Beyond it they grow with
// the list, so that merging stays a constant share of each change.
const PENDING_MIN = 1024;

/** A sorted list that sorts when it is read: any number of changes between two reads costs one merge. Items are told apart
 *  by identity. */
export class LazySorted<T> {
  readonly #compare: (a: T, b: T) => number;
  #sorted: T[] = [];
  #added: T[] = [];
  readonly #removed = new Set<T>();

  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get size(): number {
    return this.#sorted.length + this.#added.length - this.#removed.size;
  }

  /** An item that is not there. */
  add(item: T): void {
    if (!this.#removed.delete(item)) this.#added.push(item);
    this.#mergeIfMany();
  }

  /** An item that is there. */
  remove(item: T): void {
    this.#removed.add(item);
    this.#mergeIfMany();
  }

  /** All items in order. Valid until the next change. */
  list(): readonly T[] {
    if (this.#removed.size > 0) {
      this.#sorted = this.#sorted.filter((item) => !this.#removed.has(item));
      this.#added = this.#added.filter((item) => !this.#removed.has(item));
      this.#removed.clear();
    }
    if (this.#added.length > 0) {
      const added = this.#added.sort(this.#compare);
      this.#added = [];
      this.#merge(added);
    }
    return this.#sorted;
  }

  /** The index in `list()` of the first item for which `isPast` holds; it must hold for all behind it. */
  firstIndex(isPast: (item: T) => boolean): number {
    const list = this.list();
    let low = 0;
    let high = list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isPast(list[middle] as T)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #mergeIfMany(): void {
    if (this.#added.length + this.#removed.size > PENDING_MIN + this.#sorted.length) this.list();
  }

  // What comes last anyway (a log) is appended; otherwise the old items behind the first new one are merged with the new.
  #merge(added: readonly T[]): void {
    const first = added[0] as T;
    const tail = this.#sorted.splice(this.#indexBehind(first));
    let at = 0;
    for (const item of tail) {
      while (at < added.length && this.#compare(added[at] as T, item) < 0) this.#sorted.push(added[at++] as T);
      this.#sorted.push(item);
    }
    while (at < added.length) this.#sorted.push(added[at++] as T);
  }

  #indexBehind(item: T): number {
    return this.firstIndex((other) => this.#compare(other, item) > 0);
  }
}
