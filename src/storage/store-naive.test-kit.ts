import type { ActorId } from "../kernel/ids.ts";
import type { Commit, JournalRecord, LogRecord, RowKey, StoredRow, StoreState } from "./store.ts";

export const BUCKETS = ["a", "a.b", "$s"];
export const KEYS = ["a", "a\0", "aa", "é", "\uffff", "\u{10000}", "z", "z\u{10ffff}", "constructor"];

/** What to ask two stores that should agree. */
export interface Question {
  readonly bucket: string;
  readonly prefix: string;
  readonly after?: string | undefined;
  readonly limit: number;
  readonly maxBytes: number;
  readonly slots: readonly [number, number];
  readonly partition: number;
  readonly actor: ActorId;
  readonly seq: number;
}

/** The Store interface in its slowest and plainest form: lists that are searched from the start. */
export class NaiveStore {
  rows: StoredRow[] = [];
  log: LogRecord[] = [];
  journal: JournalRecord[] = [];
  deletions: Commit["deletions"][number][] = [];
  lastPos = 0;
  lastJournalSeq = 0;
  readonly #lists = { vectors: [], floors: [], acks: [], sums: [], damaged: [], settings: [] } as unknown as {
    -readonly [K in "vectors" | "floors" | "acks" | "sums" | "damaged" | "settings"]: Commit[K][number][];
  };
  readonly #everyRecord: LogRecord[] = [];

  commit(commit: Commit): void {
    for (const { body, ...row } of commit.rows) {
      this.rows = this.rows.filter((other) => !sameKey(row, other));
      if (body) this.rows.push({ ...row, body });
    }
    this.rows.sort(byKey);
    this.#everyRecord.push(...commit.log);
    this.log = [...this.log, ...commit.log].filter(({ pos }) => !commit.cutLog.includes(pos));
    this.lastPos = commit.log.at(-1)?.pos ?? this.lastPos;
    this.journal.push(...commit.journal);
    this.lastJournalSeq = commit.journal.at(-1)?.seq ?? this.lastJournalSeq;
    for (const deletion of commit.deletions)
      this.deletions = [...this.deletions.filter((other) => !sameKey(deletion, other)), deletion];
    const lists = this.#lists;
    lists.vectors.push(...commit.vectors);
    lists.floors.push(...commit.floors);
    lists.acks.push(...commit.acks);
    lists.sums.push(...commit.sums);
    lists.damaged.push(...commit.damaged);
    lists.settings.push(...commit.settings);
    const { deletions = -1, journal = -1 } = commit.forgetBeforeMs ?? {};
    this.deletions = this.deletions.filter(({ atMs, body }) => body !== null && atMs >= deletions);
    this.journal = this.journal.filter(({ atMs }) => atMs >= journal);
  }

  /** The last seq ever logged for an actor, cut or not. */
  lastSeqOf(partition: number, actor: ActorId): number {
    const last = this.#everyRecord.findLast((record) => record.partition === partition && record.actor === actor);
    return last?.last ?? 0;
  }

  answers(asked: Question) {
    const { bucket, prefix, after, limit, maxBytes, slots, partition, actor, seq } = asked;
    const everyKey = BUCKETS.flatMap((each) => KEYS.map((key) => ({ bucket: each, key })));
    const inSlots = this.rows.filter(({ slot }) => slot >= slots[0] && slot < slots[1]).sort((a, b) => a.slot - b.slot);
    const isPast = (row: RowKey) => after === undefined || byKey(row, { bucket, key: after }) > 0;
    const conflicts = this.rows.filter((row) => row.conflict && isPast(row));
    const ofBucket = this.rows.filter((row) => row.bucket === bucket);
    const ofActor = this.log.filter((r) => r.partition === partition && r.actor === actor && r.last >= seq);
    const journal = [...this.journal].reverse();
    return {
      rows: everyKey.map((key) => this.rows.find((row) => sameKey(row, key))),
      keys: within(
        ofBucket.filter((row) => isPast(row) && row.key.startsWith(prefix)),
        limit,
        maxBytes,
      ),
      slots: inSlots,
      copied: inSlots,
      buckets: [...BUCKETS]
        .sort()
        .map((each) => ({ bucket: each, rows: this.rows.filter((row) => row.bucket === each).length }))
        .filter(({ rows }) => rows > 0),
      conflicts: conflicts.slice(0, limit),
      conflictsOfBucket: conflicts.filter((row) => row.bucket === bucket).slice(0, limit),
      countConflicts: this.rows.filter(({ conflict }) => conflict).length,
      log: within(
        this.log.filter(({ pos }) => pos > seq),
        limit,
        maxBytes,
      ),
      logOf: within(ofActor, limit, maxBytes),
      logSize: {
        records: this.log.length,
        bytes: this.log.reduce((sum, { body }) => sum + body.length, 0),
        oldestAtMs: this.log[0]?.atMs ?? null,
      },
      deletions: everyKey.map((key) => this.deletions.find((deletion) => sameKey(deletion, key))?.body ?? undefined),
      journal: journal.filter((record) => record.seq < seq).slice(0, limit),
      journalOfKey: journal.filter((record) => sameKey(record, { bucket, key: after ?? "a" })).slice(0, limit),
      state: this.#state(),
    };
  }

  #state() {
    const { vectors, floors, acks, sums, damaged, settings } = this.#lists;
    const isVector = <T extends { readonly vector: Uint8Array | null }>(item: T): item is T & { vector: Uint8Array } =>
      item.vector !== null;
    return sortedState({
      settings: new Map(settings.map(({ name, value }) => [name, value])),
      vectors: lastOf(vectors, ({ partition, actor }) => `${partition} ${actor}`),
      floors: lastOf(floors, ({ partition, actor }) => `${partition} ${actor}`),
      acks: lastOf(acks, ({ partition, peer }) => `${partition} ${peer}`).filter(isVector),
      sums: lastOf(sums, ({ partition }) => `${partition}`),
      lostSums: [],
      damaged: lastOf(damaged, ({ partition, leaf }) => `${partition} ${leaf}`).filter(isVector),
      awaiting: this.log.filter(({ awaits }) => awaits),
      lastPos: this.lastPos,
      lastJournalSeq: this.lastJournalSeq,
    });
  }
}

function lastOf<T>(items: readonly T[], nameOf: (item: T) => string): T[] {
  return items.filter((item, i) => !items.slice(i + 1).some((later) => nameOf(later) === nameOf(item)));
}

function sameKey(a: RowKey, b: RowKey): boolean {
  return a.bucket === b.bucket && a.key === b.key;
}

function byKey(a: RowKey, b: RowKey): number {
  return (
    Buffer.compare(Buffer.from(a.bucket), Buffer.from(b.bucket)) ||
    Buffer.compare(Buffer.from(a.key), Buffer.from(b.key))
  );
}

function within<T extends { readonly body: Uint8Array; readonly key?: string }>(
  items: T[],
  limit: number,
  maxBytes: number,
): T[] {
  let bytes = 0;
  const end = items.findIndex(({ key, body }, i) => {
    bytes += Buffer.byteLength(key ?? "") + body.length;
    return i === limit || (i > 0 && bytes > maxBytes);
  });
  return end < 0 ? items : items.slice(0, end);
}

/** `load` promises no order. */
export function sortedState(state: StoreState) {
  const sorted = <T>(items: readonly T[]) => [...items].map((item) => JSON.stringify(item)).sort();
  return {
    settings: sorted([...state.settings]),
    vectors: sorted(state.vectors),
    floors: sorted(state.floors),
    acks: sorted(state.acks.map((ack) => ({ ...ack, vector: [...ack.vector] }))),
    sums: sorted(state.sums.map((sums) => ({ ...sums, body: [...sums.body] }))),
    lostSums: state.lostSums,
    damaged: sorted(state.damaged.map((leaf) => ({ ...leaf, vector: [...leaf.vector] }))),
    awaiting: state.awaiting,
    lastPos: state.lastPos,
    lastJournalSeq: state.lastJournalSeq,
  };
}
