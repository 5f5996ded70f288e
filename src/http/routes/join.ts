import { addressesSchema, type NewMember } from "../../control/schemas.ts";
import { type ControlState, LEVEL_KNOWN } from "../../control/state.ts";
import { toHex, utf8 } from "../../kernel/bytes.ts";
import { type Api, jsonResponse } from "../api.ts";
import type { Call } from "../call.ts";
import { check } from "../check.ts";
import { agree, checkWrite, elsewhere, mustBeCluster, readSmallJson, stateOf } from "../control.ts";
import { ProblemError } from "../problem.ts";
import { joinRequestSchema } from "../schemas.ts";

/** More first members than these are of no use: gossip tells the others. */
const SEEDS_MAX = 16;

/** `POST /cluster/join`: a token lets a node in. What it is told then, the salt too, it keeps with its data. */
export async function joinCluster(api: Api, call: Call): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const asked = check(joinRequestSchema, await readSmallJson(call), "bad-join");
  const member = memberOf(asked.node);
  mustBeCluster(api, asked.cluster);
  const token = asked.token.slice(0, asked.token.indexOf("."));
  const tokenHash = toHex(api.world.sha256(utf8(asked.token)));
  const replace = asked.replace === undefined ? null : { id: asked.replace, heardAtMs: heardAtMs(api, asked.replace) };
  const cluster = stateOf(api).cluster.name;
  try {
    const version = await agree(api, call, { kind: "join", cluster, token, tokenHash, member, replace });
    return welcome(api, call, member.id, version, 201);
  } catch (error) {
    const { version } = stateOf(api);
    if (!(error instanceof ProblemError && isRepeated(api, { slug: error.slug, token, member }))) throw error;
    api.world.log.info("join.answered-again", { member: member.id });
    return welcome(api, call, member.id, version, 200);
  }
}

function memberOf({
  id,
  region,
  zone,
  weight,
  addresses,
}: ReturnType<typeof joinRequestSchema.parse>["node"]): NewMember {
  const none = { client: null, gossip: null, peer: null };
  return {
    id,
    region,
    zone: zone ?? "",
    weight: weight ?? 100,
    addresses: check(addressesSchema, { ...none, ...addresses }, "bad-address"),
    protocol: { min: 1, max: LEVEL_KNOWN },
  };
}

/** Of one that was never heard of here we can only say that it was silent since we listen: a node that has just begun must
 *  not give away the place of one that lives. */
function heardAtMs(api: Api, id: string): number {
  return Math.max(0, Math.floor(api.plane.heardAtMs(id) ?? api.startedMs));
}

interface Attempt {
  readonly slug: string;
  readonly token: string;
  readonly member: NewMember;
}

/** Was the same asked before, and agreed, and only the answer lost? A token that is used up lets nobody else in: it must be
 *  the very node that it let in, which hasn't begun yet (it has claimed no log), and the token not expired or revoked since. */
function isRepeated(api: Api, { slug, token: id, member }: Attempt): boolean {
  if (slug !== "node-exists" && slug !== "token-used") return false;
  // Both are said of a token whose secret was right.
  const { members, joinTokens } = stateOf(api);
  const token = joinTokens.get(id);
  const known = members.get(member.id);
  if (!token || known?.state !== "joining" || known.instance !== null || token.usesLeft === token.uses) return false;
  if (token.expiresAtMs <= api.world.clock.wallMs() || (token.region ?? member.region) !== member.region) return false;
  return saidOf(known) === saidOf(member);
}

/** What a node said of itself when it came. */
function saidOf({ id, region, zone, weight, addresses }: NewMember): string {
  const { client, gossip, peer } = addresses;
  return JSON.stringify([id, region, zone, weight, client, gossip, peer]);
}

/** Only after the token was found good: the salt lets its holder in. */
function welcome(api: Api, call: Call, id: string, version: number, status: number): Response {
  const { cluster, partitionBits }: ControlState = stateOf(api);
  const view = {
    cluster: { id: cluster.id, name: cluster.name, salt: toHex(api.config.cluster.salt) },
    partitionBits,
    leafBits: api.replica.layout.leafBits,
    version,
    seeds: seedsFor(api, id),
  };
  return jsonResponse(api, call, view, { status, headers: { "cache-control": "no-store" } });
}

/** Where living members gossip, this one first: it is known to be reachable from there. */
function seedsFor(api: Api, id: string): string[] {
  const alive = api.members().filter((one) => one.state === "alive" && one.id !== id);
  const others = alive.filter((one) => one.id !== api.replica.node);
  const first = alive.filter((one) => one.id === api.replica.node);
  return [...first, ...others].slice(0, SEEDS_MAX).map(({ gossipAddress }) => gossipAddress);
}
