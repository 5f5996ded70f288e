import type { z } from "@hono/zod-openapi";
import { InputError } from "../kernel/assert.ts";

/** The value, as the schema says it must be. Throws InputError: `unknown-op` for an operation or action that there isn't,
 *  else `slug`, with the place and what is wrong there. */
export function check<T>(schema: z.ZodType<T>, value: unknown, slug: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue && issue.path.length > 0 ? `${issue.path.map(String).join(".").slice(0, 200)}: ` : "";
  const isUnknownOp = issue?.code === "invalid_union" && issue.path.at(-1) === "op";
  throw new InputError(isUnknownOp ? "unknown-op" : slug, `${where}${issue?.message ?? "not as documented"}`);
}
