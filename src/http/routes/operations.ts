import type { PartitionStatus, RepairProgress, ReplicaStatus } from "../../replication/api.ts";
import { type Api, jsonResponse, rfc3339, vectorView } from "../api.ts";
import { checkType, readJson } from "../body.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { networkSchema } from "../schemas.ts";
import { operationOf } from "./leaving.ts";

/** `POST /cluster/repair`: 202, with where to look for progress. */
export function startRepair(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const progress = api.replica.repair();
  const headers = { location: `/v1/operations/${progress.id}` };
  return jsonResponse(api, call, repairView(progress), { status: 202, headers });
}

/** `GET /cluster/repair`: the last one's progress. */
export function repairStatus(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const progress = api.replica.repairProgress();
  if (!progress)
    throw new ProblemError("not-found", "no repair ran since this node started: POST /cluster/repair starts one");
  return jsonResponse(api, call, repairView(progress));
}

/** `GET /v1/operations/{id}`: a repair of this node's, or any member's drain. */
export function getOperation(api: Api, call: Call, id: string): Response {
  checkParameters(parseQuery(call.search), []);
  const drain = operationOf(api, id);
  if (drain) return jsonResponse(api, call, drain);
  const progress = api.replica.repairProgress();
  if (progress?.id !== id)
    throw new ProblemError("not-found", "no such operation at this node: it is forgotten when a new one starts");
  return jsonResponse(api, call, repairView(progress));
}

function repairView(progress: RepairProgress): View {
  const { id, state, startedMs, finishedMs, problems } = progress;
  return {
    id,
    kind: "repair",
    state,
    started: rfc3339(startedMs),
    finished: finishedMs === null ? null : rfc3339(finishedMs),
    progress: { done: progress.partitionsDone, total: progress.partitionsTotal, unit: "partitions" },
    damagedLeaves: progress.damagedLeaves,
    healedLeaves: progress.healedLeaves,
    repairedRows: progress.repairedRows,
    problems,
  };
}

// ---- partitions

/** `GET /v1/partitions`. */
export function listPartitions(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const status = api.replica.status();
  return jsonResponse(api, call, { partitions: status.partitions.map((partition) => partitionView(api, partition)) });
}

export function getPartition(api: Api, call: Call, id: string): Response {
  checkParameters(parseQuery(call.search), []);
  const status: ReplicaStatus = api.replica.status();
  const partition = status.partitions.find((one) => String(one.partition) === id);
  if (!partition) throw new ProblemError("not-found", `there are partitions 0 to ${status.partitions.length - 1}`);
  return jsonResponse(api, call, partitionView(api, partition));
}

function partitionView(api: Api, partition: PartitionStatus): View {
  return {
    partition: partition.partition,
    bits: api.replica.layout.partitionBits,
    owners: api.replica.owners.all.map(({ id }) => id),
    records: partition.records,
    digest: partition.digest,
    vector: vectorView(partition.vector),
    floor: vectorView(partition.floor),
    damagedLeaves: partition.damagedLeaves,
  };
}

// ---- dev mode

function devNetwork(api: Api): NonNullable<Api["network"]> {
  if (!api.config.dev || !api.network) throw new ProblemError("not-found", "this call is offered in dev mode only");
  return api.network;
}

/** `GET /v1/dev/network`: what this node's drivers let through. */
export function getNetwork(api: Api, call: Call): Response {
  const network = devNetwork(api);
  checkParameters(parseQuery(call.search), []);
  return networkResponse(api, call, network);
}

/** `PUT /v1/dev/network`: replaces all rules at once; {} heals everything. */
export async function putNetwork(api: Api, call: Call): Promise<Response> {
  const network = devNetwork(api);
  checkParameters(parseQuery(call.search), []);
  checkType(call, ["application/json"]);
  const { cut, delayMs, lossPercent } = check(
    networkSchema,
    await readJson(call, MAX_RULES_BYTES),
    "bad-network-rules",
  );
  const known = new Set<string>(api.replica.owners.regions.values());
  for (const region of (cut ?? []).flat())
    if (!known.has(region))
      throw new ProblemError(
        "unknown-region",
        `there is no region ${JSON.stringify(region.slice(0, 40))}; there are ${[...known].join(", ")}`,
      );
  network.apply({ cut: cut ?? [], delayMs: delayMs ?? {}, lossPercent: lossPercent ?? 0 });
  return networkResponse(api, call, network);
}

const MAX_RULES_BYTES = 65_536;

function networkResponse(api: Api, call: Call, network: NonNullable<Api["network"]>): Response {
  const { cut, delayMs, lossPercent } = network.rules();
  const loss: View = typeof lossPercent === "number" ? lossPercent : new Map(Object.entries(lossPercent));
  return jsonResponse(api, call, { cut, delayMs: new Map(Object.entries(delayMs)), lossPercent: loss });
}
