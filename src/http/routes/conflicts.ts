import type { Row } from "../../../crdt/index.ts";
import { applyEntry, emptyPartition, openRow, planWrite } from "../../../crdt/index.ts";
import { type Choice, conflictId, conflictsOf, keyHashOfConflict, settle } from "../../conflicts/conflict.ts";
import { project } from "../../conflicts/projection.ts";
import { InputError } from "../../kernel/assert.ts";
import type { ReadResult, WriteRequest } from "../../replication/api.ts";
import type { RowKey } from "../../storage/store.ts";
import { ANONYMOUS, type Api, jsonResponse } from "../api.ts";
import { checkType, readJson } from "../body.ts";
import { type Call, checkParameters, flagOf, integerOf, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import { POLICY } from "../etag.ts";
import type { Facts } from "../facts.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { resolveSchema } from "../schemas.ts";
import { checkBucket } from "../target.ts";
import { contentFrom, shownView } from "../values.ts";
import { conflictView } from "../views.ts";
import { checkReason, reasonOf, refuseIdempotencyKey, writeHeaders } from "../writes.ts";

/** `GET /v1/conflicts?bucket&cursor&limit`: the index of this node, in order of bucket and key. */
export async function listConflicts(api: Api, call: Call): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["bucket", "cursor", "limit"]);
  const bucket = query.get("bucket");
  if (bucket !== undefined) checkBucket(bucket);
  const limit = integerOf(query, "limit", { min: 1, max: 1_000, otherwise: 100 });
  const scope = `conflicts\0${bucket ?? ""}`;
  const cursor = query.get("cursor");
  const after = cursor === undefined ? null : afterOf(api.tokens.openCursor(scope, cursor));
  const range = { limit, ...(bucket !== undefined && { bucket }), ...(after && { after }) };
  const rows = await api.replica.conflicts(range);
  const last = rows.at(-1);
  return jsonResponse(api, call, {
    conflicts: rows.flatMap((row) => {
      const facts = api.factsOf(row, row);
      // A garbled row is listed as what it was, and may have healed to one that is settled.
      return facts?.conflict ? [summaryView(api, row, facts)] : [];
    }),
    cursor: last && rows.length === limit ? api.tokens.cursor(scope, [last.bucket, last.key]) : undefined,
  });
}

function afterOf([bucket, key]: readonly string[]): RowKey {
  if (bucket === undefined || key === undefined) throw new InputError("bad-cursor", "start again without a cursor");
  return { bucket, key };
}

function summaryView(api: Api, key: RowKey, facts: Facts): View {
  return {
    id: facts.conflict,
    bucket: key.bucket,
    key: key.key,
    state: "shown-by-policy",
    policy: POLICY,
    shown: shownView(facts.shown),
    places: facts.conflicts.map((conflict) => conflictView(api, conflict)),
  };
}

/** A summary by bucket looks at no more than this. */
const SUMMARY_PAGES = 20;
const SUMMARY_PAGE = 500;

/** `GET /v1/conflicts/summary`. */
export async function summarizeConflicts(api: Api, call: Call): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  const open = await api.replica.countConflicts();
  const byBucket = new Map<string, number>();
  let after: RowKey | undefined;
  let counted = 0;
  for (let page = 0; page < SUMMARY_PAGES; page++) {
    const rows = await api.replica.conflicts({ limit: SUMMARY_PAGE, ...(after && { after }) });
    for (const { bucket } of rows) byBucket.set(bucket, (byBucket.get(bucket) ?? 0) + 1);
    counted += rows.length;
    after = rows.at(-1);
    if (rows.length < SUMMARY_PAGE) break;
  }
  return jsonResponse(api, call, { open, byBucket, complete: counted >= open });
}

interface Found {
  readonly row: RowKey & ReadResult;
  readonly facts: Facts;
  /** Its id now. */
  readonly id: string;
}

/** The conflict that an id names, or whatever became of it at its key. Throws `unknown`, `settled`. */
async function findConflict(api: Api, id: string): Promise<Found> {
  const row = await api.replica.findByHash(keyHashOfConflict(id));
  const facts = row && api.factsOf(row, row);
  if (!row || !facts)
    throw new ProblemError("unknown", "no record here has this conflict's key: it never had, or it was deleted");
  if (facts.conflict === null)
    throw new ProblemError("settled", `the conflict of ${row.bucket}/${row.key} is settled`, {
      members: { bucket: row.bucket, key: row.key },
    });
  return { row, facts, id: facts.conflict };
}

/** `GET /v1/conflicts/{id}`. An outdated id is answered with the conflict as it is now, under its id of now. */
export async function getConflict(api: Api, call: Call, id: string): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  const { row, facts } = await findConflict(api, id);
  const summary = summaryView(api, row, facts) as { readonly [name: string]: View };
  const outdated = facts.conflict === id ? undefined : id;
  return jsonResponse(api, call, { ...summary, outdated, context: facts.context });
}

/** `POST /v1/conflicts/{id}/resolve`: settles exactly the siblings that the id names. */
export async function resolveConflict(api: Api, call: Call, id: string): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["dryRun"]);
  const isDryRun = flagOf(query, "dryRun");
  refuseIdempotencyKey(call);
  checkType(call, ["application/json"]);
  const body = check(resolveSchema, await readJson(call, api.config.limits.bodyBytes), "bad-resolve");
  const choice = choiceOf(body);
  const reason =
    body.reason === undefined ? reasonOf(call.request.headers.get("starling-reason")) : checkReason(body.reason);
  const found = await findConflict(api, id);
  if (found.id !== id) throw changed(found.id);
  const settling = settle(found.facts.conflicts, choice);
  if (isDryRun) return jsonResponse(api, call, dryRun(api, found, settling));
  const { bucket, key } = found.row;
  const request: WriteRequest = {
    bucket,
    key,
    ops: settling.ops,
    seen: { dots: settling.dots },
    settles: true,
    author: ANONYMOUS,
    ...(reason !== undefined && { reason }),
    guard: (row) => stillIs(api, id, found.row.keyHash, row),
  };
  const result = await api.replica.write(request);
  const facts = api.writtenFactsOf(found.row, result);
  const view: View = {
    bucket,
    key,
    settled: facts?.conflict == null,
    shown: facts && shownView(facts.shown),
    conflict: facts?.conflict ?? null,
  };
  return jsonResponse(api, call, view, { headers: writeHeaders(api, call, found.row, { result, facts }, []) });
}

function choiceOf(body: { choose?: string | string[] | undefined; value?: unknown }): Choice {
  const { choose, value } = body;
  if ((choose === undefined) === (value === undefined))
    throw new InputError("bad-resolve", 'name {"choose": dot or [dots]} or {"value": …}, one of them');
  if (choose === undefined) return { value: contentFrom(value) };
  return { choose: typeof choose === "string" ? [choose] : choose };
}

function changed(current: string): ProblemError {
  return new ProblemError("conflict-changed", `the siblings changed meanwhile; look at ${current} and choose again`, {
    members: { current },
  });
}

/** Asked inside the transaction: what came in since the operator looked is not settled unseen. */
function stillIs(api: Api, id: string, keyHash: Uint8Array, row: Row): void {
  const conflicts = conflictsOf(row);
  if (conflicts.length === 0) throw new ProblemError("settled", "the conflict was settled meanwhile");
  const current = conflictId(api.world.sha256, keyHash, conflicts);
  if (current !== id) throw changed(current);
}

/** What the record would show: the same write, applied to a copy. */
function dryRun(api: Api, { row }: Found, { ops, dots }: ReturnType<typeof settle>): View {
  const { bucket, key } = row;
  const actor = api.replica.actor();
  const { adds, removes } = planWrite(row.row, ops, dots, actor);
  const partition = emptyPartition();
  partition.vector.join(row.sessionVector);
  const after = openRow(row.row);
  const stamp = { hlc: { ms: api.world.clock.wallMs(), counter: 0 }, author: ANONYMOUS, suspect: false };
  const first = partition.vector.seq(actor) + 1;
  applyEntry(partition, after, { actor, first, bucket, key, adds, removes, stamp });
  const shown = project(after);
  return { bucket, key, dryRun: true, settled: conflictsOf(after).length === 0, shown: shown && shownView(shown) };
}
