import { assert } from "../kernel/assert.ts";
import type { ActorId } from "../kernel/ids.ts";
import { LazySorted } from "./lazy-sorted.ts";
import type { MemoryLogRecord } from "./memory-image.ts";
import type { LogRecord } from "./store.ts";
import { damagedLogRecord } from "./store-errors.ts";

/** The log of a memory store: by position, and by partition and actor. */
export class MemoryLog {
  readonly #byPos = new Map<number, MemoryLogRecord>();
  readonly #ordered = new LazySorted<MemoryLogRecord>((a, b) => a.pos - b.pos);
  readonly #ofActor = new Map<string, LazySorted<MemoryLogRecord>>();
  readonly #names = new Set<string>();
  readonly #awaiting = new Set<MemoryLogRecord>();
  #bytes = 0;

  /** Throws InternalError when one of them begins where another record of its actor does. */
  checkNew(records: readonly LogRecord[]): void {
    const names = new Set<string>();
    for (const record of records) {
      const name = nameOf(record);
      assert(!this.#names.has(name) && !names.has(name), `log record ${record.pos} repeats "${name}"`);
      names.add(name);
    }
  }

  add(record: MemoryLogRecord): void {
    const actorName = `${record.partition} ${record.actor}`;
    this.#names.add(nameOf(record));
    this.#byPos.set(record.pos, record);
    this.#ordered.add(record);
    let ofActor = this.#ofActor.get(actorName);
    if (!ofActor) {
      ofActor = new LazySorted<MemoryLogRecord>((a, b) => a.first - b.first);
      this.#ofActor.set(actorName, ofActor);
    }
    ofActor.add(record);
    if (record.awaits) this.#awaiting.add(record);
    this.#bytes += record.body.length;
  }

  cut(positions: readonly number[]): void {
    for (const pos of positions) {
      const record = this.#byPos.get(pos);
      if (!record) continue;
      const actorName = `${record.partition} ${record.actor}`;
      this.#byPos.delete(pos);
      this.#names.delete(nameOf(record));
      this.#ordered.remove(record);
      this.#ofActor.get(actorName)?.remove(record);
      this.#awaiting.delete(record);
      this.#bytes -= record.body.length;
    }
  }

  list(): readonly MemoryLogRecord[] {
    return this.#ordered.list();
  }

  awaiting(): LogRecord[] {
    return [...this.#awaiting].sort((a, b) => a.pos - b.pos).map(soundRecord);
  }

  readFrom(afterPos: number, limit: number, maxBytes: number): LogRecord[] {
    const start = this.#ordered.firstIndex(({ pos }) => pos > afterPos);
    return within(this.#ordered.list(), start, limit, maxBytes);
  }

  readOf(partition: number, actor: ActorId, fromSeq: number, limit: number, maxBytes: number): LogRecord[] {
    const records = this.#ofActor.get(`${partition} ${actor}`);
    if (!records) return [];
    const start = records.firstIndex(({ last }) => last >= fromSeq);
    return within(records.list(), start, limit, maxBytes);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Throws DamagedError when the oldest record is damaged. */
  size(): { records: number; bytes: number; oldestAtMs: number | null } {
    const oldest = this.#byPos.size === 0 ? undefined : this.#ordered.list()[0];
    return { records: this.#byPos.size, bytes: this.#bytes, oldestAtMs: oldest ? soundRecord(oldest).atMs : null };
  }
}

function nameOf({ partition, actor, first }: LogRecord): string {
  return `${partition} ${actor} ${first}`;
}

function within(records: readonly MemoryLogRecord[], start: number, limit: number, maxBytes: number): LogRecord[] {
  const found: LogRecord[] = [];
  let bytes = 0;
  for (let at = start; at < records.length && found.length < limit; at++) {
    const record = records[at] as MemoryLogRecord;
    bytes += record.body.length;
    if (found.length > 0 && bytes > maxBytes) break;
    found.push(soundRecord(record));
  }
  return found;
}

/** The record as its writer gave it. Throws DamagedError. */
function soundRecord({ isSound, ...record }: MemoryLogRecord): LogRecord {
  if (!isSound) throw damagedLogRecord(record.pos);
  return record;
}
