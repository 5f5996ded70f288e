import type { Connection } from "./sqlite-connection.ts";

// More rows or bytes per statement save no time; a statement holds its last values until it runs again.
const CHUNK_ROWS = 4096;
const CHUNK_BYTES = 8 << 20;

/** Small ones, like those of counters, need no more, and Node cuts this from a pool. */
const FIRST_BYTES = 2048;

interface Chunk {
  readonly rows: (readonly (number | string)[])[];
  bytes: Buffer;
  length: number;
}

/** Rows for one statement: numbers and names as a JSON array for `jsonb_each(?1)`, bytes in one blob that the statement
 *  cuts with `substr(?2, offset, length)`. Measured at 5 µs a row, where a call per row costs 40 (architecture.md). A row
 *  is `[offset of its bytes, ...fields]`, with the lengths of its parts among the fields. */
export class Batch {
  readonly #chunks: Chunk[] = [];

  /** Copies the parts. A number among them is a checksum: four bytes, little-endian. */
  add(parts: readonly (Uint8Array | number)[], ...fields: (number | string)[]): void {
    let chunk = this.#chunks.at(-1);
    if (!chunk || chunk.rows.length >= CHUNK_ROWS || chunk.length >= CHUNK_BYTES) {
      chunk = { rows: [], bytes: Buffer.allocUnsafe(FIRST_BYTES), length: 0 };
      this.#chunks.push(chunk);
    }
    chunk.rows.push([chunk.length + 1, ...fields]); // `substr` counts from 1
    for (const part of parts) append(chunk, part);
  }

  /** Calls with ?1, ?2 and the number of rows of each chunk, one after another. */
  async each(call: (json: string, bytes: Uint8Array, rows: number) => Promise<void>): Promise<void> {
    for (const chunk of this.#chunks) await call(...valuesOf(chunk), chunk.rows.length);
  }

  /** ?1 and ?2 of its only chunk; null when it has several. No rows are a chunk of none. */
  get single(): readonly [json: string, bytes: Uint8Array] | null {
    const [chunk, another] = this.#chunks;
    if (another) return null;
    return chunk ? valuesOf(chunk) : ["[]", Buffer.alloc(0)];
  }

  async run(connection: Connection, sql: string): Promise<void> {
    await this.each(async (json, bytes) => {
      await connection.run(sql, json, bytes);
    });
  }
}

function valuesOf({ rows, bytes, length }: Chunk): [json: string, bytes: Uint8Array] {
  return [JSON.stringify(rows), bytes.subarray(0, length)];
}

function append(chunk: Chunk, part: Uint8Array | number): void {
  const end = chunk.length + (typeof part === "number" ? 4 : part.length);
  if (end > chunk.bytes.length) {
    const grown = Buffer.allocUnsafe(Math.max(2 * chunk.bytes.length, end));
    grown.set(chunk.bytes.subarray(0, chunk.length));
    chunk.bytes = grown;
  }
  if (typeof part === "number") chunk.bytes.writeUInt32LE(part, chunk.length);
  else chunk.bytes.set(part, chunk.length);
  chunk.length = end;
}
