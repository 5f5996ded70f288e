import type { Op, Row } from "../../crdt/index.ts";
import { rowDigest } from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import { fromUtf8 } from "../kernel/bytes.ts";
import type { PartitionSeen, WriteRequest, WriteResult } from "../replication/api.ts";
import type { RowKey } from "../storage/store.ts";
import {
  ANONYMOUS,
  type Api,
  addContext,
  addSession,
  baseHeaders,
  type HeaderMap,
  hashOf,
  partitionOfKey,
} from "./api.ts";
import type { Call, Query } from "./call.ts";
import { etag, matchesRecord, parseTags, recordTag } from "./etag.ts";
import type { Facts } from "./facts.ts";
import { checkWriteLevel } from "./levels.ts";
import { isPlain, meetSession } from "./session.ts";

export const WRITE_PARAMETERS = ["key64", "w", "timeoutMs"];

/** What a request asks of its write besides the operations. */
export interface WriteTerms {
  readonly seen: WriteRequest["seen"];
  readonly reason?: string;
  readonly guard?: (row: Row) => void;
  /** What the session has seen before. */
  readonly before: readonly PartitionSeen[];
}

/** Reads the headers and parameters of a write, and waits until this node has seen what its session has: else a blind
 *  write would stand beside the session's own earlier one. */
export async function writeTerms(api: Api, call: Call, key: RowKey, query: Query): Promise<WriteTerms> {
  const { headers } = call.request;
  checkWriteLevel(query);
  refuseIdempotencyKey(call);
  const context = headers.get("starling-context");
  const guard = guardOf(api, key, headers.get("if-match"), headers.get("if-none-match"));
  const reason = reasonOf(headers.get("starling-reason"));
  const seen = context === null ? "blind" : api.tokens.openContext(key, context);
  const before = isPlain(call, query) ? [] : await meetSession(api, call, query, () => partitionOfKey(api, key));
  return { seen, before, ...(reason !== undefined && { reason }), ...(guard && { guard }) };
}

/** Whoever sends one relies on it: to ignore it would count an increment twice. */
export function refuseIdempotencyKey({ request }: Call): void {
  if (request.headers.get("idempotency-key") !== null)
    throw new InputError(
      "idempotency-not-offered",
      "this node can't keep the promise of an Idempotency-Key yet: leave it out, and make the write safe to repeat",
    );
}

export function requestOf(key: RowKey, ops: readonly Op[], terms: WriteTerms): WriteRequest {
  const { seen, reason, guard } = terms;
  const { bucket, key: name } = key;
  return {
    bucket,
    key: name,
    ops,
    seen,
    author: ANONYMOUS,
    ...(reason !== undefined && { reason }),
    ...(guard && { guard }),
  };
}

/** Headers carry bytes; those of a reason are UTF-8. */
export function reasonOf(header: string | null): string | undefined {
  if (header === null) return undefined;
  let reason = header;
  try {
    reason = fromUtf8(Uint8Array.from(header, (char) => char.charCodeAt(0)));
  } catch {
    throw new InputError("bad-reason", "Starling-Reason must be UTF-8");
  }
  return checkReason(reason);
}

export function checkReason(reason: string): string {
  if (reason.length > 256) throw new InputError("reason-too-long", "a reason has at most 256 characters");
  return reason;
}

/** `If-Match` and `If-None-Match`, strict and local: asked of the row inside the write's transaction. */
export function guardOf(
  api: Api,
  key: RowKey,
  ifMatch: string | null,
  ifNoneMatch: string | null,
): ((row: Row) => void) | undefined {
  if (ifMatch === null && ifNoneMatch === null) return undefined;
  const wanted = ifMatch === null ? null : parseTags(ifMatch);
  const unwanted = ifNoneMatch === null ? null : parseTags(ifNoneMatch);
  const keyHash = hashOf(api, key);
  return (row) => {
    const { sha256 } = api.world;
    const digest = rowDigest(sha256, api.config.cluster.salt, keyHash, row);
    const tag = row.cells.size === 0 ? null : recordTag(sha256, digest);
    if (wanted !== null && !matchesRecord(wanted, tag, "strong"))
      throw new InputError(
        "precondition-failed",
        tag === null
          ? "If-Match asks for a record, and there is none"
          : "this node's record is not the one in If-Match: read it again",
      );
    if (unwanted !== null && matchesRecord(unwanted, tag, "weak"))
      throw new InputError("precondition-failed", "this node's record is one that If-None-Match rules out");
  };
}

/** Of the answer to a write; `facts` are null when the key is absent now. */
export function writeHeaders(
  api: Api,
  call: Call,
  key: RowKey,
  { result, facts }: { readonly result: WriteResult; readonly facts: Facts | null },
  before: readonly PartitionSeen[],
): HeaderMap {
  const headers = baseHeaders(api, call);
  if (facts) addWritten(headers, facts);
  else addContext(headers, api.tokens.context(key, result.row));
  const seen = { partition: result.partition, vector: result.vector };
  addSession(api, headers, before, [seen]);
  headers["starling-durable"] = durableText(api, result);
  return headers;
}

function addWritten(headers: HeaderMap, facts: Facts): void {
  headers.etag = etag(facts.tag, "value");
  headers["starling-type"] = facts.shown.type;
  if (facts.conflict !== null) headers["starling-conflict"] = facts.conflict;
  addContext(headers, facts.context);
}

/** `eu=2, us=0`: every region that has owners. */
export function durableText(api: Api, { durable }: WriteResult): string {
  return api.replica.owners.regionNames.map((region) => `${region}=${durable.get(region) ?? 0}`).join(", ");
}
