import sqlite3 from "sqlite3";
import { assert, InternalError, present } from "../kernel/assert.ts";

/** What may be bound. Not bigint: node-sqlite3 binds one as NULL without an error. */
export type SqlValue = string | number | Uint8Array | null;

export type OpenMode = "read" | "write" | "create";

const FLAGS: Record<OpenMode, number> = {
  read: sqlite3.OPEN_READONLY,
  write: sqlite3.OPEN_READWRITE,
  create: sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE,
};

/** One SQLite connection. Statements are prepared once and run one at a time: node-sqlite3 hands each call to a thread of
 *  its own, so calls that are not awaited one by one run in any order (seen: a third of them). */
export class Connection {
  readonly #database: sqlite3.Database;
  readonly #statements = new Map<string, sqlite3.Statement>();
  #running: string | undefined;

  private constructor(database: sqlite3.Database) {
    this.#database = database;
  }

  /** Rejects with SQLite's error: see `sqliteCode`. */
  static open(file: string, mode: OpenMode): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const database = new sqlite3.Database(file, FLAGS[mode], (error) => {
        if (error) reject(error);
        else resolve(new Connection(database));
      });
    });
  }

  /** Runs to the end and gives all rows. (Not `get`: it stops at the first row and leaves its read transaction open.) */
  async all<Row>(sql: string, ...values: SqlValue[]): Promise<Row[]> {
    return this.#alone(sql, async () => {
      const statement = await this.#prepared(sql);
      return new Promise<Row[]>((resolve, reject) => {
        statement.all<Row>(values, (error, rows) => (error ? reject(error) : resolve(rows)));
      });
    });
  }

  /** The one row that this must give. */
  async one<Row>(sql: string, ...values: SqlValue[]): Promise<Row> {
    return present((await this.all<Row>(sql, ...values))[0], `no row from ${sql}`);
  }

  /** Runs a statement that gives no rows; resolves to the number of rows it inserted, updated or deleted. */
  async run(sql: string, ...values: SqlValue[]): Promise<number> {
    return this.#alone(sql, async () => {
      const statement = await this.#prepared(sql);
      return new Promise<number>((resolve, reject) => {
        statement.run(values, function (error) {
          if (error) reject(error);
          else resolve(this.changes);
        });
      });
    });
  }

  /** Several statements without values, not kept prepared. */
  async exec(sql: string): Promise<void> {
    return this.#alone(sql, () => {
      return new Promise<void>((resolve, reject) => {
        this.#database.exec(sql, (error) => (error ? reject(error) : resolve()));
      });
    });
  }

  async close(): Promise<void> {
    return this.#alone("close", async () => {
      // An open statement would keep the file (and its locks) open.
      for (const statement of this.#statements.values())
        await new Promise<void>((resolve) => statement.finalize(() => resolve()));
      this.#statements.clear();
      await new Promise<void>((resolve, reject) => {
        this.#database.close((error) => (error ? reject(error) : resolve()));
      });
    });
  }

  async #alone<T>(sql: string, job: () => Promise<T>): Promise<T> {
    assert(this.#running === undefined, () => `"${sql}" began while "${this.#running}" was running on its connection`);
    this.#running = sql;
    try {
      return await job();
    } finally {
      this.#running = undefined;
    }
  }

  async #prepared(sql: string): Promise<sqlite3.Statement> {
    const known = this.#statements.get(sql);
    if (known) return known;
    const statement = await new Promise<sqlite3.Statement>((resolve, reject) => {
      const made: sqlite3.Statement = this.#database.prepare(sql, (error: Error | null) => {
        if (error) reject(new InternalError(`cannot prepare "${sql}": ${error.message}`, { cause: error }));
        else resolve(made);
      });
    });
    this.#statements.set(sql, statement);
    return statement;
  }
}

/** SQLite's name for an error ("SQLITE_BUSY"), if it is one. */
export function sqliteCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("code" in error && typeof error.code === "string" && error.code.startsWith("SQLITE_")) return error.code;
  return sqliteCode(error.cause);
}
