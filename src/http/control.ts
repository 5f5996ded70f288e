import type { ControlState } from "../control/state.ts";
import { InputError } from "../kernel/assert.ts";
import type { Wish } from "../plane/api.ts";
import { type Address, formatAddress, parseAddress } from "../world/world.ts";
import { ANONYMOUS, type Api, baseHeaders } from "./api.ts";
import { checkType, mediaType, readBody } from "./body.ts";
import { type Call, checkParameters, integerOf, parseQuery } from "./call.ts";
import { parseTags } from "./etag.ts";
import { parseJson } from "./json.ts";
import { ProblemError } from "./problem.ts";
import { reasonOf } from "./writes.ts";

// What the calls about the cluster's configuration have in common.

/** Longer than two elections at the usual settings. */
const TIMEOUT_MS = 5_000;
/** As for data (levels.ts). */
const TIMEOUT_MS_MAX = 30_000;
/** Every body of these calls is small. */
const SMALL = { bytes: 4_096, slug: "body-too-large", setting: "of this call" } as const;

type Said = "by" | "reason" | "ifVersion";
type Without<W, K extends string> = W extends unknown ? Omit<W, K> : never;

/** What a call wants to be agreed on; who asks, why, and on what condition is said by its headers. */
export type Ask = Without<Wish, Said>;

/** The state as this node has it. Throws 404 `no-cluster` before it heard of one. */
export function stateOf(api: Api): ControlState {
  const { state } = api.plane;
  if (state === null) throw new ProblemError("no-cluster", "this node has heard of no configuration yet: try another");
  return state;
}

/** With who asks, why, and on what condition. @param ifVersion where the call names none */
export function wishOf(call: Call, ask: Ask, ifVersion: number | null = null): Wish {
  const reason = reasonOf(call.request.headers.get("starling-reason")) ?? null;
  return { ...ask, by: ANONYMOUS, reason, ifVersion: ifVersionOf(call) ?? ifVersion } as Wish;
}

/** A call that names a cluster must have come to it: names are for that. */
export function mustBeCluster(api: Api, name: string | undefined): void {
  const { cluster } = stateOf(api);
  if (name === undefined || name === cluster.name) return;
  const message = `this is cluster ${cluster.name}, not ${name}: check the address that was asked`;
  throw new ProblemError("wrong-cluster", message, { status: 409 });
}

/** Proposes it, wherever the leader is; answers the version that it made. Throws a ProblemError for what was refused. */
export async function agree(api: Api, call: Call, ask: Ask, ifVersion: number | null = null): Promise<number> {
  const result = await api.plane.propose(wishOf(call, ask, ifVersion), timeoutOf(call));
  if (!result.ok) throw new ProblemError(result.slug, result.message, { status: result.status });
  return result.version;
}

export function timeoutOf(call: Call): number {
  return integerOf(parseQuery(call.search), "timeoutMs", { min: 1, max: TIMEOUT_MS_MAX, otherwise: TIMEOUT_MS });
}

/** For writes: nothing but how long they may wait. */
export function checkWrite(call: Call): void {
  checkParameters(parseQuery(call.search), ["timeoutMs"]);
}

export async function readSmallJson(call: Call): Promise<unknown> {
  checkType(call, ["application/json"]);
  return parseJson(await readBody(call, SMALL));
}

/** {} where nothing was sent. */
export async function readSmallJsonIfAny(call: Call): Promise<unknown> {
  if (mediaType(call.request) === "" && (await readBody(call, SMALL)).length === 0) return {};
  return readSmallJson(call);
}

export function versionTag(version: number): string {
  return `"${version}"`;
}

/** `If-Match`, which names one version; null where it isn't sent. Throws InputError `bad-etag`. */
function ifVersionOf({ request }: Call): number | null {
  const header = request.headers.get("if-match");
  const hint = 'If-Match takes the one ETag that a read gave, such as "42"; "0" stands for what was never set';
  if (request.headers.has("if-none-match"))
    throw new InputError("bad-etag", `If-None-Match is for reads here: ${hint}`);
  if (header === null) return null;
  const tags = parseTags(header);
  const [tag, ...others] = tags === "*" ? [] : tags;
  if (!tag || others.length > 0 || tag.isWeak || !/^\d{1,15}$/.test(tag.opaque)) throw new InputError("bad-etag", hint);
  return Number(tag.opaque);
}

/** Has the client this version already? */
export function isUnchanged({ request }: Call, version: number): boolean {
  const header = request.headers.get("if-none-match");
  if (header === null) return false;
  const tags = parseTags(header);
  return tags === "*" || tags.some(({ opaque }) => opaque === String(version));
}

export function notModified(api: Api, call: Call, version: number): Response {
  return new Response(null, { status: 304, headers: { ...baseHeaders(api, call), etag: versionTag(version) } });
}

/** Throws InputError `bad-forward`. */
export function mayForward({ request }: Call): boolean {
  const forward = request.headers.get("starling-forward") ?? "yes";
  if (forward !== "yes" && forward !== "no") throw new InputError("bad-forward", "Starling-Forward is yes or no");
  return forward === "yes";
}

/** With `Starling-Forward: no` on a node that doesn't lead: where the client should ask. Null: go on here. Throws 503
 *  `no-leader`. */
export function elsewhere(api: Api, call: Call): Response | null {
  if (mayForward(call)) return null;
  const { leader, role } = api.plane.status();
  if (role === "leader") return null;
  if (leader === null) throw new ProblemError("no-leader", "the group has no leader now: try again");
  const address = clientAddressOf(api, leader);
  if (address === null)
    throw new ProblemError(
      "no-leader",
      `${leader} leads, but gossip hasn't told yet where clients reach it: try again`,
    );
  const query = call.search === "" ? "" : `?${call.search}`;
  const location = `http://${formatAddress(address)}${call.path}${query}`;
  return new Response(null, { status: 307, headers: { ...baseHeaders(api, call), location } });
}

/** Where gossip says that clients reach a node; what is no address is as if nobody had said it. */
export function clientAddressOf(api: Api, node: string): Address | null {
  const told = api
    .members()
    .find(({ id }) => id === node)
    ?.meta.get("client");
  if (told === undefined) return null;
  try {
    const address = parseAddress(told);
    return address.port === 0 ? null : address;
  } catch (error) {
    if (error instanceof InputError) return null;
    throw error;
  }
}
