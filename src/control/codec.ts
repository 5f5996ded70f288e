import { z } from "zod";
import { assert, InputError } from "../kernel/assert.ts";
import { compareText, equalBytes, fromUtf8, toHex, utf8 } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { Control, RecentCommand, Result } from "./apply.ts";
import { RECENT_MAX } from "./apply.ts";
import { type Command, commandSchema } from "./commands.ts";
import { REFUSALS, type Slug } from "./refusals.ts";
import {
  accessRoleSchema,
  apiTokenSchema,
  autopilotSchema,
  bucketPolicySchema,
  bucketSchema,
  clusterSchema,
  commandId,
  count,
  featureLevel,
  instance,
  joinTokenSchema,
  keyReferenceSchema,
  MAX,
  memberSchema,
  minOwners,
  partitionBits,
  removedSchema,
  timeMs,
} from "./schemas.ts";
import { type ControlState, LEVEL_KNOWN, sorted } from "./state.ts";

// Commands and states as bytes: JSON with its keys in order, whole numbers and no spaces, so that equal states have equal
// bytes on every node. What isn't written like that is refused, and so is every field that this version doesn't know: a
// node that kept or dropped it would go another way than those that understand it. A new field therefore comes with a
// higher feature level, and a node that meets a level above its own stops applying (`unknown-level`) until it is upgraded.

/** The longest command, the founding of a cluster, takes about a tenth of it. */
export const COMMAND_BYTES_MAX = 32_768;
export const STATE_BYTES_MAX: number = 4 * 2 ** 20;
/** State and recent commands. */
export const SNAPSHOT_BYTES_MAX: number = STATE_BYTES_MAX + 2 ** 20;

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export function canonicalJson(value: Json): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "number") {
    assert(Number.isSafeInteger(value), "canonical JSON has whole numbers only");
    return String(value);
  }
  if (value === null || typeof value === "boolean") return String(value);
  if (isList(value)) return `[${value.map(canonicalJson).join(",")}]`;
  const keys = Object.keys(value).sort(compareText);
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonicalJson(value[key] as Json)}`).join(",")}}`;
}

/** `Array.isArray` doesn't tell a readonly array from an object. */
function isList(value: object): value is readonly Json[] {
  return Array.isArray(value);
}

// ---- commands

export function encodeCommand(command: Command): Uint8Array {
  return utf8(canonicalJson(command));
}

/** Throws InputError: `bad-command`; `unknown-level` when it comes from a later version. */
export function decodeCommand(bytes: Uint8Array, levelKnown: number = LEVEL_KNOWN): Command {
  const raw = jsonIn(bytes, COMMAND_BYTES_MAX, "bad-command");
  mustKnowLevel("this command", raw.level, levelKnown);
  if (raw.kind === "finalize") mustKnowLevel("this command", raw.featureLevel, levelKnown);
  const command = parsed(commandSchema, raw, "bad-command");
  mustBeCanonical(encodeCommand(command), bytes, "bad-command");
  return command;
}

// ---- the state

const stateSchema = z.strictObject({
  version: count,
  cluster: clusterSchema,
  founding: instance,
  partitionBits,
  featureLevel,
  members: z.array(memberSchema).max(MAX.members),
  removed: z.strictObject({ ids: z.array(removedSchema).max(MAX.removed), floorMs: timeMs }),
  placement: z.strictObject({ kind: z.literal("everywhere"), minOwners }),
  buckets: z.array(bucketSchema).max(MAX.buckets),
  policies: z.array(bucketPolicySchema).max(MAX.policies),
  joinTokens: z.array(joinTokenSchema).max(MAX.joinTokens),
  roles: z.array(accessRoleSchema).max(MAX.roles),
  apiTokens: z.array(apiTokenSchema).max(MAX.apiTokens),
  keys: z.array(keyReferenceSchema).max(MAX.keys),
  autopilot: autopilotSchema,
});
type PlainState = z.infer<typeof stateSchema>;

/** Its tables as lists in order of their keys. */
function plainOf(state: ControlState): PlainState {
  return {
    ...state,
    members: sorted(state.members),
    removed: { ids: sorted(state.removed.ids), floorMs: state.removed.floorMs },
    buckets: sorted(state.buckets),
    policies: sorted(state.policies),
    joinTokens: sorted(state.joinTokens),
    roles: sorted(state.roles),
    apiTokens: sorted(state.apiTokens),
    keys: sorted(state.keys),
  };
}

function stateOf(plain: PlainState): ControlState {
  return {
    ...plain,
    members: new Map(plain.members.map((one) => [one.id, one])),
    removed: { ids: new Map(plain.removed.ids.map((one) => [one.id, one])), floorMs: plain.removed.floorMs },
    buckets: new Map(plain.buckets.map((one) => [one.bucket, one])),
    policies: new Map(plain.policies.map((one) => [one.bucket, one])),
    joinTokens: new Map(plain.joinTokens.map((one) => [one.token, one])),
    roles: new Map(plain.roles.map((one) => [one.role, one])),
    apiTokens: new Map(plain.apiTokens.map((one) => [one.token, one])),
    keys: new Map(plain.keys.map((one) => [one.key, one])),
  };
}

/** What a node that is behind pulls from another. Holds hashes of secrets: for members only. */
export function encodeState(state: ControlState): Uint8Array {
  return utf8(canonicalJson(plainOf(state)));
}

/** Throws InputError: `bad-state`; `unknown-level` when it comes from a later version. */
export function decodeState(bytes: Uint8Array, levelKnown: number = LEVEL_KNOWN): ControlState {
  const raw = jsonIn(bytes, STATE_BYTES_MAX, "bad-state");
  mustKnowLevel("this state", raw.featureLevel, levelKnown);
  const state = stateOf(parsed(stateSchema, raw, "bad-state"));
  mustBeCanonical(encodeState(state), bytes, "bad-state");
  return state;
}

/** SHA-256 of its bytes, in hex: equal states, equal hashes. */
export function hashOf(state: ControlState, sha256: Sha256): string {
  return toHex(sha256(encodeState(state)));
}

// ---- snapshots of the Raft log

const resultSchema = z.union([
  z.strictObject({ ok: z.literal(true), version: count }),
  z.strictObject({
    ok: z.literal(false),
    slug: z.enum(Object.keys(REFUSALS) as [Slug, ...Slug[]]),
    message: z.string().max(1000),
  }),
]);
const recentSchema = z.strictObject({
  entries: z.array(z.strictObject({ id: commandId, index: count, result: resultSchema })).max(RECENT_MAX),
  floor: count,
});
const snapshotSchema = z.strictObject({ state: stateSchema.nullable(), recent: recentSchema });

export function encodeControl({ state, recent }: Control): Uint8Array {
  const entries = recent.entries.map(({ id, index, result }) => ({ id, index, result: plainResult(result) }));
  const plain = { state: state && plainOf(state), recent: { entries, floor: recent.floor } };
  return utf8(canonicalJson(plain));
}

/** Throws InputError: `bad-state`; `unknown-level` when it comes from a later version. */
export function decodeControl(bytes: Uint8Array, levelKnown: number = LEVEL_KNOWN): Control {
  const raw = jsonIn(bytes, SNAPSHOT_BYTES_MAX, "bad-state");
  if (isRecord(raw.state)) mustKnowLevel("this snapshot", raw.state.featureLevel, levelKnown);
  const { state, recent } = parsed(snapshotSchema, raw, "bad-state");
  const entries = recent.entries.map(({ id, index, result }): RecentCommand => {
    return { id, index, result: result.ok ? result : { ...result, status: REFUSALS[result.slug] } };
  });
  const control = { state: state && stateOf(state), recent: { entries, floor: recent.floor } };
  mustBeCanonical(encodeControl(control), bytes, "bad-state");
  return control;
}

function plainResult(result: Result): Json {
  if (result.ok) return { ok: true, version: result.version };
  return { ok: false, slug: result.slug, message: result.message };
}

// ---- what is refused

function jsonIn(bytes: Uint8Array, bytesMax: number, slug: string): Record<string, unknown> {
  if (bytes.length > bytesMax) throw new InputError(slug, `${bytes.length} bytes: at most ${bytesMax} are taken`);
  const text = fromUtf8(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new InputError(slug, "these bytes are no JSON: they were damaged, or never were what they should be");
  }
  if (!isRecord(value)) throw new InputError(slug, "an object is expected");
  return value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function mustKnowLevel(what: string, level: unknown, levelKnown: number): void {
  if (typeof level === "number" && level > levelKnown)
    throw new InputError(
      "unknown-level",
      `${what} is of feature level ${level}, this version knows ${levelKnown}: upgrade this node, it can't follow until then`,
    );
}

function parsed<T>(schema: z.ZodType<T>, value: unknown, slug: string): T {
  const { success, data, error } = schema.safeParse(value);
  if (success) return data;
  const [issue] = error.issues;
  throw new InputError(slug, `${issue?.path.join(".") || "it"}: ${issue?.message.slice(0, 200)}`);
}

function mustBeCanonical(written: Uint8Array, read: Uint8Array, slug: string): void {
  if (!equalBytes(written, read)) throw new InputError(slug, "it is not written as this version writes it");
}
