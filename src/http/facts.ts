import type { Digest, Row } from "../../crdt/index.ts";
import { rowDigest } from "../../crdt/index.ts";
import { type Conflict, conflictId, conflictsOf } from "../conflicts/conflict.ts";
import { project, type Shown } from "../conflicts/projection.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { RowKey } from "../storage/store.ts";
import { recordTag } from "./etag.ts";
import { type Answer, answerOf } from "./respond.ts";
import type { Tokens } from "./tokens.ts";

interface FactsParts {
  readonly sha256: Sha256;
  readonly salt: Uint8Array;
  readonly tokens: Tokens;
}

interface Found {
  readonly row: Row;
  readonly keyHash: Uint8Array;
  /** Of the row, where it is known. */
  readonly digest: Digest | undefined;
}

/** What the API says of a present record: functions of its row, each worked out when it is first asked for (a listing
 *  needs neither tag nor context). */
export class Facts {
  readonly shown: Shown;
  readonly conflicts: readonly Conflict[];
  readonly #parts: FactsParts;
  readonly #key: RowKey;
  readonly #found: Found;
  #answer: Answer | undefined;
  #tag: string | undefined;
  #context: string | null | undefined;
  #conflict: string | null | undefined;

  constructor(parts: FactsParts, key: RowKey, found: Found, shown: Shown) {
    this.shown = shown;
    this.conflicts = conflictsOf(found.row);
    this.#parts = parts;
    this.#key = { bucket: key.bucket, key: key.key };
    this.#found = { row: found.row, keyHash: found.keyHash, digest: found.digest };
  }

  /** The shown value as it is sent. */
  get answer(): Answer {
    this.#answer ??= answerOf(this.shown);
    return this.#answer;
  }

  get tag(): string {
    this.#tag ??= this.#makeTag();
    return this.#tag;
  }

  #makeTag(): string {
    const { sha256, salt } = this.#parts;
    const { digest, keyHash, row } = this.#found;
    return recordTag(sha256, digest ?? rowDigest(sha256, salt, keyHash, row));
  }

  /** `Starling-Context`; null when too large. */
  get context(): string | null {
    if (this.#context === undefined) this.#context = this.#parts.tokens.context(this.#key, this.#found.row);
    return this.#context;
  }

  /** The id of its conflict, null without one. */
  get conflict(): string | null {
    if (this.#conflict === undefined)
      this.#conflict =
        this.conflicts.length === 0 ? null : conflictId(this.#parts.sha256, this.#found.keyHash, this.conflicts);
    return this.#conflict;
  }
}

export type FactsOf = (key: RowKey, found: Found) => Facts | null;

/** Null for an absent key. `read`: a row that the replica still has in memory keeps its facts, three hashes less for each
 *  read. `written`: most rows are written again before they are read, and what is kept of them only burdens the
 *  collector. */
export function makeFacts(parts: FactsParts): { read: FactsOf; written: FactsOf } {
  const known = new WeakMap<Row, Facts>();
  const written: FactsOf = (key, found) => {
    const shown = project(found.row);
    return shown && new Facts(parts, key, found, shown);
  };
  const read: FactsOf = (key, found) => {
    const cached = known.get(found.row);
    if (cached) return cached;
    const facts = written(key, found);
    if (facts) known.set(found.row, facts);
    return facts;
  };
  return { read, written };
}
