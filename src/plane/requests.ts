import { z } from "zod";
import type { Result } from "../control/apply.ts";
import { REFUSALS, type Slug } from "../control/refusals.ts";
import { InputError } from "../kernel/assert.ts";
import { utf8 } from "../kernel/bytes.ts";

// What nodes ask each other about the control plane, beside Raft's own messages, on `control` links. Whoever is asked has
// checked that the caller knows the cluster's salt.

/** `state`: the newest state. `read`: the same, no older than what anybody acknowledged. `propose`: a command, by who has no
 *  seat in the group. `found`: may I found the cluster? `let-go`: am I no longer in the Raft group? */
export const OPS = ["state", "read", "propose", "found", "let-go"] as const;
export type Op = (typeof OPS)[number];

export function parseOp(op: string): Op {
  const known = OPS.find((one) => one === op);
  if (known === undefined) throw new InputError("unknown-op", `unknown request: ${op.slice(0, 32)}`);
  return known;
}

const letGoAnswer = z.enum(["yes", "no"]);

/** Of `let-go`. */
export function encodeLetGoAnswer(isLetGo: boolean): Uint8Array {
  return utf8(isLetGo ? "yes" : "no");
}

export function decodeLetGoAnswer(bytes: Uint8Array): boolean {
  return checked(letGoAnswer, text(bytes)) === "yes";
}

/** Of `found`. `state`: there is a cluster already, wait for its state. `other`: another node was promised it. */
export type FoundAnswer = "yes" | "state" | "other";

const foundAnswer = z.enum(["yes", "state", "other"]);

export function encodeFoundAnswer(answer: FoundAnswer): Uint8Array {
  return utf8(answer);
}

export function decodeFoundAnswer(bytes: Uint8Array): FoundAnswer {
  return checked(foundAnswer, text(bytes));
}

const resultSchema = z.discriminatedUnion("ok", [
  z.strictObject({ ok: z.literal(true), version: z.int().min(0) }),
  z.strictObject({
    ok: z.literal(false),
    slug: z.enum(Object.keys(REFUSALS) as Slug[]),
    status: z.int().min(400).max(599),
    message: z.string().max(2_048),
  }),
]);

/** Of `propose`: what became of it, or why nothing or nobody knows what. */
const outcomeSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("applied"), result: resultSchema }),
  z.strictObject({
    kind: z.literal("refused"),
    slug: z.string().max(64),
    message: z.string().max(2_048),
    retryAfterMs: z.number().min(0).nullable(),
  }),
  z.strictObject({ kind: z.literal("unknown"), message: z.string().max(2_048) }),
]);
export type ProposeOutcome =
  | { readonly kind: "applied"; readonly result: Result }
  | {
      readonly kind: "refused";
      readonly slug: string;
      readonly message: string;
      readonly retryAfterMs: number | null;
    }
  | { readonly kind: "unknown"; readonly message: string };

export function encodeOutcome(outcome: ProposeOutcome): Uint8Array {
  return utf8(JSON.stringify(outcome));
}

export function decodeOutcome(bytes: Uint8Array): ProposeOutcome {
  return checked(outcomeSchema, parsed(bytes));
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(text(bytes));
  } catch {
    throw malformed(); // whatever it is, nobody here wrote it
  }
}

function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value);
  if (!result.success) throw malformed();
  return result.data;
}

function malformed(): InputError {
  return new InputError("bad-answer", "an answer about the control plane is malformed");
}
