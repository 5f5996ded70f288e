/** A map with a budget: holds values up to `maxWeight` in total and forgets the least recently used, or one that was
 *  used before three quarters of the others were. */
export class LruMap<K, V> {
  readonly #entries = new Map<K, { readonly value: V; readonly weight: number; readonly movedAt: number }>();
  /** Counts what moves entries, and what would have. */
  #uses = 0;
  readonly #maxWeight: number;
  #weight = 0;

  constructor(maxWeight: number) {
    this.#maxWeight = maxWeight;
  }

  get size(): number {
    return this.#entries.size;
  }

  get weight(): number {
    return this.#weight;
  }

  get(key: K): V | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#uses += 1;
    // Moved to the end only once it may have left the last quarter: a move costs more than all else here.
    if (this.#uses - entry.movedAt > this.#entries.size >> 2) {
      this.#entries.delete(key);
      this.#put(key, entry.value, entry.weight);
    }
    return entry.value;
  }

  #put(key: K, value: V, weight: number): void {
    this.#uses += 1;
    this.#entries.set(key, { value, weight, movedAt: this.#uses });
  }

  has(key: K): boolean {
    return this.#entries.has(key);
  }

  set(key: K, value: V, weight: number): void {
    this.delete(key);
    if (weight > this.#maxWeight) return;
    this.#put(key, value, weight);
    this.#weight += weight;
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#maxWeight) return;
      this.delete(oldest);
    }
  }

  delete(key: K): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#weight -= entry.weight;
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#weight = 0;
  }
}
