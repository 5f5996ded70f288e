import { InputError } from "../kernel/assert.ts";
import { closeAll } from "./closing.ts";
import type { Connection } from "./sqlite-connection.ts";
import { readRows } from "./sqlite-reads.ts";
import type { RowKey, RowRead } from "./store.ts";
import { storeClosed } from "./store-errors.ts";

// Reads that wait for a connection. More: a stall of the disk holds more memory and clients wait longer for an answer that
// may come too late; fewer: a short stall refuses reads.
const WAITING_READS_MAX = 10_000;
// Keys per statement. More: a large answer in memory at once; fewer: less gain from reading together.
const TOGETHER_KEYS_MAX = 256;

interface RowRequest {
  readonly keys: readonly RowKey[];
  readonly resolve: (rows: (RowRead | undefined)[]) => void;
  readonly reject: (error: unknown) => void;
}

/** A few read-only connections, handed to jobs in the order of asking. Single rows that are asked for while all are busy
 *  are read together by one statement: that, not the number of connections, is what makes many small reads fast. */
export class Readers {
  readonly #idle: Connection[];
  readonly #all: readonly Connection[];
  readonly #waiting: { start: (connection: Connection) => void; cancel: (error: unknown) => void }[] = [];
  #rowRequests: RowRequest[] = [];
  #closed = false;

  constructor(connections: readonly Connection[]) {
    this.#all = connections;
    this.#idle = [...connections];
  }

  async run<T>(job: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#connection();
    try {
      return await job(connection);
    } finally {
      this.#release(connection);
    }
  }

  readRows(keys: readonly RowKey[]): Promise<(RowRead | undefined)[]> {
    return new Promise((resolve, reject) => {
      if (this.#rowRequests.length >= WAITING_READS_MAX) throw tooManyReads();
      this.#rowRequests.push({ keys, resolve, reject });
      // The first to come asks for a connection for itself and all who come until it has one.
      if (this.#rowRequests.length > 1) return;
      this.run((connection) => this.#readTogether(connection)).catch((error: unknown) => {
        // No connection to be had: nobody took the requests.
        for (const request of this.#rowRequests.splice(0)) request.reject(error);
      });
    });
  }

  /** Ends reads that wait with an error, lets those that run finish, then closes the connections. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { cancel } of this.#waiting.splice(0)) cancel(storeClosed());
    while (this.#idle.length < this.#all.length) {
      const connection = await new Promise<Connection>((resolve, reject) => {
        this.#waiting.push({ start: resolve, cancel: reject });
      });
      this.#idle.push(connection);
    }
    await closeAll(this.#all.map((connection) => () => connection.close()));
  }

  #connection(): Promise<Connection> {
    return new Promise((resolve, reject) => {
      if (this.#closed) throw storeClosed();
      const connection = this.#idle.pop();
      if (connection) resolve(connection);
      else if (this.#waiting.length >= WAITING_READS_MAX) throw tooManyReads();
      else this.#waiting.push({ start: resolve, cancel: reject });
    });
  }

  #release(connection: Connection): void {
    const next = this.#waiting.shift();
    if (next) next.start(connection);
    else this.#idle.push(connection);
  }

  async #readTogether(connection: Connection): Promise<void> {
    while (this.#rowRequests.length > 0) {
      const requests = this.#takeRequests();
      try {
        const rows = await readRows(
          connection,
          requests.flatMap((request) => request.keys),
        );
        let at = 0;
        for (const { keys, resolve } of requests) {
          resolve(rows.slice(at, at + keys.length));
          at += keys.length;
        }
      } catch (error) {
        for (const { reject } of requests) reject(error);
      }
    }
  }

  #takeRequests(): RowRequest[] {
    let keys = 0;
    let count = 0;
    for (const request of this.#rowRequests) {
      if (count > 0 && keys + request.keys.length > TOGETHER_KEYS_MAX) break;
      keys += request.keys.length;
      count += 1;
    }
    return this.#rowRequests.splice(0, count);
  }
}

function tooManyReads(): InputError {
  return new InputError("store-busy", `${WAITING_READS_MAX} reads are waiting for the disk: try again in a moment`);
}
