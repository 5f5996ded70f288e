import { bucketName, type Policy, policySchema, type SetPolicy } from "../../control/schemas.ts";
import { sorted } from "../../control/state.ts";
import { type Api, baseHeaders, jsonResponse, rfc3339 } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import {
  agree,
  checkWrite,
  elsewhere,
  isUnchanged,
  notModified,
  readSmallJson,
  stateOf,
  versionTag,
} from "../control.ts";
import { POLICY } from "../etag.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";

/** What is in force where a bucket has no policy of its own. */
const DEFAULT: Policy = { show: POLICY.name };

/** `GET /v1/policies`: of the buckets that have one of their own, as this node has them. */
export function listPolicies(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const { version, policies } = stateOf(api);
  const own = sorted(policies).filter(({ policy }) => policy !== null);
  const view = own.map((one): View => ({ bucket: one.bucket, ...setView(one) }));
  return jsonResponse(api, call, { version, default: { ...DEFAULT }, policies: view });
}

/** `GET /v1/policies/{bucket}`: version 0 and the default where none was ever set. */
export function getPolicy(api: Api, call: Call, name: string): Response {
  checkParameters(parseQuery(call.search), []);
  const bucket = check(bucketName, name, "bad-bucket");
  const found = stateOf(api).policies.get(bucket);
  const version = found?.version ?? 0;
  if (isUnchanged(call, version)) return notModified(api, call, version);
  const isDefault = !found?.policy;
  const set = found ? setView(found) : { version, policy: null, by: null, reason: null, at: null };
  const view: View = { bucket, ...set, policy: { ...(found?.policy ?? DEFAULT) }, isDefault };
  return jsonResponse(api, call, view, { headers: { etag: versionTag(version) } });
}

/** `GET /v1/policies/{bucket}/history`: newest first, the one in force included. */
export function policyHistory(api: Api, call: Call, name: string): Response {
  checkParameters(parseQuery(call.search), []);
  const bucket = check(bucketName, name, "bad-bucket");
  const found = stateOf(api).policies.get(bucket);
  if (!found) throw new ProblemError("no-such-bucket", `bucket ${bucket} never had a policy of its own`);
  return jsonResponse(api, call, { bucket, history: [found, ...found.history].map(setView) });
}

export async function putPolicy(api: Api, call: Call, name: string): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const bucket = check(bucketName, name, "bad-bucket");
  const policy = check(policySchema, await readSmallJson(call), "bad-policy");
  const version = await agree(api, call, { kind: "set-policy", bucket, policy });
  const view = { bucket, version, policy: { ...policy } };
  return jsonResponse(api, call, view, { headers: { etag: versionTag(version) } });
}

/** Back to the default; the history stays. */
export async function deletePolicy(api: Api, call: Call, name: string): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const bucket = check(bucketName, name, "bad-bucket");
  const version = await agree(api, call, { kind: "set-policy", bucket, policy: null });
  return new Response(null, { status: 204, headers: { ...baseHeaders(api, call), etag: versionTag(version) } });
}

function setView({ version, policy, by, reason, atMs }: SetPolicy): { readonly [name: string]: View } {
  return { version, policy: policy && { ...policy }, by, reason, at: rfc3339(atMs) };
}
