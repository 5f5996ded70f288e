import type { LogRecord } from "../storage/store.ts";

/** The newest log records in memory, as long as somebody will still push them, so that pushing what was just written reads
 *  no disk. Bounded in bytes: a peer that is further behind is served from the store. */
export class LogTail {
  readonly #maxBytes: number;
  #records: LogRecord[] = [];
  #bytes = 0;
  #lastPos: number;

  constructor(maxBytes: number, lastPos: number) {
    this.#maxBytes = maxBytes;
    this.#lastPos = lastPos;
  }

  get lastPos(): number {
    return this.#lastPos;
  }

  append(records: readonly LogRecord[]): void {
    for (const record of records) {
      this.#records.push(record);
      this.#bytes += record.body.length;
      this.#lastPos = record.pos;
    }
    this.#dropWhile(() => this.#bytes > this.#maxBytes);
  }

  /** Nobody will push records up to here any more. Kept, they would grow old, and what grows old costs the collector
   *  most: a third of its time under a load of writes. */
  forget(upToPos: number): void {
    this.#dropWhile(({ pos }) => pos <= upToPos);
  }

  #dropWhile(isDue: (oldest: LogRecord) => boolean): void {
    let drop = 0;
    for (const record of this.#records) {
      if (!isDue(record)) break;
      this.#bytes -= record.body.length;
      drop += 1;
    }
    if (drop > 0) this.#records.splice(0, drop);
  }

  /** Records with pos > afterPos, at most `limit`; null when some of them are no longer held here. */
  after(afterPos: number, limit: number): readonly LogRecord[] | null {
    if (afterPos >= this.#lastPos) return [];
    const first = this.#records[0];
    if (!first || first.pos > afterPos + 1) return null;
    let low = 0;
    let high = this.#records.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#records[middle]?.pos ?? 0) <= afterPos) low = middle + 1;
      else high = middle;
    }
    return this.#records.slice(low, low + limit);
  }
}
