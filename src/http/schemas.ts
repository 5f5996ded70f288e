import { z } from "@hono/zod-openapi";
import { clusterSchema, joinTokenSchema, newMemberSchema, TOKEN_LIFE_MS_MAX } from "../control/schemas.ts";

// What requests may say: the one description that is both checked and published (/openapi.json).

const base64 = z.string().openapi({ description: "base64, standard or URL alphabet" });
export const bytesSchema = z
  .strictObject({ $b64: base64, contentType: z.string().optional() })
  .openapi("Bytes", { description: "bytes that are no JSON" });
/** Not validated further: any JSON is a value. */
export const valueSchema = z.unknown().openapi({ description: "any JSON; bytes as {$b64, contentType}" });

const INTEGER = { error: "must be an integer; one beyond 2^53 is sent as text" };
const integer = z
  .union([z.int(INTEGER), z.string().regex(/^-?\d{1,40}$/, INTEGER)], INTEGER)
  .openapi({ description: "beyond 2^53 as text" });
const contentType = z.string();

const assign = z.strictObject({
  op: z.literal("assign"),
  value: valueSchema.optional(),
  $b64: base64.optional(),
  contentType: contentType.optional(),
});
const count = z.strictObject({ op: z.enum(["increment", "decrement"]), by: integer.optional() });
const plain = z.strictObject({ op: z.enum(["reset", "enable", "disable", "clear"]) });
const elements = z.strictObject({
  op: z.enum(["add", "remove"]),
  elements: z.array(z.unknown()).openapi({ description: "text, numbers, booleans, {$b64}" }),
});
const removeField = z.strictObject({ op: z.literal("removeField"), field: z.string() });

export type OpJson =
  | z.infer<typeof assign>
  | z.infer<typeof count>
  | z.infer<typeof plain>
  | z.infer<typeof elements>
  | z.infer<typeof removeField>
  | { op: "update"; field: string; ops: OpJson[] };

const update = z.strictObject({
  op: z.literal("update"),
  field: z.string(),
  get ops(): z.ZodArray<z.ZodType<OpJson>> {
    return z.array(opSchema);
  },
});
export const opSchema: z.ZodType<OpJson> = z
  .discriminatedUnion("op", [assign, count, plain, elements, removeField, update])
  .openapi("Op", { description: "one operation; all ops of a request are one change" });
export const opsSchema = z.strictObject({ ops: z.array(opSchema) }).openapi("Ops");

const keyed = { bucket: z.string(), key: z.string() };
const terms = {
  context: z.string().optional().openapi({ description: "as Starling-Context" }),
  ifMatch: z.string().optional(),
  ifNoneMatch: z.string().optional(),
  reason: z.string().optional(),
};
const putItem = z.strictObject({
  action: z.literal("put"),
  ...keyed,
  value: valueSchema,
  contentType: contentType.optional(),
  ...terms,
});
const opsItem = z.strictObject({ action: z.literal("ops"), ...keyed, ops: z.array(opSchema), ...terms });
const deleteItem = z.strictObject({ action: z.literal("delete"), ...keyed, ...terms });
const getItem = z.strictObject({ action: z.literal("get"), ...keyed });
export const batchSchema = z
  .strictObject({ items: z.array(z.discriminatedUnion("action", [putItem, opsItem, deleteItem, getItem])) })
  .openapi("Batch");
export type BatchItem = z.infer<typeof batchSchema>["items"][number];

export const resolveSchema = z
  .strictObject({
    choose: z
      .union([z.string(), z.array(z.string()).min(1).max(64)])
      .optional()
      .openapi({
        description: "the dot whose value stays; one for each place in conflict",
      }),
    value: valueSchema.optional(),
    reason: z.string().optional(),
  })
  .openapi("Resolve");

export const gossipKeySchema = z
  .strictObject({ operation: z.enum(["install", "use", "remove"]), key: z.string() })
  .openapi("GossipKey", { description: "`key`: 16, 24 or 32 bytes of base64" });

export const joinTokenRequestSchema = z
  .strictObject({
    uses: joinTokenSchema.shape.uses.optional(),
    region: joinTokenSchema.shape.region.optional(),
    ttlMs: z.int().min(1_000).max(TOKEN_LIFE_MS_MAX).optional(),
  })
  .openapi("JoinTokenRequest", { description: "one use, any region, one hour where nothing is said" });

const cluster = clusterSchema.shape.name;
const { id, region, zone, weight } = newMemberSchema.shape;
const address = z.string().max(200).nullable().optional();
export const joinRequestSchema = z
  .strictObject({
    token: z.string().regex(/^[A-Za-z0-9_-]{4,32}\.[A-Za-z0-9_-]{1,128}$/, "must be a join token: <id>.<secret>"),
    cluster: cluster.optional(),
    node: z.strictObject({
      id,
      region,
      zone: zone.optional(),
      weight: weight.optional(),
      addresses: z.strictObject({ client: address, gossip: address, peer: address }).optional(),
    }),
    replace: id.optional(),
  })
  .openapi("Join", { description: "addresses are host:port, as others reach them; `replace` names a dead member" });
export const ofClusterSchema = z.strictObject({ cluster: cluster.optional() }).openapi("OfCluster");
export const removeSchema = z.strictObject({ cluster }).openapi("Remove");
export const leaveSchema = z.strictObject({ node: id, cluster }).openapi("Leave");

export const networkSchema = z
  .strictObject({
    cut: z
      .array(z.tuple([z.string(), z.string()]))
      .max(1_000)
      .optional(),
    delayMs: z.record(z.string(), z.number()).optional(),
    lossPercent: z.union([z.number(), z.record(z.string(), z.number())]).optional(),
  })
  .openapi("Network", { description: "what is left out is lifted; {} heals everything" });

export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string().optional(),
  })
  .openapi("Problem", { description: "RFC 9457; `type` is a stable slug, `detail` says what to do" });
