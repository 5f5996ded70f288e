import type { Cell, DotKey } from "../../../crdt/index.ts";
import { fromUtf8 } from "../../../src/kernel/bytes.ts";
import type { JournalBody } from "../../../src/replication/journal.ts";
import type { JournalRecord } from "../../../src/storage/store.ts";
import { conflictDots, without } from "./naive.ts";

/** The concurrent values that went away in a change and that no journal record of that change holds. */
export function journalGap(
  before: ReadonlyMap<DotKey, Cell>,
  after: ReadonlyMap<DotKey, Cell>,
  records: readonly JournalRecord[],
): DotKey[] {
  if (before.size < 2) return [];
  const missing = without(before.keys(), after);
  if (missing.length === 0) return []; // most changes: no need to know what conflicts
  const inConflict = conflictDots(before);
  const gone = missing.filter((dot) => inConflict.has(dot));
  if (gone.length === 0) return [];
  const kept = new Set<string>();
  for (const { body } of records) for (const { dot } of (JSON.parse(fromUtf8(body)) as JournalBody).lost) kept.add(dot);
  return gone.filter((dot) => !kept.has(dot));
}
