import { typesAt } from "../../../crdt/index.ts";
import { explainRow } from "../../conflicts/explain.ts";
import { fromBase64Url, fromUtf8, toHex } from "../../kernel/bytes.ts";
import type { JournalBody, JournalValue } from "../../replication/api.ts";
import type { JournalRecord, RowKey } from "../../storage/store.ts";
import { type Api, jsonResponse, rfc3339, vectorView } from "../api.ts";
import { type Call, checkParameters } from "../call.ts";
import { POLICY } from "../etag.ts";
import type { View } from "../json.ts";
import { keyOf } from "../target.ts";
import { contentView, shownView } from "../values.ts";
import { cellView, dotView } from "../views.ts";

export const EXPLAIN = "/v1/explain";
const JOURNAL_RECORDS = 20;

/** `GET /v1/explain/{bucket}/{key}`: why a key shows what it shows at this node. */
export async function explainKey(api: Api, call: Call): Promise<Response> {
  const { key, query } = keyOf(call, EXPLAIN, api.config.limits.keyBytes);
  checkParameters(query, ["key64"]);
  const read = await api.replica.read(key);
  const facts = api.factsOf(key, read);
  const journal = await api.replica.journal({ key, limit: JOURNAL_RECORDS });
  return jsonResponse(api, call, {
    bucket: key.bucket,
    key: key.key,
    node: api.replica.node,
    partition: read.partition,
    keyHash: toHex(read.keyHash),
    owners: api.replica.owners.all.map(({ id, region }) => ({ node: id, region })),
    policy: POLICY,
    shown: facts && shownView(facts.shown),
    type: facts ? facts.shown.type : null,
    types: [...typesAt(read.row.cells.values(), [])].sort(),
    conflict: facts?.conflict ?? null,
    dots: explainRow(read.row).map(({ cell, isShown, why }) => ({
      ...dotView(api, cell.dot, cell.stamp),
      path: cell.path.length > 0 ? cell.path : undefined,
      ...cellView(cell),
      shown: isShown,
      why,
    })),
    removedBeforeTheyCame: read.row.stubs.size,
    vector: vectorView(read.contextVector),
    deletion: facts ? null : await deletionView(api, key),
    journal: journal.map(journalView),
  });
}

async function deletionView(api: Api, key: RowKey): Promise<View> {
  const deletion = await api.replica.deletion(key);
  if (!deletion) return null;
  const { author, node, atMs, reason } = deletion;
  return { author, node, region: api.replica.owners.regions.get(node) ?? null, time: rfc3339(atMs), reason };
}

function journalView({ seq, atMs, body }: JournalRecord): View {
  const { event, before, id, lost, by } = JSON.parse(fromUtf8(body)) as JournalBody;
  return {
    seq,
    time: rfc3339(atMs),
    event,
    before,
    id,
    by: by && { author: by.author, reason: by.reason, time: rfc3339(by.hlcMs) },
    lost: lost.map(lostView),
  };
}

function lostView({ dot, path, kind, contentType, $b64, author, hlcMs }: JournalValue): View {
  const value =
    contentType === undefined || $b64 === undefined
      ? undefined
      : contentView({ contentType, bytes: fromBase64Url($b64) });
  return { dot, path, kind, contentType, value, author, time: rfc3339(hlcMs) };
}
