import type { Op } from "../../../crdt/index.ts";
import { InputError } from "../../kernel/assert.ts";
import type { PartitionSeen, WriteRequest, WriteResult } from "../../replication/api.ts";
import { ANONYMOUS, type Api, addSession, baseHeaders, type HeaderMap } from "../api.ts";
import { checkType, readJson } from "../body.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import { etag } from "../etag.ts";
import type { Facts } from "../facts.ts";
import { toJson, type View } from "../json.ts";
import { checkWriteLevel } from "../levels.ts";
import { opsFrom } from "../ops.ts";
import { problemOf } from "../problem.ts";
import { type BatchItem, batchSchema } from "../schemas.ts";
import { meetSession } from "../session.ts";
import { checkBucket, checkKey } from "../target.ts";
import { contentFrom, JSON_TYPE, shownView } from "../values.ts";
import { checkReason, durableText, guardOf, reasonOf, refuseIdempotencyKey } from "../writes.ts";

type ItemResult = { readonly [name: string]: View | undefined };

/** `POST /v1/batch`: the writes that are accepted commit in one transaction at this node; a refused item holds nothing
 *  back. Gets are answered after the writes. */
export async function batch(api: Api, call: Call): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["w", "r", "timeoutMs"]);
  checkWriteLevel(query);
  refuseIdempotencyKey(call);
  checkType(call, ["application/json"]);
  const { items } = check(batchSchema, await readJson(call, api.config.limits.bodyBytes), "bad-item");
  const { batchItems } = api.config.limits;
  if (items.length > batchItems)
    throw new InputError(
      "too-many-items",
      `a batch has ${items.length} items; the limit is ${batchItems} (limits.batch_items)`,
    );
  const reason = reasonOf(call.request.headers.get("starling-reason"));
  const before = await meetSession(api, call, query, null);
  const requests = items.map((item) => tryRequest(api, item, reason));
  const written = await api.replica.writeAll(requests.filter(isRequest));
  let next = 0;
  const outcomes = requests.map((request) => (isRequest(request) ? written[next++] : request));
  const seen: PartitionSeen[] = [];
  const results: ItemResult[] = [];
  for (const [i, item] of items.entries()) results.push(await itemResult(api, item, outcomes[i] ?? null, seen));
  const headers: HeaderMap = { ...baseHeaders(api, call), "content-type": JSON_TYPE };
  addSession(api, headers, before, seen);
  return new Response(toJson({ results }), { headers });
}

function isRequest(request: WriteRequest | Error | null): request is WriteRequest {
  return request !== null && !(request instanceof Error);
}

/** Null for a get. */
function tryRequest(api: Api, item: BatchItem, reason: string | undefined): WriteRequest | Error | null {
  try {
    checkBucket(item.bucket);
    checkKey(item.key, api.config.limits.keyBytes);
    return item.action === "get" ? null : requestOf(api, item, reason);
  } catch (error) {
    if (error instanceof InputError) return error; // it is this item's result
    throw error;
  }
}

function requestOf(api: Api, item: Exclude<BatchItem, { action: "get" }>, common: string | undefined): WriteRequest {
  const { bucket, key } = item;
  const reason = item.reason === undefined ? common : checkReason(item.reason);
  const guard = guardOf(api, item, item.ifMatch ?? null, item.ifNoneMatch ?? null);
  const seen: WriteRequest["seen"] = item.context === undefined ? "blind" : api.tokens.openContext(item, item.context);
  const base = { bucket, key, seen, author: ANONYMOUS, ops: opsOf(api, item) };
  return { ...base, ...(reason !== undefined && { reason }), ...(guard && { guard }) };
}

function opsOf(api: Api, item: Exclude<BatchItem, { action: "get" }>): Op[] {
  switch (item.action) {
    case "put":
      return [{ path: [], slot: { op: "assign", ...contentFrom(item.value, item.contentType) } }];
    case "delete":
      return [{ path: [], removeAll: true }];
    case "ops":
      return opsFrom(item.ops, api.config.limits.opsPerRequest);
  }
}

async function itemResult(
  api: Api,
  item: BatchItem,
  outcome: WriteResult | Error | null,
  seen: PartitionSeen[],
): Promise<ItemResult> {
  if (outcome instanceof Error) return problemResult(outcome);
  if (outcome) {
    seen.push({ partition: outcome.partition, vector: outcome.vector });
    const facts = api.writtenFactsOf(item, outcome);
    const value = item.action === "ops" && facts ? shownView(facts.shown) : undefined;
    return {
      status: value === undefined ? 204 : 200,
      ...factsResult(facts),
      value,
      durable: durableText(api, outcome),
    };
  }
  const read = await api.replica.read(item);
  seen.push({ partition: read.partition, vector: read.sessionVector });
  const facts = api.factsOf(item, read);
  if (!facts)
    return problemResult(new InputError("unknown", `there is no record ${item.bucket}/${item.key} at this node`));
  const { shown } = facts;
  const contentType = shown.type === "register" ? shown.contentType : undefined;
  return { status: 200, ...factsResult(facts), contentType, value: shownView(shown) };
}

function factsResult(facts: Facts | null): ItemResult {
  if (!facts) return {};
  return {
    type: facts.shown.type,
    etag: etag(facts.tag, "value"),
    context: facts.context ?? undefined,
    conflict: facts.conflict ?? undefined,
  };
}

/** Throws what is no client's business. */
function problemResult(error: Error): ItemResult {
  const known = problemOf(error);
  if (!known) throw error;
  const { type, title, status, detail } = known.problem;
  return { status, problem: { type, title, status, detail } };
}
