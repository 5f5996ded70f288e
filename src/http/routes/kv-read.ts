import { InputError } from "../../kernel/assert.ts";
import type { PartitionSeen, ReadResult } from "../../replication/api.ts";
import type { RowKey } from "../../storage/store.ts";
import {
  type Api,
  addContext,
  addSession,
  baseHeaders,
  type HeaderMap,
  partitionOfKey,
  problemResponse,
  rfc3339,
} from "../api.ts";
import { type Call, checkParameters, flagOf, type Query } from "../call.ts";
import { etag, matchesView, parseTags, type ViewName } from "../etag.ts";
import type { Facts } from "../facts.ts";
import { toJson, type View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { isPlain, meetSession } from "../session.ts";
import { hasLargeInteger, JSON_TYPE } from "../values.ts";
import { recordSiblings, recordView } from "../views.ts";

export const SIBLINGS_TYPE = "application/vnd.starling.siblings+json";
const READ_PARAMETERS = ["view", "siblings", "int", "key64", "r", "timeoutMs"];

/** `GET /v1/kv/{bucket}/{key}` (and HEAD). */
export async function getKey(api: Api, call: Call, key: RowKey, query: Query): Promise<Response> {
  const view = viewOf(query);
  const before = isPlain(call, query) ? [] : await meetSession(api, call, query, () => partitionOfKey(api, key));
  const read = await api.replica.read(key);
  const facts = api.factsOf(key, read);
  if (facts === null) return absent(api, call, key, read, before);
  const headers = baseHeaders(api, call);
  headers.etag = etag(facts.tag, view);
  addFacts(headers, facts);
  addSeen(api, headers, before, read);
  headers["starling-staleness"] = api.staleness();
  const ifNoneMatch = call.request.headers.get("if-none-match");
  if (ifNoneMatch !== null && matchesView(parseTags(ifNoneMatch), facts.tag, view))
    return new Response(null, { status: 304, headers });
  return answer(api, key, read, facts, view, headers);
}

function viewOf(query: Query): ViewName {
  if (query.size === 0) return "value";
  checkParameters(query, READ_PARAMETERS);
  const view = query.get("view");
  if (view !== undefined && view !== "record") throw new InputError("bad-parameter", "view can be record");
  const int = query.get("int");
  if (int !== undefined && int !== "string") throw new InputError("bad-parameter", "int can be string");
  if (view === "record") return "record";
  if (flagOf(query, "siblings")) return "siblings";
  return int === "string" ? "int" : "value";
}

/** What every answer about a present record says. */
export function addFacts(headers: HeaderMap, facts: Facts): void {
  headers["starling-type"] = facts.shown.type;
  if (facts.conflict !== null) headers["starling-conflict"] = facts.conflict;
  addContext(headers, facts.context);
}

export function addSeen(
  api: Api,
  headers: HeaderMap,
  before: readonly PartitionSeen[],
  now: { readonly partition: number; readonly sessionVector: ReadResult["sessionVector"] },
): void {
  const seen = { partition: now.partition, vector: now.sessionVector };
  addSession(api, headers, before, [seen]);
}

function answer(api: Api, key: RowKey, read: ReadResult, facts: Facts, view: ViewName, headers: HeaderMap): Response {
  if (view === "record") return sendJson(recordView(api, key, read.row, facts), JSON_TYPE, headers);
  if (view === "siblings") {
    const body = { type: facts.shown.type, conflict: facts.conflict, siblings: recordSiblings(api, read.row, facts) };
    return sendJson(body, SIBLINGS_TYPE, headers);
  }
  if (view === "value" && hasLargeInteger(facts.shown))
    throw new ProblemError(
      "integer-too-large",
      "a counter here is beyond 2^53, where JSON numbers lose digits: ask with ?int=string to get it as text",
    );
  return sendValue(facts, headers);
}

/** The shown value: a register's own bytes, everything else as JSON. */
export function sendValue({ answer }: Facts, headers: HeaderMap): Response {
  headers["content-type"] = answer.contentType;
  headers["content-length"] = answer.length;
  headers["content-security-policy"] = "sandbox";
  if (answer.isAttachment) headers["content-disposition"] = "attachment";
  return new Response(answer.body, { headers });
}

function sendJson(view: View, type: string, headers: HeaderMap): Response {
  headers["content-type"] = type;
  headers["content-security-policy"] = "sandbox";
  return new Response(toJson(view), { headers });
}

/** 404 that tells "deleted" from "unknown". Its context says "I saw nothing": a write with it replaces nothing. */
async function absent(
  api: Api,
  call: Call,
  key: RowKey,
  read: ReadResult,
  before: readonly PartitionSeen[],
): Promise<Response> {
  const headers: HeaderMap = { "starling-staleness": api.staleness() };
  addContext(headers, api.tokens.context(key, read.row));
  addSeen(api, headers, before, read);
  const deletion = await api.replica.deletion(key);
  const where = `${key.bucket}/${key.key}`;
  if (!deletion)
    return problemResponse(api, call, new ProblemError("unknown", `there is no record ${where} at this node`), headers);
  const { author, node, reason } = deletion;
  const at = rfc3339(deletion.atMs);
  const members = { by: author, node, at, ...(reason !== undefined && { reason }) };
  const error = new ProblemError("deleted", `${where} was deleted by ${author} at ${at} through node ${node}`, {
    members,
  });
  return problemResponse(api, call, error, headers);
}
