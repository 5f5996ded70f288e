import { autopilotSchema } from "../../control/schemas.ts";
import { viewOf } from "../../control/view.ts";
import { type Api, jsonResponse } from "../api.ts";
import { type Call, checkParameters, flagOf, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import {
  agree,
  checkWrite,
  elsewhere,
  isUnchanged,
  mayForward,
  notModified,
  readSmallJson,
  stateOf,
  timeoutOf,
  versionTag,
} from "../control.ts";

/** `GET /v1/config`: what this node knows to be agreed; with `?consistent` no older than what any node had acknowledged
 *  when it was asked, and 503 without a quorum. */
export async function getConfig(api: Api, call: Call): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["consistent", "timeoutMs", "watch"]);
  const isConsistent = flagOf(query, "consistent");
  const [timeoutMs] = [timeoutOf(call), mayForward(call)]; // wrong ones are told where they don't matter, too
  const other = isConsistent ? elsewhere(api, call) : null;
  if (other) return other;
  const state = isConsistent ? await api.plane.read(timeoutMs) : stateOf(api);
  const { version } = state;
  if (isUnchanged(call, version)) return notModified(api, call, version);
  const hash = state === api.plane.state ? api.plane.hash : null;
  const view = { version, hash, consistent: isConsistent, config: viewOf(state) };
  return jsonResponse(api, call, view, { headers: { etag: versionTag(version) } });
}

/** `PUT /v1/config/autopilot`: all of its settings at once. */
export async function putAutopilot(api: Api, call: Call): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const settings = check(autopilotSchema, await readSmallJson(call), "bad-autopilot");
  const version = await agree(api, call, { kind: "set-autopilot", settings });
  return jsonResponse(api, call, { version, autopilot: { ...settings } }, { headers: { etag: versionTag(version) } });
}
