import { z } from "@hono/zod-openapi";
import type { Api } from "./api.ts";
import type { Call } from "./call.ts";
import { controlRoutes } from "./control-routes.ts";
import { batch } from "./routes/batch.ts";
import {
  clusterHealth,
  clusterStatus,
  getNode,
  listNodes,
  live,
  ready,
  roundTrip,
  runSync,
  syncStatus,
} from "./routes/cluster.ts";
import { getConflict, listConflicts, resolveConflict, summarizeConflicts } from "./routes/conflicts.ts";
import { makeEventStreams } from "./routes/events.ts";
import { explainKey } from "./routes/explain.ts";
import { exportRecords } from "./routes/export.ts";
import { changeGossipKeys, listGossipKeys } from "./routes/gossip-keys.ts";
import { listSeedSources } from "./routes/gossip-seeds.ts";
import { importRecords, NDJSON_TYPES } from "./routes/import.ts";
import { kv, ops } from "./routes/kv.ts";
import { SIBLINGS_TYPE } from "./routes/kv-read.ts";
import { MERGE_PATCH_TYPE, OPS_TYPE } from "./routes/kv-write.ts";
import {
  getNetwork,
  getOperation,
  getPartition,
  listPartitions,
  putNetwork,
  repairStatus,
  startRepair,
} from "./routes/operations.ts";
import { reach } from "./routes/reach.ts";
import { batchSchema, gossipKeySchema, networkSchema, opsSchema, resolveSchema } from "./schemas.ts";
import { MAX_TOKEN_CHARS } from "./tokens.ts";

export type Method = "get" | "put" | "post" | "patch" | "delete";

/** One call of the API: where it is, what it takes, what it does. The router and /openapi.json are both made from it. */
export interface Route {
  readonly method: Method;
  /** As OpenAPI writes it. A last `{key}` takes the rest of the path. */
  readonly path: string;
  readonly summary: string;
  readonly query?: readonly string[];
  readonly headers?: readonly string[];
  readonly body?: Readonly<Record<string, z.ZodType>>;
  /** What success looks like: status, meaning and media types. */
  readonly answers: Readonly<Record<number, string>>;
  readonly types?: readonly string[];
  /** @param id what stands for the path's `{id}` or `{bucket}` */
  readonly handle: (call: Call, id: string) => Response | Promise<Response>;
}

const JSON_BODY = "application/json";
const anything = z.unknown();
const bytes = z.string().openapi({ format: "binary" });
const WRITE_HEADERS = ["Starling-Context", "Starling-Session", "Starling-Reason", "If-Match", "If-None-Match"];
const READ_HEADERS = ["Starling-Session", "If-None-Match"];
const TOKENS = `Starling-Context and Starling-Session are opaque and at most ${MAX_TOKEN_CHARS} characters; one that would be longer is left out, and Starling-Context-Omitted or Starling-Session-Omitted says so.`;

export function makeRoutes(api: Api): Route[] {
  return [
    ...dataRoutes(api),
    ...recordRoutes(api),
    ...conflictRoutes(api),
    ...clusterRoutes(api),
    ...controlRoutes(api),
    ...healthRoutes(api),
  ];
}

function dataRoutes(api: Api): Route[] {
  const handle = (call: Call): Promise<Response> => kv(api, call);
  const path = "/v1/kv/{bucket}/{key}";
  const write = { path, query: ["key64", "w", "timeoutMs"], headers: WRITE_HEADERS, handle };
  const ops = { [OPS_TYPE]: opsSchema };
  return [
    { method: "get", path: "/v1/kv", summary: "Lists buckets", answers: { 200: "buckets with their records" }, handle },
    {
      method: "get",
      path: "/v1/kv/{bucket}",
      summary: "Lists keys in the order of their UTF-8 bytes",
      query: ["prefix", "limit", "cursor", "values", "r", "timeoutMs"],
      headers: ["Starling-Session"],
      answers: { 200: "a page of keys with type, size and conflict mark; `cursor` goes on" },
      handle,
    },
    {
      method: "get",
      path,
      summary: `Reads a record: its shown value. ${TOKENS}`,
      query: ["view", "siblings", "int", "key64", "r", "timeoutMs"],
      headers: READ_HEADERS,
      answers: { 200: "the value", 304: "unchanged", 404: "`unknown` or `deleted`" },
      types: ["*/*", JSON_BODY, SIBLINGS_TYPE],
      handle,
    },
    {
      method: "put",
      ...write,
      summary: "Assigns a register",
      body: { "*/*": bytes },
      answers: { 204: "durable at this node" },
    },
    {
      method: "delete",
      ...write,
      summary: "Deletes what this node (or the context) has seen",
      answers: { 204: "gone, or never there" },
    },
    {
      method: "patch",
      ...write,
      summary: "Operations, or a merge patch on maps and JSON registers",
      body: { ...ops, [MERGE_PATCH_TYPE]: anything },
      answers: { 200: "the new value", 204: "the key is absent now" },
    },
    { method: "post", ...write, ...opsRoute(api), body: { [JSON_BODY]: opsSchema, ...ops } },
  ];
}

function opsRoute(api: Api): Pick<Route, "path" | "summary" | "answers" | "handle"> {
  return {
    path: "/v1/ops/{bucket}/{key}",
    summary: "Operations on one key: all of a request are one change",
    answers: { 200: "the new value", 204: "the key is absent now" },
    handle: (call) => ops(api, call),
  };
}

function recordRoutes(api: Api): Route[] {
  const ndjson = Object.fromEntries(NDJSON_TYPES.map((type) => [type, bytes]));
  return [
    {
      method: "post",
      path: "/v1/batch",
      summary: "Many puts, ops, deletes and gets; the writes commit together",
      query: ["w", "r", "timeoutMs"],
      headers: ["Starling-Session", "Starling-Reason"],
      body: { [JSON_BODY]: batchSchema },
      answers: { 200: "a result per item" },
      handle: (call) => batch(api, call),
    },
    {
      method: "post",
      path: "/v1/import",
      summary:
        'Writes a record per line: {"bucket","key","type"?,"value","contentType"?,"siblings"?}. A counter is reset and set to its number, a set and a map are replaced; concurrent writes elsewhere stay, as always',
      headers: ["Starling-Reason"],
      body: ndjson,
      answers: { 200: "{written, refused, errors: the first 100 {line, slug, detail}}" },
      handle: (call) => importRecords(api, call),
    },
    {
      method: "get",
      path: "/v1/export",
      summary: "A record per line, as /v1/import takes them; conflicting register values stand in `siblings`",
      query: ["bucket", "prefix"],
      answers: { 200: "lines" },
      types: ["application/x-ndjson"],
      handle: (call) => exportRecords(api, call),
    },
    {
      method: "get",
      path: "/v1/explain/{bucket}/{key}",
      summary: "Why a key shows what it shows at this node",
      query: ["key64"],
      answers: { 200: "live dots with their writers, the policy, the journal" },
      handle: (call) => explainKey(api, call),
    },
  ];
}

/** Cluster paths answer the same: other systems' operators know them. */
function conflictRoutes(api: Api): Route[] {
  return ["/v1/conflicts", "/cluster/conflicts"].flatMap((path): Route[] => [
    {
      method: "get",
      path,
      summary: "Records with concurrent values",
      query: ["bucket", "cursor", "limit"],
      answers: { 200: "a page of conflicts; `cursor` goes on" },
      handle: (call) => listConflicts(api, call),
    },
    {
      method: "get",
      path: `${path}/summary`,
      summary: "How many there are",
      answers: { 200: "open, and by bucket" },
      handle: (call) => summarizeConflicts(api, call),
    },
    {
      method: "get",
      path: `${path}/{id}`,
      summary: "One conflict. An outdated id is answered with the conflict as it is now",
      answers: { 200: "its values with their writers", 404: "`settled` or `unknown`" },
      handle: (call, id) => getConflict(api, call, id),
    },
    {
      method: "post",
      path: `${path}/{id}/resolve`,
      summary: "Settles exactly the siblings of this id",
      query: ["dryRun"],
      body: { [JSON_BODY]: resolveSchema },
      answers: { 200: "what shows now", 404: "`settled`", 409: "`conflict-changed`, with the `current` id" },
      handle: (call, id) => resolveConflict(api, call, id),
    },
  ]);
}

function clusterRoutes(api: Api): Route[] {
  const get = (path: string, summary: string, handle: Route["handle"]): Route => ({
    method: "get",
    path,
    summary,
    answers: { 200: summary },
    handle,
  });
  const events = makeEventStreams(api);
  return [
    get("/cluster/status", "State of the cluster as this node sees it", (call) => clusterStatus(api, call)),
    get("/cluster/nodes", "Members and owners", (call) => listNodes(api, call, "all")),
    get("/cluster/peers", "The same without this node", (call) => listNodes(api, call, "others")),
    get("/cluster/nodes/{id}", "One of them", (call, id) => getNode(api, call, id)),
    {
      ...get("/cluster/health", "Named checks", (call) => clusterHealth(api, call)),
      answers: { 200: "all hold", 503: "not all hold" },
    },
    { ...get("/cluster/sync", "Runs anti-entropy with all peers now", (call) => runSync(api, call)), method: "post" },
    get("/cluster/sync/status", "Digest, records, and what is known per peer", (call) => syncStatus(api, call)),
    get("/cluster/reach", "Which regions can reach which, from who suspects whom", (call) => reach(api, call)),
    {
      ...get("/cluster/rtt", "The round trip between two members, estimated from coordinates", (call) =>
        roundTrip(api, call),
      ),
      query: ["from", "to"],
    },
    get("/cluster/gossip/keys", "Fingerprints of the gossip keys that members hold", (call) =>
      listGossipKeys(api, call),
    ),
    {
      ...get("/cluster/gossip/keys", "Installs, uses or removes a gossip key on all members", (call) =>
        changeGossipKeys(api, call),
      ),
      method: "post",
      body: { [JSON_BODY]: gossipKeySchema },
    },
    get("/cluster/gossip/seeds", "Who is asked for first members, and what the answer was", (call) =>
      listSeedSources(api, call),
    ),
    {
      ...get(
        "/cluster/events",
        "Members, links, conflicts, damage, leaders, versions of the configuration as they happen (SSE)",
        events,
      ),
      types: ["text/event-stream"],
    },
    {
      ...get("/cluster/repair", "Starts a scrub and a Merkle comparison with all owners", (call) =>
        startRepair(api, call),
      ),
      method: "post",
      answers: { 202: "see Location" },
    },
    get("/cluster/repair", "The last repair's progress", (call) => repairStatus(api, call)),
    get("/v1/operations/{id}", "Progress of long work: a repair of this node, any member's drain", (call, id) =>
      getOperation(api, call, id),
    ),
    get("/v1/partitions", "Owners, vectors, digests", (call) => listPartitions(api, call)),
    get("/v1/partitions/{id}", "One partition", (call, id) => getPartition(api, call, id)),
    get("/v1/dev/network", "Dev mode: what this node's drivers let through", (call) => getNetwork(api, call)),
    {
      ...get("/v1/dev/network", "Dev mode: cuts, delays and losses; {} heals everything", (call) =>
        putNetwork(api, call),
      ),
      method: "put",
      body: { [JSON_BODY]: networkSchema },
    },
  ];
}

function healthRoutes(api: Api): Route[] {
  const probes = (path: string, summary: string, handle: Route["handle"], query?: string[]): Route => ({
    method: "get",
    path,
    summary,
    answers: { 200: "yes", ...(query && { 503: "not now" }) },
    ...(query && { query }),
    handle,
  });
  return [
    ...["/health/live", "/livez"].map((path) => probes(path, "The event loop turns", (call) => live(api, call))),
    ...["/health/ready", "/readyz"].map((path) =>
      probes(path, "This node may be sent requests", (call) => ready(api, call), ["for"]),
    ),
  ];
}
