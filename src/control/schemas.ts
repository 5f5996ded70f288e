import { z } from "zod";
import { isWellFormed } from "../kernel/bytes.ts";
import { splitHostPort } from "../kernel/host-port.ts";
import { NAME } from "../kernel/ids.ts";

// What one field of a command or of the state may say. Every text has an end, so that the state has one: the HTTP layer
// builds its bodies from these, too.

/** Of the state's tables: a command that would fill one further is refused (`table-full`). Together, at their fullest, they
 *  are below 4 MiB as bytes. */
export const MAX = {
  members: 256,
  /** Members that own data; the replica's own bound (replication/owners.ts). */
  owners: 128,
  /** Ids of former members; the oldest are forgotten (see `Removed`). */
  removed: 512,
  founders: 128,
  buckets: 256,
  policies: 256,
  /** Earlier policies kept of each bucket; the oldest are forgotten. */
  policyHistory: 5,
  joinTokens: 128,
  roles: 64,
  grantsOfRole: 16,
  apiTokens: 512,
  rolesOfToken: 8,
  keys: 64,
} as const;

const DAY_MS = 86_400_000;
/** A token must not outlive who remembers why it was made. */
export const TOKEN_LIFE_MS_MAX: number = 366 * DAY_MS;

/** Without control characters: a character takes at most three bytes in JSON then. */
const text = (charsMax: number) =>
  z
    .string()
    .max(charsMax)
    .refine((value) => isWellFormed(value) && !/\p{Cc}/u.test(value), "must be text without control characters");

export const count = z.int().min(0);
export const timeMs = z.int().min(0);
export const name = z.string().regex(NAME, `must match ${NAME.source}`);
export const bucketName = z.string().regex(/^[a-z0-9._-]{1,64}$/, "must be 1 to 64 of a-z 0-9 . _ -");
export const author = text(128).min(1);
export const reasonText = text(256);
export const tokenId = z.string().regex(/^[A-Za-z0-9_-]{4,32}$/, "must be 4 to 32 of A-Z a-z 0-9 _ -");
export const commandId = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, "must be 8 to 64 of A-Z a-z 0-9 _ -");
/** Of one Raft log: random, drawn when the log is created. A log that was lost or damaged is followed by one of another
 *  instance, so that nobody takes the new one's word for what the old one promised. */
export const instance = z.string().regex(/^[0-9a-f]{32}$/, "must be 32 of 0-9 a-f");
/** SHA-256, lower-case hex. */
export const hash = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in lower-case hex");

const address = text(128).refine((value) => {
  const parts = splitHostPort(value);
  return parts !== undefined && parts.port > 0;
}, "must be host:port or [v6]:port");

/** Null: not known yet; its node says it once it runs. */
const addressOrNone = address.nullable();
export const addressesSchema = z.strictObject({ client: addressOrNone, gossip: addressOrNone, peer: addressOrNone });
/** Of the peer protocol, both ends included. */
export const protocolSchema = z
  .strictObject({ min: count, max: count })
  .refine(({ min, max }) => min <= max, "min must not be above max");
const weight = z.int().min(1).max(1000);

/** What a node says of itself when it comes. */
export const newMemberSchema = z.strictObject({
  id: name,
  region: name,
  zone: text(32),
  /** Its share of the data, relative to others; 100 is usual. */
  weight,
  addresses: addressesSchema,
  protocol: protocolSchema,
});
export type NewMember = z.infer<typeof newMemberSchema>;

/** Null but for the one that writes the group down: the others claim their logs when they run (`update-member`). */
export const founderSchema = newMemberSchema.extend({ instance: instance.nullable() });

export const roleSchema = z.enum(["voter", "learner", "none"]);

export const memberSchema = newMemberSchema.extend({
  /** joining: knows the cluster, owns nothing. active: owns. draining: hands over, takes nothing new. maintenance: owns,
   *  takes no traffic. */
  state: z.enum(["joining", "active", "draining", "maintenance"]),
  /** What follows when a draining member has handed over. */
  afterDrain: z.enum(["leave", "remove"]).nullable(),
  /** In the Raft group, as it is wanted; the group follows (autopilot.ts). */
  role: roleSchema,
  /** Of its Raft log; null until it has claimed one. Without it is in no group, whatever its role. */
  instance: instance.nullable(),
  joinedAtMs: timeMs,
  /** Runs of it that started at or before this were of a former member of this id: they are closed. */
  actorsAfterMs: timeMs,
});
export type Member = z.infer<typeof memberSchema>;

export const removedSchema = z.strictObject({
  id: name,
  how: z.enum(["left", "removed", "decommissioned", "replaced"]),
  by: author,
  atMs: timeMs,
  version: count,
});
export type Removed = z.infer<typeof removedSchema>;

export const policySchema = z.discriminatedUnion("show", [
  z.strictObject({
    show: z.enum(["lww", "siblings", "fww", "max", "min", "longest", "union", "json-merge"]),
  }),
  z.strictObject({ show: z.literal("region-order"), regions: z.array(name).min(1).max(8) }),
]);
export type Policy = z.infer<typeof policySchema>;

/** One policy of a bucket: null says that it went back to the default. */
export const setPolicySchema = z.strictObject({
  version: count,
  policy: policySchema.nullable(),
  by: author,
  reason: reasonText.nullable(),
  atMs: timeMs,
});
export type SetPolicy = z.infer<typeof setPolicySchema>;
export const bucketPolicySchema = setPolicySchema.extend({
  bucket: bucketName,
  /** Newest first. */
  history: z.array(setPolicySchema).max(MAX.policyHistory),
});
export type BucketPolicy = z.infer<typeof bucketPolicySchema>;

export const bucketSettingsSchema = z.strictObject({
  /** Pins the type of its records, at admission. */
  type: z.enum(["register", "counter", "flag", "set", "map"]).nullable(),
  /** Writes without `Starling-Context` get 428. */
  requiresContext: z.boolean(),
  quotaBytes: count.nullable(),
  /** How far back the log reaches, at least. */
  historyMs: count.nullable(),
});
export const bucketSchema = bucketSettingsSchema.extend({ bucket: bucketName, version: count });
export type Bucket = z.infer<typeof bucketSchema>;

export const joinTokenSchema = z.strictObject({
  token: tokenId,
  hash,
  uses: z.int().min(1).max(1000),
  usesLeft: count,
  /** Null: any. */
  region: name.nullable(),
  expiresAtMs: timeMs,
  by: author,
  atMs: timeMs,
});
export type JoinToken = z.infer<typeof joinTokenSchema>;

export const grantSchema = z.strictObject({
  verb: z.enum(["read", "write", "resolve", "policy", "operate", "admin"]),
  /** Of bucket names; "" is all of them. */
  bucketPrefix: z.string().regex(/^[a-z0-9._-]{0,64}$/),
});
export const accessRoleSchema = z.strictObject({ role: name, grants: z.array(grantSchema).max(MAX.grantsOfRole) });
export type AccessRole = z.infer<typeof accessRoleSchema>;

export const apiTokenSchema = z.strictObject({
  token: tokenId,
  hash,
  label: text(64),
  roles: z.array(name).min(1).max(MAX.rolesOfToken),
  expiresAtMs: timeMs,
  by: author,
  atMs: timeMs,
});
export type ApiToken = z.infer<typeof apiTokenSchema>;

/** Where a key is and how to know it again; never the key. */
export const keyReferenceSchema = z.strictObject({
  key: name,
  kind: z.enum(["gossip", "ca", "bucket"]),
  location: text(256),
  fingerprint: hash,
});
export type KeyReference = z.infer<typeof keyReferenceSchema>;

export const autopilotSchema = z.strictObject({
  on: z.boolean(),
  /** How long a voter must be silent before it is replaced. */
  deadAfterMs: z.int().min(1000).max(DAY_MS),
  /** How long a candidate must have been well. */
  stabiliseMs: z.int().min(0).max(DAY_MS),
  votersMax: z.union([z.literal(3), z.literal(5)]),
});
export type AutopilotSettings = z.infer<typeof autopilotSchema>;

export const clusterSchema = z.strictObject({
  /** Random, made once. */
  id: text(64).min(1),
  name: text(64).min(1),
  /** Raised when a lost quorum is given up: who has an older one is fenced. */
  incarnation: z.int().min(1),
  /** SHA-256 of the secret salt: who has the salt can show it, nobody can read it here. */
  saltProof: hash,
});

export const partitionBits = z.int().min(0).max(16);
export const featureLevel = z.int().min(1);
export const minOwners = z.int().min(1).max(MAX.members).nullable();
