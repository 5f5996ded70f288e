import { InputError } from "../src/kernel/assert.ts";
import type { Reader, Writer } from "../src/kernel/bytes.ts";
import { compareBytes, compareText } from "../src/kernel/bytes.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import { parseActorId } from "../src/kernel/ids.ts";
import { checkElement } from "./element.ts";

export type SlotType = "register" | "counter" | "flag" | "set";

/** What one dot names (data.md, Types). */
export type Content = RegisterContent | CounterContent | ResetContent | FlagContent | ElementContent;

export interface RegisterContent {
  readonly kind: "register";
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** Sums of one run's increments since `base`, the seq of the dot that began them (0: this very dot). The base keeps a
 *  reset of sums that were deleted meanwhile from cancelling the sums that began anew. */
export interface CounterContent extends Sums {
  readonly kind: "counter";
  readonly base: number;
  /** The part of the sums that resets seen by this run have cancelled. */
  readonly cancelled: Sums;
}

export interface Sums {
  readonly plus: bigint;
  readonly minus: bigint;
}

/** A reset: per run and base, the sums it saw. Sorted by actor, then base; no two alike. */
export interface ResetContent {
  readonly kind: "reset";
  readonly seen: readonly SeenSums[];
}

export interface SeenSums extends Sums {
  readonly actor: ActorId;
  readonly base: number;
}

export interface FlagContent {
  readonly kind: "flag";
}

export interface ElementContent {
  readonly kind: "element";
  /** Canonical bytes of the element (set.ts). */
  readonly element: Uint8Array;
}

export function slotTypeOf(content: Content): SlotType {
  if (content.kind === "reset") return "counter";
  return content.kind === "element" ? "set" : content.kind;
}

const KINDS = ["register", "counter", "reset", "flag", "element"] as const;

export function writeContent(out: Writer, content: Content): void {
  out.u8(KINDS.indexOf(content.kind));
  switch (content.kind) {
    case "register":
      out.text(content.contentType).bytes(content.bytes);
      return;
    case "counter":
      out.uint(content.base).bigUint(content.plus).bigUint(content.minus);
      out.bigUint(content.cancelled.plus).bigUint(content.cancelled.minus);
      return;
    case "reset":
      out.uint(content.seen.length);
      for (const { actor, base, plus, minus } of content.seen) out.text(actor).uint(base).bigUint(plus).bigUint(minus);
      return;
    case "flag":
      return;
    case "element":
      out.bytes(content.element);
      return;
  }
}

export function readContent(input: Reader): Content {
  const kind = KINDS[input.u8()];
  switch (kind) {
    case "register":
      return { kind, contentType: input.text(), bytes: input.bytes() };
    case "counter":
      return readCounter(input);
    case "reset":
      return readReset(input);
    case "flag":
      return { kind };
    case "element":
      return { kind, element: readElement(input) };
    default:
      throw new InputError("bad-encoding", "unknown kind of content");
  }
}

function readElement(input: Reader): Uint8Array {
  const element = input.bytes();
  checkElement(element);
  return element;
}

function readCounter(input: Reader): CounterContent {
  const base = input.uint();
  const sums = { plus: input.bigUint(), minus: input.bigUint() };
  const cancelled = { plus: input.bigUint(), minus: input.bigUint() };
  if (cancelled.plus > sums.plus || cancelled.minus > sums.minus)
    throw new InputError("bad-encoding", "a counter cancels more than it counted");
  return { kind: "counter", base, ...sums, cancelled };
}

function readReset(input: Reader): ResetContent {
  const seen: SeenSums[] = [];
  for (let left = input.count(5); left > 0; left--) {
    const next = {
      actor: parseActorId(input.text()),
      base: input.uint(),
      plus: input.bigUint(),
      minus: input.bigUint(),
    };
    const last = seen.at(-1);
    if (last && (compareText(last.actor, next.actor) || last.base - next.base) >= 0)
      throw new InputError("bad-encoding", "a reset's sums are not in order");
    seen.push(next);
  }
  return { kind: "reset", seen };
}

/** A total order of contents, for the join of a dot that arrived with two values (I2) and for stable display. */
export function compareContent(a: Content, b: Content): number {
  const difference = KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind);
  if (difference !== 0) return difference;
  if (a.kind === "register" && b.kind === "register")
    return compareText(a.contentType, b.contentType) || compareBytes(a.bytes, b.bytes);
  if (a.kind === "element" && b.kind === "element") return compareBytes(a.element, b.element);
  return 0;
}
