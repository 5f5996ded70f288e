import type { Connection } from "./sqlite-connection.ts";

// More rows or bytes per statement save no time; a statement holds its last values until it runs again.
const CHUNK_ROWS = 4096;
const CHUNK_BYTES = 8 << 20;

interface Chunk {
  readonly rows: (readonly (number | string)[])[];
  readonly parts: Uint8Array[];
  /** Where the next bytes begin; `substr` counts from 1. */
  nextOffset: number;
}

/** Rows for one statement: numbers and names as a JSON array for `json_each(?1)`, bytes in one blob that the statement
 *  cuts with `substr(?2, offset, length)`. Measured at 5 µs a row, where a call per row costs 40 (architecture.md). A row
 *  is `[offset of its bytes, ...fields]`, with the lengths of its parts among the fields. */
export class Batch {
  readonly #chunks: Chunk[] = [];

  add(parts: readonly Uint8Array[], ...fields: (number | string)[]): void {
    let chunk = this.#chunks.at(-1);
    if (!chunk || chunk.rows.length >= CHUNK_ROWS || chunk.nextOffset > CHUNK_BYTES) {
      chunk = { rows: [], parts: [], nextOffset: 1 };
      this.#chunks.push(chunk);
    }
    chunk.rows.push([chunk.nextOffset, ...fields]);
    for (const part of parts) {
      chunk.parts.push(part);
      chunk.nextOffset += part.length;
    }
  }

  /** Calls with ?1, ?2 and the number of rows of each chunk, one after another. */
  async each(call: (json: string, bytes: Uint8Array, rows: number) => Promise<void>): Promise<void> {
    for (const chunk of this.#chunks)
      await call(JSON.stringify(chunk.rows), Buffer.concat(chunk.parts), chunk.rows.length);
  }

  /** ?1 and ?2 of its only chunk; null when it has several. No rows are a chunk of none. */
  get single(): readonly [json: string, bytes: Uint8Array] | null {
    const [chunk, another] = this.#chunks;
    if (another) return null;
    return chunk ? [JSON.stringify(chunk.rows), Buffer.concat(chunk.parts)] : ["[]", Buffer.alloc(0)];
  }

  async run(connection: Connection, sql: string): Promise<void> {
    await this.each(async (json, bytes) => {
      await connection.run(sql, json, bytes);
    });
  }
}
