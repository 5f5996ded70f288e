import { name as nodeName } from "../../control/schemas.ts";
import { formatAddress } from "../../world/world.ts";
import { type Api, jsonResponse } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import { agree, checkWrite, clientAddressOf, elsewhere } from "../control.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";

/** `GET /cluster/leader`: whom this node takes for the leader. */
export function getLeader(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const { leader, term, node } = api.plane.status();
  if (leader === null)
    throw new ProblemError(
      "leader-unknown",
      "this node knows of no leader: an election is under way, or no majority of the voters answers. Data goes on without",
    );
  const address = clientAddressOf(api, leader);
  const region = api.plane.state?.members.get(leader)?.region ?? null;
  const view = { leader, term, region, client: address && formatAddress(address), self: leader === node };
  return jsonResponse(api, call, view);
}

/** `GET /cluster/consensus`: Raft as this node sees it. */
export function getConsensus(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const { plane } = api;
  const status = plane.status();
  const { node, state, reason, role, term, leader, voters, outgoingVoters, learners, indexes, followers } = status;
  const { proposalMs, saveMs, snapshotMs, ...figures } = status.figures;
  const settings = plane.state?.autopilot;
  return jsonResponse(api, call, {
    node,
    state,
    reason,
    role,
    term,
    leader,
    voters,
    outgoingVoters,
    learners,
    indexes: { ...indexes, snapshot: indexes.first - 1 },
    followers: followers.map((follower): View => ({ ...follower })),
    links: plane.links().map((link): View => ({ ...link })),
    figures: { ...figures, proposalMs: { ...proposalMs }, saveMs: { ...saveMs }, snapshotMs: { ...snapshotMs } },
    autopilot: settings ? { ...settings, advice: plane.advice } : null,
    config: { version: plane.state?.version ?? null, hash: plane.hash },
  });
}

/** `POST /cluster/snapshot`: of this node's own log. */
export async function takeSnapshot(api: Api, call: Call): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  const { index, bytes, isNew } = await api.plane.snapshot();
  return jsonResponse(api, call, { node: api.replica.node, index, bytes, isNew });
}

/** `PUT` and `DELETE /cluster/nodes/{id}/maintenance`: it keeps what it owns, and takes no traffic. */
export async function setMaintenance(api: Api, call: Call, id: string, on: boolean): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const member = check(nodeName, id, "bad-node-id");
  const version = await agree(api, call, { kind: "maintenance", member, on });
  return jsonResponse(api, call, { node: member, state: on ? "maintenance" : "active", version });
}
