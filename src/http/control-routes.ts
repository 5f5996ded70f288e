import { autopilotSchema, policySchema } from "../control/schemas.ts";
import type { Api } from "./api.ts";
import { putAutopilot } from "./routes/config.ts";
import { makeConfigReader } from "./routes/config-watch.ts";
import { getConsensus, getLeader, setMaintenance, takeSnapshot } from "./routes/consensus.ts";
import { joinCluster } from "./routes/join.ts";
import { createToken, listTokens, revokeToken } from "./routes/join-tokens.ts";
import {
  cancelDrain,
  cancelOperation,
  leaveCluster,
  removeByName,
  removeNode,
  startLeaving,
} from "./routes/leaving.ts";
import { deletePolicy, getPolicy, listPolicies, policyHistory, putPolicy } from "./routes/policies.ts";
import type { Method, Route } from "./routes.ts";
import { joinRequestSchema, joinTokenRequestSchema, leaveSchema, ofClusterSchema, removeSchema } from "./schemas.ts";

const JSON_BODY = "application/json";
const REFUSED = {
  307: "with Starling-Forward: no, at a node that doesn't lead: the leader's address",
  503: "no leader, or no quorum: see Retry-After",
  504: "`outcome-unknown`: nobody can say whether it was done",
};

/** What the cluster agrees on. A write may be sent to any node; the leader is found from there. */
export function controlRoutes(api: Api): Route[] {
  return [...consensusRoutes(api), ...lifeRoutes(api), ...configRoutes(api), ...policyRoutes(api), ...tokenRoutes(api)];
}

function get(path: string, summary: string, handle: Route["handle"]): Route {
  return { method: "get", path, summary, answers: { 200: summary }, handle };
}

/** A change: how long it may take, why, and on what version. */
function change(method: Method, path: string, summary: string, handle: Route["handle"]): Route {
  const headers = ["If-Match", "Starling-Reason", "Starling-Forward"];
  const answers = { 200: summary, 412: "`version-mismatch`", ...REFUSED };
  return { method, path, summary, query: ["timeoutMs"], headers, answers, handle };
}

function consensusRoutes(api: Api): Route[] {
  const maintenance = "/cluster/nodes/{id}/maintenance";
  return [
    {
      ...get("/cluster/leader", "Who leads, as this node knows", (call) => getLeader(api, call)),
      answers: { 200: "leader, term and where clients reach it", 404: "`leader-unknown`" },
    },
    get("/cluster/consensus", "Raft as this node sees it: role, group, indexes, lag, figures, autopilot", (call) =>
      getConsensus(api, call),
    ),
    {
      ...get("/cluster/snapshot", "Saves this node's state in the place of its log", (call) => takeSnapshot(api, call)),
      method: "post",
    },
    change("put", maintenance, "It keeps what it owns, and takes no traffic", (call, id) =>
      setMaintenance(api, call, id, true),
    ),
    change("delete", maintenance, "Back to work", (call, id) => setMaintenance(api, call, id, false)),
  ];
}

function lifeRoutes(api: Api): Route[] {
  const node = "/cluster/nodes/{id}";
  const going = { 409: "with every obstacle in `obstacles`", ...REFUSED };
  const handover = {
    query: ["timeoutMs", "dryRun"],
    body: { [JSON_BODY]: ofClusterSchema },
    answers: { 200: "?dryRun: `obstacles`, and what would happen", 202: "it hands over: see Location", ...going },
  };
  const removal = { 200: "what may be lost with it", ...going };
  return [
    {
      ...change("post", "/cluster/join", "Lets a node in that shows a join token", (call) => joinCluster(api, call)),
      body: { [JSON_BODY]: joinRequestSchema },
      answers: {
        200: "the same request was answered before: the answer again",
        201: "what the node keeps: cluster id, name and salt, and whom it may ask first",
        403: "`bad-token`, `token-expired`, `token-used`, `token-region`",
        409: "`node-exists`, `node-removed`, `node-lives`, `address-taken`, `wrong-cluster`",
        ...REFUSED,
      },
    },
    {
      ...change("post", "/cluster/leave", "A member hands over and leaves", (call) => leaveCluster(api, call)),
      body: { [JSON_BODY]: leaveSchema },
      answers: { 200: "it owned nothing: it left", 202: "it hands over: see Location", ...going },
    },
    {
      ...change(
        "delete",
        "/cluster/leave/{id}",
        "As POST /cluster/nodes/{id}/remove, the cluster as a parameter",
        (call, id) => removeByName(api, call, id),
      ),
      query: ["cluster", "timeoutMs", "dryRun", "evenAlive"],
      answers: removal,
    },
    {
      ...change("post", `${node}/drain`, "It takes nothing new, hands over, and leaves", (call, id) =>
        startLeaving(api, call, "drain", id),
      ),
      ...handover,
    },
    change("delete", `${node}/drain`, "It stays after all; of a decommission, too", (call, id) =>
      cancelDrain(api, call, id),
    ),
    {
      ...change("post", `${node}/decommission`, "It takes nothing new, hands over, and is removed", (call, id) =>
        startLeaving(api, call, "decommission", id),
      ),
      ...handover,
    },
    {
      ...change(
        "post",
        `${node}/remove`,
        "Removes a member that is lost, and says what may be lost with it",
        (call, id) => removeNode(api, call, id),
      ),
      query: ["timeoutMs", "dryRun", "evenAlive"],
      body: { [JSON_BODY]: removeSchema },
      answers: removal,
    },
    change("delete", "/v1/operations/{id}", "Cancels a drain that is under way", (call, id) =>
      cancelOperation(api, call, id),
    ),
  ];
}

function configRoutes(api: Api): Route[] {
  return [
    {
      ...get("/v1/config", "What is agreed, without secrets", makeConfigReader(api)),
      summary:
        "What is agreed, without secrets. With ?watch every version after `since` (or Last-Event-ID), once and in order, as SSE: `version` with its differences, or `reset` with the whole",
      query: ["consistent", "timeoutMs", "watch", "since"],
      headers: ["If-None-Match", "Last-Event-ID", "Starling-Forward"],
      answers: { 200: "{version, hash, config}", 304: "unchanged", ...REFUSED },
      types: [JSON_BODY, "text/event-stream"],
    },
    {
      ...change("put", "/v1/config/autopilot", "How autopilot looks after voters", (call) => putAutopilot(api, call)),
      body: { [JSON_BODY]: autopilotSchema },
    },
  ];
}

function policyRoutes(api: Api): Route[] {
  const path = "/v1/policies/{bucket}";
  return [
    get("/v1/policies", "Buckets that have a policy of their own", (call) => listPolicies(api, call)),
    {
      ...get(path, "The policy in force for a bucket", (call, bucket) => getPolicy(api, call, bucket)),
      headers: ["If-None-Match"],
    },
    get(`${path}/history`, "The last policies of a bucket, newest first", (call, bucket) =>
      policyHistory(api, call, bucket),
    ),
    {
      ...change("put", path, "Sets a bucket's policy", (call, bucket) => putPolicy(api, call, bucket)),
      body: { [JSON_BODY]: policySchema },
    },
    {
      ...change("delete", path, "Back to the default", (call, bucket) => deletePolicy(api, call, bucket)),
      answers: { 204: "the default is in force", 404: "`no-such-bucket`", 412: "`version-mismatch`", ...REFUSED },
    },
  ];
}

function tokenRoutes(api: Api): Route[] {
  const path = "/cluster/tokens";
  return [
    get(path, "Join tokens, without their secrets", (call) => listTokens(api, call)),
    {
      ...change("post", path, "Makes a join token", (call) => createToken(api, call)),
      body: { [JSON_BODY]: joinTokenRequestSchema },
      answers: { 201: "the secret, shown this once", ...REFUSED },
    },
    {
      ...change("delete", `${path}/{id}`, "Revokes a join token", (call, id) => revokeToken(api, call, id)),
      answers: { 204: "it lets nobody in any more", 404: "`no-such-token`", ...REFUSED },
    },
  ];
}
