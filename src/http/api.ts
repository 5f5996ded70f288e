import { hashKey, partitionOf, slotOf, type VersionVector } from "../../crdt/index.ts";
import { InternalError } from "../kernel/assert.ts";
import type { PartitionSeen } from "../replication/api.ts";
import type { RowKey } from "../storage/store.ts";
import type { Call } from "./call.ts";
import type { HttpDeps } from "./deps.ts";
import { type FactsOf, makeFacts } from "./facts.ts";
import { toJson, type View } from "./json.ts";
import { INTERNAL, PROBLEM_TYPE, type Problem, problemOf } from "./problem.ts";
import { Tokens } from "./tokens.ts";

/** Who writes, as long as nobody has to say who they are (security.md comes later). */
export const ANONYMOUS = "anonymous";

export type HeaderMap = Record<string, string>;

/** What all routes share. */
export interface Api extends HttpDeps {
  readonly tokens: Tokens;
  /** When this node began to listen (wall ms). */
  readonly startedMs: number;
  /** Of a row that was read. */
  readonly factsOf: FactsOf;
  /** Of a row that was just written. */
  readonly writtenFactsOf: FactsOf;
  /** `Starling-Staleness`. */
  staleness(): string;
}

export function makeApi(deps: HttpDeps): Api {
  const { config, world } = deps;
  const { sha256 } = world;
  const tokens = new Tokens({ sha256, salt: config.cluster.salt, clusterId: config.cluster.id });
  const facts = makeFacts({ sha256, salt: config.cluster.salt, tokens });
  return {
    ...deps,
    tokens,
    startedMs: world.clock.wallMs(),
    factsOf: facts.read,
    writtenFactsOf: facts.written,
    staleness: makeStaleness(deps),
  };
}

/** Asked on every read, and status is not free. */
const STALENESS_KEPT_MS = 100;

/** How old this node's view of any key can be: the time since it last levelled with the owner it heard from least. */
function makeStaleness({ replica, world }: HttpDeps): () => string {
  let text = "unknown";
  let askedMs = Number.NEGATIVE_INFINITY;
  return () => {
    const nowMs = world.clock.monotonicMs();
    if (nowMs - askedMs < STALENESS_KEPT_MS) return text;
    askedMs = nowMs;
    const levelledMs = new Map(replica.status().peers.map(({ node, lastSyncMs }) => [node, lastSyncMs]));
    const wallMs = world.clock.wallMs();
    const { others } = replica.owners;
    const oldestMs = Math.min(wallMs, ...others.map(({ id }) => levelledMs.get(id) ?? Number.NEGATIVE_INFINITY));
    text = oldestMs === Number.NEGATIVE_INFINITY ? "unknown" : `${Math.round(wallMs - oldestMs)}ms`;
    return text;
  };
}

export function baseHeaders(api: Api, call: Call): HeaderMap {
  return {
    "starling-node": api.replica.node,
    "starling-region": api.replica.region,
    "starling-request-id": call.id,
    "x-content-type-options": "nosniff",
  };
}

export function jsonResponse(
  api: Api,
  call: Call,
  view: View,
  more: { status?: number; headers?: HeaderMap } = {},
): Response {
  const headers: HeaderMap = { ...baseHeaders(api, call), "content-type": "application/json", ...more.headers };
  return new Response(toJson(view), { status: more.status ?? 200, headers });
}

export function problemResponse(api: Api, call: Call, error: unknown, more: HeaderMap = {}): Response {
  const known = problemOf(error);
  if (known) return sendProblem(api, call, known.problem, { ...known.headers, ...more });
  const failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  api.world.log.error("http.failed", { request: call.id, method: call.method, path: call.path, failure });
  return sendProblem(api, call, INTERNAL, more);
}

function sendProblem(api: Api, call: Call, problem: Problem, more: HeaderMap): Response {
  const headers = { ...baseHeaders(api, call), "content-type": PROBLEM_TYPE, ...more };
  return new Response(JSON.stringify({ ...problem, instance: call.id }), { status: problem.status, headers });
}

// ---- sessions

export function hashOf(api: Api, { bucket, key }: RowKey): Uint8Array {
  return hashKey(api.world.sha256, api.config.cluster.salt, bucket, key);
}

export function partitionOfKey(api: Api, key: RowKey): number {
  return partitionOf(slotOf(hashOf(api, key)), api.replica.layout);
}

/** What was seen before joined with what is seen now. */
function joinSeen(before: readonly PartitionSeen[], now: readonly PartitionSeen[]): PartitionSeen[] {
  const joined = new Map<number, VersionVector>();
  for (const { partition, vector } of [...before, ...now]) {
    const known = joined.get(partition);
    if (known) known.join(vector);
    else joined.set(partition, vector.copy());
  }
  return [...joined].sort(([a], [b]) => a - b).map(([partition, vector]) => ({ partition, vector }));
}

/** Adds `Starling-Session`, or says that it had to be left out. */
export function addSession(
  api: Api,
  headers: HeaderMap,
  before: readonly PartitionSeen[],
  now: readonly PartitionSeen[],
): void {
  const [first] = now;
  const isFirst = before.length === 0 && now.length === 1 && first !== undefined;
  const token = isFirst ? api.tokens.firstSession(first) : api.tokens.session(joinSeen(before, now));
  if (token === null) headers["starling-session-omitted"] = "too-large";
  else headers["starling-session"] = token;
}

export function addContext(headers: HeaderMap, context: string | null): void {
  if (context === null) headers["starling-context-omitted"] = "too-large";
  else headers["starling-context"] = context;
}

export function vectorView(vector: VersionVector): View {
  return new Map(vector.entries());
}

export function rfc3339(wallMs: number): string {
  // The only use of the built-in: a number to text. The time itself came from the World.
  if (!(Math.abs(wallMs) <= 8.64e15)) throw new InternalError("a time lies outside the calendar");
  return new Date(wallMs).toISOString();
}
