import { z } from "zod";
import {
  accessRoleSchema,
  addressesSchema,
  apiTokenSchema,
  author,
  autopilotSchema,
  bucketName,
  bucketSettingsSchema,
  clusterSchema,
  commandId,
  count,
  featureLevel,
  founderSchema,
  grantSchema,
  instance,
  joinTokenSchema,
  keyReferenceSchema,
  MAX,
  minOwners,
  name,
  newMemberSchema,
  partitionBits,
  policySchema,
  protocolSchema,
  reasonText,
  timeMs,
  tokenId,
} from "./schemas.ts";

/** What every command says. Times and random ids are in it, made by who proposes: applying it reads no clock. */
const envelope = {
  /** Random; a retry has the same one, and is applied once. */
  id: commandId,
  /** The version of the state that the proposer had when it made the command (see `Recent`). */
  basis: count,
  /** The feature level that it takes to understand it. */
  level: featureLevel,
  by: author,
  atMs: timeMs,
  reason: reasonText.nullable(),
  /** Applies only to this version: of the bucket's policy or settings where one of these is set, else of the state. */
  ifVersion: count.nullable(),
};

function commandOf<K extends string, S extends z.ZodRawShape>(kind: K, fields: S) {
  return z.strictObject({ kind: z.literal(kind), ...envelope, ...fields });
}

const member = name;
/** By its name: a request through a balancer must not change whatever cluster it lands on. */
const cluster = clusterSchema.shape.name;

const life = [
  commandOf("init", {
    cluster: clusterSchema,
    partitionBits,
    founders: z.array(founderSchema).min(1).max(MAX.founders),
  }),
  commandOf("join", {
    cluster,
    token: tokenId,
    tokenHash: joinTokenSchema.shape.hash,
    member: newMemberSchema,
    /** Whose share it takes over, and when that one was last heard of. */
    replace: z.strictObject({ id: name, heardAtMs: timeMs }).nullable(),
  }),
  /** It has caught up, and owns from now on. */
  commandOf("activate", { member }),
  commandOf("update-member", {
    member,
    addresses: addressesSchema,
    protocol: protocolSchema,
    weight: newMemberSchema.shape.weight,
    zone: newMemberSchema.shape.zone,
    /** Of the log that it has now: another one than before is a claim, and costs it its role. */
    instance,
  }),
  commandOf("leave", { member, cluster }),
  commandOf("drain", { member }),
  /** Of a decommission, too. */
  commandOf("drain-cancel", { member }),
  commandOf("maintenance", { member, on: z.boolean() }),
  /** Drains, and is removed then. */
  commandOf("decommission", { member, cluster }),
  /** By force: whatever only it has is lost. */
  commandOf("remove", { member, cluster }),
  /** What a group that is founded anew begins with. Never proposed to a running one: whoever is in that would be taken for
   *  a member whose log is unknown. */
  commandOf("raise-incarnation", {
    incarnation: clusterSchema.shape.incarnation,
    /** Who votes from now on. */
    voters: z.array(name).min(1).max(5),
    /** Who recovers, and is the new group alone at first: one of the voters. The others claim their logs anew. */
    member,
    /** Of its new log. */
    instance,
  }),
  commandOf("finalize", { featureLevel }),
] as const;

const group = [
  /** `instead`: who gives its vote away for it. */
  commandOf("promote", { member, to: z.enum(["learner", "voter"]), instead: name.nullable() }),
  commandOf("demote", { member, to: z.enum(["learner", "none"]) }),
] as const;

const settings = [
  commandOf("set-policy", { bucket: bucketName, policy: policySchema.nullable() }),
  /** Null: as if it had never been set. */
  commandOf("set-bucket", { bucket: bucketName, settings: bucketSettingsSchema.nullable() }),
  commandOf("set-placement", { minOwners }),
  commandOf("set-autopilot", { settings: autopilotSchema }),
  commandOf("set-key", { key: name, reference: keyReferenceSchema.omit({ key: true }).nullable() }),
] as const;

const { token, hash, uses, region, expiresAtMs } = joinTokenSchema.shape;
const access = [
  commandOf("token-create", { token, hash, uses, region, expiresAtMs }),
  commandOf("token-revoke", { token: tokenId }),
  commandOf("set-role", {
    role: accessRoleSchema.shape.role,
    /** Null: there is no such role any more. */
    grants: z.array(grantSchema).max(MAX.grantsOfRole).nullable(),
  }),
  commandOf("api-token-create", {
    token: apiTokenSchema.shape.token,
    hash: apiTokenSchema.shape.hash,
    label: apiTokenSchema.shape.label,
    roles: apiTokenSchema.shape.roles,
    expiresAtMs: apiTokenSchema.shape.expiresAtMs,
  }),
  commandOf("api-token-revoke", { token: tokenId }),
] as const;

/** Everything that can be agreed. A new kind, or a new field of one, comes with a higher `level`. */
export const commandSchema = z.discriminatedUnion("kind", [...life, ...group, ...settings, ...access]);
export type Command = z.infer<typeof commandSchema>;
export type Kind = Command["kind"];
export type CommandOf<K extends Kind> = Extract<Command, { kind: K }>;
