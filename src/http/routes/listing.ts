import type { ReadResult } from "../../replication/api.ts";
import type { RowKey } from "../../storage/store.ts";
import { type Api, addSession, baseHeaders } from "../api.ts";
import { type Call, checkParameters, flagOf, integerOf, type Query } from "../call.ts";
import { toJson, type View } from "../json.ts";
import { meetSession } from "../session.ts";
import { JSON_TYPE, shownView, sizeBytes } from "../values.ts";

/** A page is cut here too, whatever its limit: it is built in memory. */
export const PAGE_BYTES = 4 * 2 ** 20;
const LIST_PARAMETERS = ["prefix", "limit", "cursor", "values", "r", "timeoutMs"];

/** `GET /v1/kv`. */
export async function listBuckets(api: Api, call: Call, query: Query): Promise<Response> {
  checkParameters(query, []);
  const buckets = (await api.replica.buckets()).filter(({ bucket }) => !bucket.startsWith("$"));
  const view: View = { buckets: buckets.map(({ bucket, rows }) => ({ bucket, records: rows })) };
  return new Response(toJson(view), { headers: { ...baseHeaders(api, call), "content-type": JSON_TYPE } });
}

/** `GET /v1/kv/{bucket}`: keys in the order of their UTF-8 bytes. */
export async function listKeys(api: Api, call: Call, bucket: string, query: Query): Promise<Response> {
  checkParameters(query, LIST_PARAMETERS);
  const prefix = query.get("prefix") ?? "";
  const limit = integerOf(query, "limit", { min: 1, max: 1_000, otherwise: 100 });
  const withValues = flagOf(query, "values");
  const scope = `list\0${bucket}\0${prefix}`;
  const cursor = query.get("cursor");
  const after = cursor === undefined ? undefined : api.tokens.openCursor(scope, cursor)[0];
  const before = await meetSession(api, call, query, null);
  const range = { bucket, prefix, limit, maxBytes: PAGE_BYTES };
  const { rows, next } = await api.replica.scan(after === undefined ? range : { ...range, after });
  const view: View = {
    bucket,
    prefix,
    items: rows.flatMap((row) => itemView(api, row, withValues)),
    // Every node owns everything until placement exists, so no page lacks an owner.
    complete: true,
    cursor: next === null ? undefined : api.tokens.cursor(scope, [next]),
  };
  const headers = { ...baseHeaders(api, call), "content-type": JSON_TYPE, "starling-staleness": api.staleness() };
  const seen = rows.map(({ partition, sessionVector }) => ({ partition, vector: sessionVector }));
  addSession(api, headers, before, seen);
  return new Response(toJson(view), { headers });
}

function itemView(api: Api, row: RowKey & ReadResult, withValue: boolean): View[] {
  const facts = api.factsOf(row, row);
  if (facts === null) return [];
  const { shown, conflict } = facts;
  return [
    {
      key: row.key,
      type: shown.type,
      sizeBytes: sizeBytes(shown),
      contentType: shown.type === "register" ? shown.contentType : undefined,
      conflict: conflict ?? undefined,
      value: withValue ? shownView(shown) : undefined,
    },
  ];
}
