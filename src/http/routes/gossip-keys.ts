import { parseAesKey } from "../../kernel/aead.ts";
import { InputError } from "../../kernel/assert.ts";
import { fromBase64, toHex } from "../../kernel/bytes.ts";
import { Unavailable } from "../../replication/api.ts";
import { type Api, jsonResponse } from "../api.ts";
import { checkType, readJson } from "../body.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { check } from "../check.ts";
import type { GossipKeyReport } from "../deps.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { gossipKeySchema } from "../schemas.ts";

const FINGERPRINT_BYTES = 8;
const MAX_BODY_BYTES = 4096;
const NO_KEY = new Uint8Array(0);

/** `GET /cluster/gossip/keys`: which keys how many members hold, by fingerprint: what is shown is often logged. */
export async function listGossipKeys(api: Api, call: Call): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  return jsonResponse(api, call, viewOf(api, await ask(api, "list", NO_KEY)));
}

/** `POST /cluster/gossip/keys`: install, use or remove a key on all members. */
export async function changeGossipKeys(api: Api, call: Call): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  checkType(call, ["application/json"]);
  const { operation, key } = check(gossipKeySchema, await readJson(call, MAX_BODY_BYTES), "bad-gossip-keys");
  const bytes = parseAesKey(key);
  return jsonResponse(api, call, {
    key: fingerprintOf(api, bytes),
    ...viewOf(api, await ask(api, operation, bytes)),
  });
}

async function ask(
  api: Api,
  operation: "list" | "install" | "use" | "remove",
  key: Uint8Array,
): Promise<GossipKeyReport> {
  if (api.config.gossip.keys.length === 0)
    throw new ProblemError(
      "gossip-not-encrypted",
      "gossip is not encrypted here: give all nodes the same gossip.keys (`starling keys generate` makes one) and restart them",
    );
  const report = await api.gossipKeys(operation, key);
  if (report.members === 0) throw new Unavailable("gossip-busy", "other key changes are under way; try again shortly");
  return report;
}

/** `complete`: every member has answered, and none refused. */
function viewOf(api: Api, { members, answers }: GossipKeyReport): { readonly [name: string]: View } {
  const held = new Map<string, { members: number; using: number }>();
  const refused: View[] = [];
  for (const [node, { ok, message, keys, primaryKey }] of answers) {
    if (!ok) refused.push({ node, reason: message });
    for (const key of keys) {
      const print = printOf(api, key);
      const entry = held.get(print) ?? { members: 0, using: 0 };
      held.set(print, { members: entry.members + 1, using: entry.using + (key === primaryKey ? 1 : 0) });
    }
  }
  const alive = api.members().filter(({ state }) => state === "alive" || state === "suspect");
  const silent = alive.map(({ id }) => id).filter((id) => !answers.has(id));
  return {
    complete: answers.size >= members && refused.length === 0,
    members,
    answered: answers.size,
    silent,
    refused,
    keys: [...held].map(([key, counts]) => ({ key, ...counts })),
  };
}

/** Of what a member calls a key. */
function printOf(api: Api, key: string): string {
  try {
    return fingerprintOf(api, fromBase64(key));
  } catch (error) {
    if (error instanceof InputError) return "unreadable";
    throw error;
  }
}

function fingerprintOf(api: Api, key: Uint8Array): string {
  return toHex(api.world.sha256(key).subarray(0, FINGERPRINT_BYTES));
}
