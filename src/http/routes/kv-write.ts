import type { Op, Row } from "../../../crdt/index.ts";
import { InputError } from "../../kernel/assert.ts";
import type { WriteResult } from "../../replication/api.ts";
import { Unavailable } from "../../replication/api.ts";
import type { RowKey } from "../../storage/store.ts";
import type { Api } from "../api.ts";
import { checkType, readBody, readJson } from "../body.ts";
import { type Call, checkParameters, type Query } from "../call.ts";
import { check } from "../check.ts";
import { mergePatchOps } from "../merge-patch.ts";
import { opsFrom } from "../ops.ts";
import { opsSchema } from "../schemas.ts";
import { BYTES_TYPE, checkContentType } from "../values.ts";
import { requestOf, WRITE_PARAMETERS, type WriteTerms, writeHeaders, writeTerms } from "../writes.ts";
import { sendValue } from "./kv-read.ts";

export const OPS_TYPE = "application/vnd.starling.ops+json";
export const MERGE_PATCH_TYPE = "application/merge-patch+json";
const ACCEPT_PATCH = `${OPS_TYPE}, ${MERGE_PATCH_TYPE}`;

/** `PUT /v1/kv/{bucket}/{key}`: assigns a register; body and Content-Type are kept as they are. */
export async function putKey(api: Api, call: Call, key: RowKey, query: Query): Promise<Response> {
  checkParameters(query, WRITE_PARAMETERS);
  const contentType = checkContentType(call.request.headers.get("content-type") ?? BYTES_TYPE);
  const bytes = await readBody(call, {
    bytes: api.config.limits.valueBytes,
    slug: "value-too-large",
    setting: "limits.value_bytes",
  });
  return write(api, call, key, query, [{ path: [], slot: { op: "assign", contentType, bytes } }]);
}

/** 204 also when there was nothing to delete. */
export function deleteKey(api: Api, call: Call, key: RowKey, query: Query): Promise<Response> {
  checkParameters(query, WRITE_PARAMETERS);
  return write(api, call, key, query, [{ path: [], removeAll: true }]);
}

async function write(api: Api, call: Call, key: RowKey, query: Query, ops: readonly Op[]): Promise<Response> {
  const terms = await writeTerms(api, call, key, query);
  const result = await api.replica.write(requestOf(key, ops, terms));
  const facts = api.writtenFactsOf(key, result);
  return new Response(null, { status: 204, headers: writeHeaders(api, call, key, { result, facts }, terms.before) });
}

/** `PATCH /v1/kv/{bucket}/{key}`. */
export async function patchKey(api: Api, call: Call, key: RowKey, query: Query): Promise<Response> {
  checkParameters(query, WRITE_PARAMETERS);
  const type = checkType(call, [OPS_TYPE, MERGE_PATCH_TYPE], { "accept-patch": ACCEPT_PATCH });
  const body = await readJson(call, api.config.limits.bodyBytes);
  return type === OPS_TYPE ? applyOps(api, call, key, query, body) : applyMergePatch(api, call, key, query, body);
}

/** `POST /v1/ops/{bucket}/{key}`. */
export async function postOps(api: Api, call: Call, key: RowKey, query: Query): Promise<Response> {
  checkParameters(query, WRITE_PARAMETERS);
  checkType(call, ["application/json", OPS_TYPE]);
  return applyOps(api, call, key, query, await readJson(call, api.config.limits.bodyBytes));
}

async function applyOps(api: Api, call: Call, key: RowKey, query: Query, body: unknown): Promise<Response> {
  const ops = opsFrom(check(opsSchema, body, "bad-op").ops, api.config.limits.opsPerRequest);
  const terms = await writeTerms(api, call, key, query);
  const result = await api.replica.write(requestOf(key, ops, terms));
  return newValue(api, call, key, result, terms);
}

/** The value after the write; 204 when the key is absent now. */
function newValue(api: Api, call: Call, key: RowKey, result: WriteResult, terms: WriteTerms): Response {
  const facts = api.writtenFactsOf(key, result);
  const headers = writeHeaders(api, call, key, { result, facts }, terms.before);
  return facts ? sendValue(facts, headers) : new Response(null, { status: 204, headers });
}

/** A merge patch is made from what was read, so it is refused inside the transaction and made again when another write
 *  came in between. More tries: fewer 503 on a hot key; each costs a read. */
const PATCH_TRIES = 8;

async function applyMergePatch(api: Api, call: Call, key: RowKey, query: Query, patch: unknown): Promise<Response> {
  const terms = await writeTerms(api, call, key, query);
  for (let attempt = 0; attempt < PATCH_TRIES; attempt++) {
    const { row } = await api.replica.read(key);
    const ops = mergePatchOps(row, patch, ACCEPT_PATCH);
    if (ops.length > api.config.limits.opsPerRequest)
      throw new InputError("too-many-ops", `a patch changes at most ${api.config.limits.opsPerRequest} fields`);
    const guard = (now: Row): void => {
      if (!sameDots(row, now)) throw new Moved();
      terms.guard?.(now);
    };
    try {
      const result = await api.replica.write(requestOf(key, ops, { ...terms, guard }));
      return newValue(api, call, key, result, terms);
    } catch (error) {
      if (!(error instanceof Moved)) throw error; // only a row that changed meanwhile is worth another try
    }
  }
  throw new Unavailable("contended", "this key changes faster than it can be patched: try again, or use operations");
}

class Moved extends InputError {
  constructor() {
    super("contended", "the record changed while it was patched");
  }
}

function sameDots(a: Row, b: Row): boolean {
  return a.cells.size === b.cells.size && [...a.cells.keys()].every((dot) => b.cells.has(dot));
}
