import { type JoinToken, tokenId } from "../../control/schemas.ts";
import { sorted } from "../../control/state.ts";
import { toBase64Url, toHex, utf8 } from "../../kernel/bytes.ts";
import { type Api, baseHeaders, jsonResponse, rfc3339 } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import { agree, checkWrite, elsewhere, readSmallJson, stateOf } from "../control.ts";
import type { View } from "../json.ts";
import { joinTokenRequestSchema } from "../schemas.ts";

const ID_BYTES = 8;
const SECRET_BYTES = 32;
const HOUR_MS = 3_600_000;

/** `POST /cluster/tokens`: the secret is in this answer and nowhere else; its SHA-256 is what the cluster keeps. */
export async function createToken(api: Api, call: Call): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const asked = check(joinTokenRequestSchema, await readSmallJson(call), "bad-token-request");
  const { uses = 1, region = null, ttlMs = HOUR_MS } = asked;
  const { secretBytes, sha256, clock } = api.world;
  const token = toHex(secretBytes(ID_BYTES));
  const secret = `${token}.${toBase64Url(secretBytes(SECRET_BYTES))}`;
  const expiresAtMs = Math.floor(clock.wallMs()) + ttlMs;
  const hash = toHex(sha256(utf8(secret)));
  const version = await agree(api, call, { kind: "token-create", token, hash, uses, region, expiresAtMs });
  const view: View = { token, secret, uses, region, expiresAt: rfc3339(expiresAtMs), version };
  return jsonResponse(api, call, view, { status: 201, headers: { "cache-control": "no-store" } });
}

/** `GET /cluster/tokens`: without what would let anybody in. Expired ones stay until the next one is made. */
export function listTokens(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const { version, joinTokens } = stateOf(api);
  const nowMs = api.world.clock.wallMs();
  return jsonResponse(api, call, { version, tokens: sorted(joinTokens).map((one) => tokenView(one, nowMs)) });
}

function tokenView({ token, uses, usesLeft, region, expiresAtMs, by, atMs }: JoinToken, nowMs: number): View {
  const state = usesLeft === 0 ? "used" : expiresAtMs <= nowMs ? "expired" : "open";
  return { token, state, uses, usesLeft, region, expiresAt: rfc3339(expiresAtMs), by, at: rfc3339(atMs) };
}

export async function revokeToken(api: Api, call: Call, id: string): Promise<Response> {
  checkWrite(call);
  const other = elsewhere(api, call);
  if (other) return other;
  const token = check(tokenId, id, "bad-token-id");
  await agree(api, call, { kind: "token-revoke", token });
  return new Response(null, { status: 204, headers: baseHeaders(api, call) });
}
