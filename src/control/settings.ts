import type { CommandOf } from "./commands.ts";
import { refuse, type Slug } from "./refusals.ts";
import { type BucketPolicy, MAX, type SetPolicy } from "./schemas.ts";
import type { ControlState } from "./state.ts";

// Commands that set what is in force: of buckets, placement, autopilot, keys. As in members.ts.

function setPolicy(state: ControlState, command: CommandOf<"set-policy">, version: number): ControlState {
  const { bucket, policy, by, reason, atMs } = command;
  const old = state.policies.get(bucket);
  if (policy === null && !old?.policy)
    refuse("no-such-bucket", `bucket ${bucket} has no policy of its own: the default is in force`);
  const history = old ? [past(old), ...old.history].slice(0, MAX.policyHistory) : [];
  const next = { bucket, version, policy, by, reason, atMs, history };
  // A bucket that went back to the default is remembered for its history, until there is no room.
  const isFull = !old && state.policies.size >= MAX.policies;
  const table = isFull ? new Map([...state.policies].filter(([, { policy }]) => policy !== null)) : state.policies;
  return { ...state, policies: put(table, bucket, next, MAX.policies, "buckets with a policy") };
}

function past({ version, policy, by, reason, atMs }: BucketPolicy): SetPolicy {
  return { version, policy, by, reason, atMs };
}

function setBucket(state: ControlState, command: CommandOf<"set-bucket">, version: number): ControlState {
  const { bucket, settings } = command;
  if (settings === null)
    return { ...state, buckets: dropped(state.buckets, bucket, "no-such-bucket", `bucket ${bucket} has no settings`) };
  const next = { ...settings, bucket, version };
  return { ...state, buckets: put(state.buckets, bucket, next, MAX.buckets, "buckets with settings") };
}

function setPlacement(state: ControlState, { minOwners }: CommandOf<"set-placement">): ControlState {
  return { ...state, placement: { ...state.placement, minOwners } };
}

function setAutopilot(state: ControlState, { settings }: CommandOf<"set-autopilot">): ControlState {
  return { ...state, autopilot: settings };
}

function setKey(state: ControlState, { key, reference }: CommandOf<"set-key">): ControlState {
  if (reference === null) return { ...state, keys: dropped(state.keys, key, "no-such-key", `there is no key ${key}`) };
  return { ...state, keys: put(state.keys, key, { key, ...reference }, MAX.keys, "keys") };
}

export const SETTING_COMMANDS = {
  "set-policy": setPolicy,
  "set-bucket": setBucket,
  "set-placement": setPlacement,
  "set-autopilot": setAutopilot,
  "set-key": setKey,
};

export function put<V>(
  table: ReadonlyMap<string, V>,
  key: string,
  value: V,
  max: number,
  what: string,
): ReadonlyMap<string, V> {
  if (!table.has(key) && table.size >= max) refuse("table-full", `there are at most ${max} ${what}: remove one first`);
  return new Map(table).set(key, value);
}

export function dropped<V>(
  table: ReadonlyMap<string, V>,
  key: string,
  slug: Slug,
  otherwise: string,
): ReadonlyMap<string, V> {
  if (!table.has(key)) refuse(slug, otherwise);
  const left = new Map(table);
  left.delete(key);
  return left;
}
