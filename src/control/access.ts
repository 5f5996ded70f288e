import type { CommandOf } from "./commands.ts";
import { refuse } from "./refusals.ts";
import { MAX, TOKEN_LIFE_MS_MAX } from "./schemas.ts";
import { dropped, put } from "./settings.ts";
import { type ControlState, sorted } from "./state.ts";

// Commands about who may join and who may do what. Of secrets only the hashes come here. As in members.ts.

interface Expiring {
  readonly expiresAtMs: number;
}

function tokenCreate(state: ControlState, command: CommandOf<"token-create">): ControlState {
  const { token, hash, uses, region, expiresAtMs, by, atMs } = command;
  mayExpire(expiresAtMs, atMs);
  if (state.joinTokens.has(token)) refuse("token-exists", `there is a join token ${token}: draw another id`);
  const next = { token, hash, uses, usesLeft: uses, region, expiresAtMs, by, atMs };
  const joinTokens = put(unexpired(state.joinTokens, atMs), token, next, MAX.joinTokens, "join tokens");
  return { ...state, joinTokens };
}

function tokenRevoke(state: ControlState, { token }: CommandOf<"token-revoke">): ControlState {
  return { ...state, joinTokens: dropped(state.joinTokens, token, "no-such-token", `there is no join token ${token}`) };
}

function setRole(state: ControlState, { role, grants }: CommandOf<"set-role">): ControlState {
  if (grants !== null) return { ...state, roles: put(state.roles, role, { role, grants }, MAX.roles, "roles") };
  const holder = sorted(state.apiTokens).find(({ roles }) => roles.includes(role));
  if (holder) refuse("role-in-use", `token ${holder.token} has role ${role}: revoke it first`);
  return { ...state, roles: dropped(state.roles, role, "no-such-role", `there is no role ${role}`) };
}

function apiTokenCreate(state: ControlState, command: CommandOf<"api-token-create">): ControlState {
  const { token, hash, label, roles, expiresAtMs, by, atMs } = command;
  mayExpire(expiresAtMs, atMs);
  if (state.apiTokens.has(token)) refuse("token-exists", `there is a token ${token}: draw another id`);
  for (const role of roles)
    if (!state.roles.has(role)) refuse("no-such-role", `there is no role ${role}: make it before a token has it`);
  const next = { token, hash, label, roles, expiresAtMs, by, atMs };
  return { ...state, apiTokens: put(unexpired(state.apiTokens, atMs), token, next, MAX.apiTokens, "tokens") };
}

function apiTokenRevoke(state: ControlState, { token }: CommandOf<"api-token-revoke">): ControlState {
  return { ...state, apiTokens: dropped(state.apiTokens, token, "no-such-token", `there is no token ${token}`) };
}

export const ACCESS_COMMANDS = {
  "token-create": tokenCreate,
  "token-revoke": tokenRevoke,
  "set-role": setRole,
  "api-token-create": apiTokenCreate,
  "api-token-revoke": apiTokenRevoke,
};

function mayExpire(expiresAtMs: number, atMs: number): void {
  const lifeMs = expiresAtMs - atMs;
  if (lifeMs <= 0 || lifeMs > TOKEN_LIFE_MS_MAX)
    refuse("bad-expiry", "a token expires after it was made, and within 366 days");
}

/** Expired ones are forgotten when the next one is made. */
function unexpired<V extends Expiring>(table: ReadonlyMap<string, V>, atMs: number): ReadonlyMap<string, V> {
  return new Map([...table].filter(([, { expiresAtMs }]) => expiresAtMs > atMs));
}
