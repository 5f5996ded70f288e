import { MAX, TOKEN_LIFE_MS_MAX } from "../../src/control/schemas.ts";
import { Cluster, MINUTE_MS, nodeNamed, START_MS } from "./cluster.ts";
import { type Case, DAY_MS, filled, four, HASH, refused, three, tokenFields, withToken } from "./refusal-case.ts";

const settings = { type: null, requiresContext: false, quotaBytes: null, historyMs: null };
const apiToken = { token: "key1", hash: HASH, label: "ci", roles: ["reader"], expiresAtMs: START_MS + DAY_MS };

export const ofRoles: readonly Case[] = [
  refused("last-voter", "the only voter is demoted", /promote/, () => new Cluster("eu", "us"), "demote", {
    member: "n1",
    to: "none",
  }),
  refused(
    "wrong-state",
    "who isn't in the group is demoted to learner",
    /promote/,
    () => three().join(nodeNamed("n4")),
    "demote",
    { member: "n4", to: "learner" },
  ),
  refused(
    "wrong-state",
    "a draining member shall vote",
    /draining/,
    () => four().ok("drain", { member: "n4" }),
    "promote",
    { member: "n4", to: "voter", instead: null },
  ),
  refused("wrong-state", "a voter is promoted to learner", /voter already/, three, "promote", {
    member: "n1",
    to: "learner",
    instead: null,
  }),
  refused("wrong-state", "who gives no vote has none", /n4 is no voter/, () => four(), "promote", {
    member: "n4",
    to: "voter",
    instead: "n4",
  }),
  refused(
    "no-instance",
    "who has claimed no log shall be in the group",
    /claimed/,
    () => three().joinUnclaimed(nodeNamed("n4")),
    "promote",
    { member: "n4", to: "learner", instead: null },
  ),
  refused(
    "too-many-voters",
    "there are as many as there may be",
    /instead of/,
    () => four().ok("set-autopilot", { settings: { on: true, deadAfterMs: 1000, stabiliseMs: 0, votersMax: 3 } }),
    "promote",
    { member: "n4", to: "voter", instead: null },
  ),
];

export const ofSettings: readonly Case[] = [
  refused("no-such-bucket", "there is no policy to take back", /default/, three, "set-policy", {
    bucket: "b",
    policy: null,
  }),
  refused("no-such-bucket", "there are no settings to take back", /b has/, three, "set-bucket", {
    bucket: "b",
    settings: null,
  }),
  refused("no-such-key", "there is no key", /k/, three, "set-key", { key: "k", reference: null }),
  refused(
    "table-full",
    "every bucket has a policy",
    /256 buckets/,
    () => filled(three(), MAX.policies, "set-policy", (i) => ({ bucket: `b${i}`, policy: { show: "max" as const } })),
    "set-policy",
    { bucket: "more", policy: { show: "max" } },
  ),
  refused(
    "table-full",
    "every bucket has settings",
    /256 buckets/,
    () => filled(three(), MAX.buckets, "set-bucket", (i) => ({ bucket: `b${i}`, settings })),
    "set-bucket",
    { bucket: "more", settings },
  ),
  refused(
    "table-full",
    "there are as many keys as there may be",
    /64 keys/,
    () =>
      filled(three(), MAX.keys, "set-key", (i) => ({
        key: `k${i}`,
        reference: { kind: "ca" as const, location: "", fingerprint: HASH },
      })),
    "set-key",
    { key: "more", reference: { kind: "ca", location: "", fingerprint: HASH } },
  ),
];

const withRole = (): Cluster => three().ok("set-role", { role: "reader", grants: [] });
export const ofAccess: readonly Case[] = [
  refused("bad-expiry", "a join token has expired already", /366 days/, three, "token-create", {
    ...tokenFields,
    expiresAtMs: START_MS,
  }),
  refused("bad-expiry", "a token would outlive who made it", /366 days/, withRole, "api-token-create", {
    ...apiToken,
    expiresAtMs: START_MS + 2 * MINUTE_MS + TOKEN_LIFE_MS_MAX + 1,
  }),
  refused("token-exists", "a join token has that id", /another id/, withToken, "token-create", tokenFields),
  refused(
    "token-exists",
    "a token has that id",
    /another id/,
    () => withRole().ok("api-token-create", apiToken),
    "api-token-create",
    apiToken,
  ),
  refused("no-such-token", "there is no join token to revoke", /nope/, three, "token-revoke", { token: "nope" }),
  refused("no-such-token", "there is no token to revoke", /nope/, three, "api-token-revoke", { token: "nope" }),
  refused("no-such-role", "a token's role isn't there", /reader/, three, "api-token-create", apiToken),
  refused("no-such-role", "there is no role to take away", /reader/, three, "set-role", {
    role: "reader",
    grants: null,
  }),
  refused(
    "role-in-use",
    "a token has the role",
    /key1/,
    () => withRole().ok("api-token-create", apiToken),
    "set-role",
    { role: "reader", grants: null },
  ),
  refused(
    "table-full",
    "there are as many roles as there may be",
    /64 roles/,
    () => filled(three(), MAX.roles, "set-role", (i) => ({ role: `r${i}`, grants: [] })),
    "set-role",
    { role: "more", grants: [] },
  ),
  refused(
    "table-full",
    "there are as many join tokens as there may be",
    /128 join/,
    () => filled(three(), MAX.joinTokens, "token-create", (i) => ({ ...tokenFields, token: `t00${i}` })),
    "token-create",
    tokenFields,
    { atMs: START_MS },
  ),
  refused(
    "table-full",
    "there are as many tokens as there may be",
    /512 tokens/,
    () => filled(withRole(), MAX.apiTokens, "api-token-create", (i) => ({ ...apiToken, token: `t00${i}` })),
    "api-token-create",
    apiToken,
    { atMs: START_MS },
  ),
];
