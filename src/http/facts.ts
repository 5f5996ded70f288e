import type { Row } from "../../crdt/index.ts";
import type { Config } from "../config/types.ts";
import { type Conflict, conflictId, conflictsOf } from "../conflicts/conflict.ts";
import { project, type Shown } from "../conflicts/projection.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { RowKey } from "../storage/store.ts";
import { recordTag } from "./etag.ts";
import type { Tokens } from "./tokens.ts";

/** What the API says of a record: functions of its row. */
export interface Facts {
  readonly shown: Shown;
  readonly tag: string;
  /** `Starling-Context`; null when too large. */
  readonly context: string | null;
  readonly conflicts: readonly Conflict[];
  /** The id of its conflict, null without one. */
  readonly conflict: string | null;
}

export type FactsOf = (key: RowKey, read: { readonly row: Row; readonly keyHash: Uint8Array }) => Facts | null;

/** Null for an absent key. A row that the replica still has in memory keeps its facts: three hashes less per read. */
export function makeFacts(parts: { sha256: Sha256; config: Config; tokens: Tokens }): FactsOf {
  const { sha256, config, tokens } = parts;
  const known = new WeakMap<Row, Facts>();
  return (key, { row, keyHash }) => {
    const cached = known.get(row);
    if (cached) return cached;
    const shown = project(row);
    if (shown === null) return null;
    const conflicts = conflictsOf(row);
    const facts: Facts = {
      shown,
      tag: recordTag(sha256, config.cluster.salt, keyHash, row),
      context: tokens.context(key, row),
      conflicts,
      conflict: conflicts.length === 0 ? null : conflictId(sha256, keyHash, conflicts),
    };
    known.set(row, facts);
    return facts;
  };
}
