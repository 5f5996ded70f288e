import type { DotKey, Op } from "../../../crdt/index.ts";
import type { PartitionSeen } from "../../../src/replication/api.ts";
import type { RowKey } from "../../../src/storage/store.ts";

/** A promise that was not kept. */
export interface Violation {
  /** Which promise: a short stable name. */
  readonly invariant: string;
  readonly text: string;
}

/** Violations of one run, the first of them; more are only counted. */
export class Violations {
  readonly list: Violation[] = [];
  count = 0;
  onAdd: (violation: Violation) => void = () => {};

  add(invariant: string, text: string): void {
    this.count += 1;
    if (this.list.length >= 20) return;
    this.list.push({ invariant, text });
    this.onAdd({ invariant, text });
  }
}

export type KeyId = string;

export function keyId({ bucket, key }: RowKey): KeyId {
  return `${bucket}/${key}`;
}

/** What one answer said of a key: its live dots and what a session has seen with it. */
export interface Seen {
  readonly node: string;
  readonly key: RowKey;
  readonly sentMs: number;
  readonly doneMs: number;
  /** From `Starling-Context`; null when it was left out as too large. */
  readonly dots: ReadonlySet<DotKey> | null;
  /** From `Starling-Session`; null likewise. */
  readonly session: readonly PartitionSeen[] | null;
}

/** One attempt to write, as it went over the wire. A retry is another attempt. */
export interface WriteAttempt {
  /** Travels as `Starling-Reason`, and so names the attempt in every log. */
  readonly tag: string;
  readonly client: string;
  readonly node: string;
  readonly key: RowKey;
  readonly ops: readonly Op[];
  /** Where its context came from; null for a blind write. */
  readonly context: Seen | null;
  /** The session token that it carried. */
  readonly session: readonly PartitionSeen[] | null;
  readonly sentMs: number;
  /** "unknown": no answer, or one that says that it may have happened. */
  outcome: "pending" | "acknowledged" | "refused" | "unknown";
  /** Of an acknowledged write. */
  reply: Seen | null;
  /** What was answered, for people. */
  answer: string;
}

export interface ReadAttempt {
  readonly client: string;
  readonly level: "node" | "session";
  /** The session token that it carried. */
  readonly session: readonly PartitionSeen[] | null;
  readonly reply: Seen;
}

/** What clients did and were told, in the order of their requests. */
export interface History {
  readonly writes: WriteAttempt[];
  readonly reads: ReadAttempt[];
}
