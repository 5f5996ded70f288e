import { assert, present } from "../../kernel/assert.ts";
import type { GroupChange } from "./configuration.ts";
import type { Id } from "./quorum.ts";

export type Payload =
  | { readonly kind: "command"; readonly data: Uint8Array }
  | { readonly kind: "change"; readonly change: GroupChange; readonly data: Uint8Array }
  /** A new leader's first: with it the entries of earlier terms are committed. */
  | { readonly kind: "nothing" };

export interface Entry {
  readonly term: number;
  readonly index: number;
  readonly payload: Payload;
}

/** The group as it was after `index`: a joint one with both halves. */
export interface SavedGroup {
  readonly incoming: readonly Id[];
  readonly outgoing: readonly Id[];
  readonly learners: readonly Id[];
  readonly learnersNext: readonly Id[];
  readonly autoLeave: boolean;
}

/** The state after `index`, in place of all entries up to there. */
export interface Snapshot {
  readonly index: number;
  readonly term: number;
  readonly group: SavedGroup;
  readonly data: Uint8Array;
}

/** What an entry takes besides its data: about what it does on disk and on the wire. */
const ENTRY_BYTES = 32;

export function sizeOf({ payload }: Entry): number {
  if (payload.kind === "nothing") return ENTRY_BYTES;
  const changes = payload.kind === "change" ? payload.change.changes.length * ENTRY_BYTES : 0;
  return ENTRY_BYTES + changes + payload.data.length;
}

/** Entries from the start of `entries` that fit `maxBytes`; always one, if there is any. */
export function fitting(entries: readonly Entry[], maxBytes: number): readonly Entry[] {
  let bytes = 0;
  const end = entries.findIndex((entry, i) => {
    bytes += sizeOf(entry);
    return i > 0 && bytes > maxBytes;
  });
  return end < 0 ? entries : entries.slice(0, end);
}

/** Our log ends before what the leader knows that it had: an older copy of it was put back. It must not be used any more, for
 *  it may have forgotten votes and entries that others counted; the program itself is in no impossible state. */
export class LostLogError extends Error {
  override name = "LostLogError";
}

/** A group's log in memory, from its snapshot on: it is small, for it holds configuration, and is compacted. `stable` is
 *  what the disk has, `committed` what a quorum has, `applied` what the state machine has seen. */
export class Log {
  #snapshot: Snapshot | null;
  #entries: Entry[];
  #stable: number;
  #isSnapshotStable = true;
  committed: number;
  applied: number;

  constructor(snapshot: Snapshot | null, entries: readonly Entry[], committed: number, applied: number) {
    // At index 0 nobody would be sent it, and who comes later would never know the first group.
    assert(snapshot === null || snapshot.index > 0, "a snapshot is of something: its index is 1 at least");
    this.#snapshot = snapshot;
    this.#entries = [...entries];
    this.#stable = this.lastIndex;
    this.committed = Math.max(committed, snapshot?.index ?? 0);
    this.applied = Math.max(applied, snapshot?.index ?? 0);
    for (const [i, { index }] of entries.entries())
      assert(index === this.snapshotIndex + 1 + i, "a log on disk has no gaps");
    // A log that lost its end must not vote or lead as if it were whole.
    assert(this.committed <= this.lastIndex, "the log ends before what was committed: its end was lost");
    assert(this.applied <= this.committed, "nothing is applied before it is committed");
  }

  get snapshot(): Snapshot | null {
    return this.#snapshot;
  }

  get snapshotIndex(): number {
    return this.#snapshot?.index ?? 0;
  }

  get firstIndex(): number {
    return this.snapshotIndex + 1;
  }

  get lastIndex(): number {
    return this.snapshotIndex + this.#entries.length;
  }

  get lastTerm(): number {
    return present(this.termAt(this.lastIndex), "a log knows its last entry's term");
  }

  get stable(): number {
    return this.#stable;
  }

  /** Undefined where the log doesn't reach (any more). */
  termAt(index: number): number | undefined {
    if (index === this.snapshotIndex) return this.#snapshot?.term ?? 0;
    return this.#entries[index - this.firstIndex]?.term;
  }

  matches(index: number, term: number): boolean {
    return this.termAt(index) === term;
  }

  /** Would a candidate with such a log miss nothing that ours has? (Ongaro 2014, §3.6.1) */
  isUpToDate(lastIndex: number, lastTerm: number): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);
  }

  /** Entries from `from` (which the log must reach), up to and without `to`. */
  slice(from: number, to: number = this.lastIndex + 1): readonly Entry[] {
    assert(from >= this.firstIndex, "what was compacted can't be read");
    return this.#entries.slice(from - this.firstIndex, to - this.firstIndex);
  }

  /** A leader's own. */
  append(entries: readonly Entry[]): void {
    for (const entry of entries) {
      assert(entry.index === this.lastIndex + 1, "a log grows without gaps");
      this.#entries.push(entry);
    }
  }

  /** A leader's, at a follower: what contradicts it goes, and with it all that follows. Returns false, and has changed
   *  nothing, when the entry before isn't there. */
  accept(prevIndex: number, prevTerm: number, entries: readonly Entry[]): boolean {
    if (!this.matches(prevIndex, prevTerm)) return false;
    const at = entries.findIndex(({ index, term }) => !this.matches(index, term));
    if (at >= 0) this.#replaceFrom(entries.slice(at));
    return true;
  }

  #replaceFrom(entries: readonly Entry[]): void {
    const first = present(entries[0], "there is a first one that differs").index;
    assert(first > this.committed, "what is committed never changes");
    this.#entries.length = first - this.firstIndex;
    this.#stable = Math.min(this.#stable, first - 1);
    this.#entries.push(...entries);
  }

  /** Where at the latest a log may part from ours that has `term` at `index`: the last entry up to there whose term isn't
   *  above it (Ongaro 2014, §5.3: a leader goes back a term at a time instead of an entry). */
  conflictHint(index: number, term: number): { readonly index: number; readonly term: number } {
    for (let at = index; ; at--) {
      const mine = this.termAt(at);
      if (mine === undefined) return { index: at, term: 0 };
      if (mine <= term) return { index: at, term: mine };
    }
  }

  get committedAt(): { readonly index: number; readonly term: number } {
    const { committed: index } = this;
    return { index, term: present(this.termAt(index), "a log reaches what is committed") };
  }

  /** Somebody else's knowledge; it may be of an entry that isn't here. */
  learnCommitted({ index, term }: { readonly index: number; readonly term: number }): void {
    if (index > this.committed && this.matches(index, term)) this.commitTo(index);
  }

  commitTo(index: number): void {
    if (index <= this.committed) return;
    assert(index <= this.lastIndex, "only what is there is committed");
    this.committed = index;
  }

  // ---- what the disk has

  unstableEntries(): readonly Entry[] {
    return this.#entries.slice(this.#stable + 1 - this.firstIndex);
  }

  unstableSnapshot(): Snapshot | null {
    return this.#isSnapshotStable ? null : this.#snapshot;
  }

  /** The disk has it. Another leader may have replaced it meanwhile: then it is news still. */
  stabilised(index: number, term: number): void {
    if (this.matches(index, term) && index > this.#stable) this.#stable = index;
  }

  snapshotStabilised(index: number): void {
    if (this.snapshotIndex === index) this.#isSnapshotStable = true;
  }

  // ---- what is applied

  /** Committed, on our own disk, and not yet applied. */
  applicable(maxBytes: number): readonly Entry[] {
    if (!this.#isSnapshotStable) return [];
    const end = Math.min(this.committed, this.#stable);
    return end <= this.applied ? [] : fitting(this.slice(this.applied + 1, end + 1), maxBytes);
  }

  /** Puts the state after `index` (applied already) in place of the entries up to there. */
  compact(index: number, group: SavedGroup, data: Uint8Array): Snapshot {
    assert(index <= this.applied, "only what is applied can be compacted");
    assert(index >= this.snapshotIndex, "a snapshot isn't older than the one before");
    const term = present(this.termAt(index), "the log reaches what is applied");
    this.#entries = this.#entries.slice(index - this.snapshotIndex);
    this.#snapshot = { index, term, group, data };
    return this.#snapshot;
  }

  /** A leader's snapshot in place of everything. */
  restore(snapshot: Snapshot): void {
    this.#snapshot = snapshot;
    this.#entries = [];
    this.#stable = snapshot.index;
    this.#isSnapshotStable = false;
    this.committed = snapshot.index;
    this.applied = snapshot.index;
  }
}
