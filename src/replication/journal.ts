import type { Cell, Row } from "../../crdt/index.ts";
import { dotKey } from "../../crdt/index.ts";
import { conflictId, conflictsOf } from "../conflicts/conflict.ts";
import { toBase64Url, utf8 } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";

/** What happened to a conflict, as kept in the journal (data.md, Conflicts). JSON. */
export interface JournalBody {
  readonly event: "opened" | "changed" | "settled";
  /** The id before and after; null where there was, or is, no conflict. */
  readonly before: string | null;
  readonly id: string | null;
  /** Values that were live before and are not any more, at most MAX_LOSERS of them, cut to MAX_LOSER_BYTES each. */
  readonly lost: readonly JournalValue[];
  readonly by?: { readonly author: string; readonly reason?: string; readonly hlcMs: number };
}

export interface JournalValue {
  readonly dot: string;
  readonly path: readonly string[];
  readonly kind: string;
  readonly contentType?: string;
  /** base64url, cut where it is long. */
  readonly $b64?: string;
  readonly author: string;
  readonly hlcMs: number;
}

const MAX_LOSERS = 64;
const MAX_LOSER_BYTES = 16_384;

/** The journal record of a row that changed; null when no conflict opened, changed or was settled by it. */
export function journalRecord(
  sha256: Sha256,
  change: { before: Row; row: Row; keyHash: Uint8Array },
  isNow: boolean,
): Uint8Array | null {
  const before = conflictsOf(change.before);
  if (before.length === 0 && !isNow) return null;
  const after = isNow ? conflictsOf(change.row) : [];
  const idBefore = before.length > 0 ? conflictId(sha256, change.keyHash, before) : null;
  const id = after.length > 0 ? conflictId(sha256, change.keyHash, after) : null;
  if (id === idBefore) return null;
  const lost = [...change.before.cells.values()].filter((cell) => !change.row.cells.has(dotKey(cell.dot)));
  const added = [...change.row.cells.values()].filter((cell) => !change.before.cells.has(dotKey(cell.dot)));
  const writer = added[0]?.stamp;
  const body: JournalBody = {
    event: id === null ? "settled" : idBefore === null ? "opened" : "changed",
    before: idBefore,
    id,
    lost: lost.slice(0, MAX_LOSERS).map(lostValue),
    ...(writer && {
      by: {
        author: writer.author,
        hlcMs: writer.hlc.ms,
        ...(writer.reason !== undefined && { reason: writer.reason }),
      },
    }),
  };
  return utf8(JSON.stringify(body));
}

function lostValue({ dot, path, content, stamp }: Cell): JournalValue {
  const base = { dot: dotKey(dot), path, kind: content.kind, author: stamp.author, hlcMs: stamp.hlc.ms };
  if (content.kind !== "register") return base;
  return { ...base, contentType: content.contentType, $b64: toBase64Url(content.bytes.slice(0, MAX_LOSER_BYTES)) };
}
