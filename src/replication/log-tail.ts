import type { LogRecord } from "../storage/store.ts";

/** The newest log records in memory, so that pushing what was just written reads no disk. Bounded in bytes: a peer that
 *  is further behind is served from the store. */
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
    let drop = 0;
    while (this.#bytes > this.#maxBytes && drop < this.#records.length)
      this.#bytes -= this.#records[drop++]?.body.length ?? 0;
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
