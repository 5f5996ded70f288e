import { type Connection, sqliteCode } from "./sqlite-connection.ts";
import type { Commit } from "./store.ts";

/** Pages at which the writer itself checkpoints after a commit (64 MiB). This bounds the WAL: a checkpoint beside a
 *  running writer never catches up quite, and the WAL can only start over when one has (seen: 1.4 GB). Larger: longer
 *  recovery and colder pages; smaller: commits pay for checkpoints more often. */
const BACKSTOP_PAGES = 16_384;
const BACKSTOP_PAGES_MIN = 256;
/** What the WAL may take of a small disk. */
const DISK_SHARE_MAX = 1 / 8;
// Pages written since the last checkpoint at which the next one runs beside the writer. Larger: long stalls when its
// fsync comes (p99 of commits 50 ms at 16,000); smaller: pages are copied again and again (p99 32 ms, 5 % slower at 2,000).
const CHECKPOINT_PAGES = 8192;
export const PAGE_BYTES = 4096;
// Free pages are reused; a file that is a quarter holes gives some back with each commit, a MiB at a time to keep commits short.
const FREE_PAGES_MIN = 2048;
const FREE_SHARE_MIN = 0.25;
const VACUUM_PAGES = 256;

/** The bound of the WAL on a disk of this size. */
export function backstopPages(diskBytes: number): number {
  const share = Math.floor((DISK_SHARE_MAX * diskBytes) / PAGE_BYTES);
  return Math.max(BACKSTOP_PAGES_MIN, Math.min(BACKSTOP_PAGES, share));
}

/** Copies the WAL into the database beside the running writer, on a connection of its own. */
export class Checkpoints {
  readonly #connection: Connection;
  readonly #everyPages: number;
  readonly #onFailure: (error: unknown) => void;
  #pagesSince = 0;
  #running: Promise<void> | undefined;
  /** Free pages that the next commit should give back. */
  vacuumPages = 0;

  constructor(connection: Connection, backstop: number, onFailure: (error: unknown) => void) {
    this.#connection = connection;
    // Before the writer has to.
    this.#everyPages = Math.min(CHECKPOINT_PAGES, backstop / 2);
    this.#onFailure = onFailure;
  }

  /** Tells of a commit that is durable. */
  noteCommit(commit: Commit): void {
    this.#pagesSince += dirtiedPages(commit);
    if (this.#pagesSince < this.#everyPages || this.#running) return;
    this.#pagesSince = 0;
    this.#running = this.#checkpoint().finally(() => {
      this.#running = undefined;
    });
  }

  async close(): Promise<void> {
    await this.#running;
    await this.#connection.close();
  }

  async #checkpoint(): Promise<void> {
    try {
      await this.#connection.all("PRAGMA wal_checkpoint(PASSIVE)");
      const { freelist_count: free } = await this.#connection.one<{ freelist_count: number }>("PRAGMA freelist_count");
      const { page_count: pages } = await this.#connection.one<{ page_count: number }>("PRAGMA page_count");
      this.vacuumPages = free >= FREE_PAGES_MIN && free >= FREE_SHARE_MIN * pages ? VACUUM_PAGES : 0;
    } catch (error) {
      // A full disk or a busy file leaves everything in the WAL, to be tried again. Any other failure may have lost pages
      // that the kernel now holds for clean (a failed fsync): nothing may be written after it.
      const code = sqliteCode(error);
      if (code !== "SQLITE_FULL" && code !== "SQLITE_BUSY") this.#onFailure(error);
    }
  }
}

/** About as many pages as a commit dirties: a random one for each index and body, and the bytes. */
function dirtiedPages(commit: Commit): number {
  let bytes = 0;
  for (const { body } of commit.rows) bytes += body?.length ?? 0;
  for (const { body } of commit.log) bytes += body.length;
  const randomPages = 2 * commit.rows.length + commit.vectors.length / 8 + commit.deletions.length;
  return 8 + randomPages + Math.ceil(bytes / PAGE_BYTES);
}
