import type { Going, Obstacle } from "../../control/checks.ts";
import { name as nodeName } from "../../control/schemas.ts";
import { type Api, jsonResponse, rfc3339 } from "../api.ts";
import { type Call, checkParameters, flagOf, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import {
  type Ask,
  agree,
  checkWrite,
  elsewhere,
  mustBeCluster,
  readSmallJson,
  readSmallJsonIfAny,
  stateOf,
  wishOf,
} from "../control.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { leaveSchema, ofClusterSchema, removeSchema } from "../schemas.ts";

// How members go: by handing over first (drain, decommission, leave), or by force (remove).

type Tree = { readonly [name: string]: View | undefined };

// ---- handing over

/** `POST /cluster/nodes/{id}/drain` and `…/decommission`: 202, with where to look for progress. */
export async function startLeaving(
  api: Api,
  call: Call,
  going: "drain" | "decommission",
  id: string,
): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["timeoutMs", "dryRun"]);
  const other = elsewhere(api, call);
  if (other) return other;
  const member = check(nodeName, id, "bad-node-id");
  const { cluster } = check(ofClusterSchema, await readSmallJsonIfAny(call), "bad-drain");
  mustBeCluster(api, cluster);
  return beginLeaving(api, call, going, member, flagOf(query, "dryRun"));
}

async function beginLeaving(
  api: Api,
  call: Call,
  going: "drain" | "decommission",
  member: string,
  dryRun: boolean,
): Promise<Response> {
  const cluster = stateOf(api).cluster.name;
  const ask: Ask = going === "drain" ? { kind: "drain", member } : { kind: "decommission", member, cluster };
  if (dryRun) {
    const outcome = `${member} would take nothing new, hand over what only it has, and ${LAST_STEP[going]}`;
    return jsonResponse(api, call, dryView(member, obstaclesNow(api, call, ask, going), { outcome }));
  }
  const version = await agreeToGo(api, call, ask, going);
  const headers = { location: `/v1/operations/${PREFIX}${member}` };
  const view = operationOf(api, `${PREFIX}${member}`) ?? { node: member };
  return jsonResponse(api, call, { ...view, version }, { status: 202, headers });
}

const LAST_STEP = { drain: "leave the cluster then", decommission: "be removed then" } as const;

/** `DELETE /cluster/nodes/{id}/drain`, of a decommission too. */
export async function cancelDrain(api: Api, call: Call, id: string): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const member = check(nodeName, id, "bad-node-id");
  const version = await agree(api, call, { kind: "drain-cancel", member });
  return jsonResponse(api, call, { node: member, state: "active", version });
}

/** `POST /cluster/leave`: one that owns nothing yet leaves at once; any other hands over first. Both names are in the body:
 *  a request through a balancer must not take out whoever it lands on. */
export async function leaveCluster(api: Api, call: Call): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const { node, cluster } = check(leaveSchema, await readSmallJson(call), "bad-leave");
  mustBeCluster(api, cluster);
  const { members, version: seen } = stateOf(api);
  if (members.get(node)?.state !== "joining") return beginLeaving(api, call, "drain", node, false);
  // Only if it still owns nothing when that is agreed.
  const ask: Ask = { kind: "leave", member: node, cluster };
  const version = await agreeToGo(api, call, ask, "leave", seen);
  return jsonResponse(api, call, { node, state: "left", version });
}

// ---- by force

/** `POST /cluster/nodes/{id}/remove`: says what may be lost with it. */
export async function removeNode(api: Api, call: Call, id: string): Promise<Response> {
  return remove(api, call, id, async () => check(removeSchema, await readSmallJson(call), "bad-removal").cluster);
}

/** `DELETE /cluster/leave/{id}?cluster=`: the same by another name. */
export async function removeByName(api: Api, call: Call, id: string): Promise<Response> {
  const cluster = parseQuery(call.search).get("cluster");
  return remove(api, call, id, async () => check(removeSchema, { cluster }, "bad-removal").cluster, ["cluster"]);
}

async function remove(
  api: Api,
  call: Call,
  id: string,
  clusterOf: () => Promise<string>,
  more: readonly string[] = [],
): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["timeoutMs", "dryRun", "evenAlive", ...more]);
  const other = elsewhere(api, call);
  if (other) return other;
  const member = check(nodeName, id, "bad-node-id");
  const cluster = await clusterOf();
  mustBeCluster(api, cluster);
  const ask: Ask = { kind: "remove", member, cluster };
  const living = flagOf(query, "evenAlive") ? [] : livingOf(api, member);
  const mayBeLost = lossOf(api, member);
  if (flagOf(query, "dryRun")) {
    const obstacles = [...obstaclesNow(api, call, ask, "remove"), ...living];
    return jsonResponse(api, call, dryView(member, obstacles, { mayBeLost }));
  }
  if (living.length > 0 && stateOf(api).members.has(member)) throw refusedBy(living);
  const version = await agreeToGo(api, call, ask, "remove");
  return jsonResponse(api, call, { removed: member, mayBeLost, version });
}

function livingOf(api: Api, id: string): Obstacle[] {
  const state = api.members().find((member) => member.id === id)?.state;
  // A suspect may refute yet.
  if (state !== "alive" && state !== "suspect") return [];
  const message = `gossip holds ${id} for ${state}: drain it, so that nothing is lost; with evenAlive it is removed all the same`;
  return [{ slug: "node-lives", message }];
}

/** What only that member may have, as far as this node can tell. */
function lossOf(api: Api, id: string): Tree {
  const heardAtMs = api.plane.heardAtMs(id);
  const peer = api.replica.status().peers.find(({ node }) => node === id);
  const entriesKnownMissing = peer?.behindEntries ?? null;
  const { node } = api.replica;
  const lacks =
    entriesKnownMissing === null
      ? `${node} can't tell how far it had come with ${id}`
      : `${node} knows of ${entriesKnownMissing} entries that ${id} has and it lacks`;
  const since =
    heardAtMs === null ? `it never heard of ${id} as alive` : `it last heard of ${id} at ${rfc3339(heardAtMs)}`;
  const sentence = `${lacks}; ${since}: writes that ${id} took and passed on to nobody are lost with it, unless its data comes back`;
  return { lastHeardAt: heardAtMs === null ? null : rfc3339(heardAtMs), entriesKnownMissing, sentence };
}

// ---- obstacles

function dryView(node: string, obstacles: readonly Obstacle[], more: Tree): Tree {
  return {
    node,
    dryRun: true,
    possible: obstacles.length === 0,
    obstacles: obstacles.map((one) => ({ ...one })),
    ...more,
  };
}

/** All that speak against it, with what the command itself would be refused for. Throws a ProblemError for what is no
 *  obstacle but a mistake: an unknown node, another version. */
function obstaclesNow(api: Api, call: Call, ask: Ask, going: Going): readonly Obstacle[] {
  const { member } = ask as { readonly member: string };
  const result = api.plane.preview(wishOf(call, ask));
  if (!result.ok && result.status !== 409)
    throw new ProblemError(result.slug, result.message, { status: result.status });
  const found = isUnderWay(api, member) ? [] : api.plane.obstacles(going, member);
  if (result.ok || found.some(({ slug }) => slug === result.slug)) return found;
  return [{ slug: result.slug, message: result.message }, ...found];
}

/** As `agree`. Refused with every obstacle, not the first alone; the leader asks beforehand what only it knows. */
async function agreeToGo(api: Api, call: Call, ask: Ask, going: Going, ifVersion?: number): Promise<number> {
  const { member } = ask as { readonly member: string };
  const leads = api.plane.status().role === "leader" && stateOf(api).members.has(member) && !isUnderWay(api, member);
  const found = leads ? api.plane.obstacles(going, member) : [];
  if (found.length > 0) throw refusedBy(found);
  try {
    return await agree(api, call, ask, ifVersion);
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    const all = stateOf(api).members.has(member) ? api.plane.obstacles(going, member) : [];
    throw all.some(({ slug }) => slug === error.slug) ? refusedBy(all) : error;
  }
}

/** What holds for its beginning was asked when it began. */
function isUnderWay(api: Api, id: string): boolean {
  return stateOf(api).members.get(id)?.state === "draining";
}

function refusedBy(obstacles: readonly Obstacle[]): ProblemError {
  const [first] = obstacles;
  const message = obstacles.map((one) => one.message).join("; ");
  return new ProblemError(first?.slug ?? "refused", message, { status: 409, members: { obstacles } });
}

// ---- progress

const PREFIX = "drain-";

/** What a draining member still has to hand over: known to itself alone. Null for one that stays. */
export function departureOf(api: Api, id: string): Tree | null {
  const member = api.plane.state?.members.get(id);
  if (member?.state !== "draining") return null;
  const lags = id === api.replica.node ? api.replica.status().peers.map(({ lagEntries }) => lagEntries) : null;
  return { lagEntries: lags && Math.max(0, ...lags) };
}

/** The operation of that id if it is a drain. Who it was that went is remembered with the agreed state, so any node can tell. */
export function operationOf(api: Api, id: string): Tree | null {
  const node = id.startsWith(PREFIX) ? id.slice(PREFIX.length) : "";
  const departure = departureOf(api, node);
  const member = api.plane.state?.members.get(node);
  if (member && departure)
    return {
      id,
      kind: member.afterDrain === "remove" ? "decommission" : "drain",
      state: "running",
      node,
      started: null,
      finished: null,
      progress: { lagEntries: departure.lagEntries ?? null },
      problems: [],
    };
  const former = member ? undefined : api.plane.state?.removed.ids.get(node);
  if (!former) return null;
  const isForced = former.how === "removed" || former.how === "replaced";
  return {
    id,
    kind: former.how === "decommissioned" ? "decommission" : "drain",
    state: isForced ? "failed" : "done",
    node,
    started: null,
    finished: rfc3339(former.atMs),
    progress: { lagEntries: isForced ? null : 0 },
    problems: isForced ? [`${node} was ${former.how} by ${former.by} before it had handed over`] : [],
  };
}

/** `DELETE /v1/operations/{id}`. */
export async function cancelOperation(api: Api, call: Call, id: string): Promise<Response> {
  const operation = operationOf(api, id);
  if (operation?.state === "running") return cancelDrain(api, call, id.slice(PREFIX.length));
  const isKnown = operation !== null || api.replica.repairProgress()?.id === id;
  if (!isKnown)
    throw new ProblemError("not-found", "no such operation at this node: see GET /cluster/nodes for drains");
  throw new ProblemError("not-cancellable", "only a drain that is under way can be cancelled", { status: 409 });
}
