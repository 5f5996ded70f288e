import type { Op, SlotOp } from "../../crdt/index.ts";
import { encodeElement, MAX_ADDS, MAX_DEPTH } from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import type { OpJson } from "./schemas.ts";
import { contentFrom, elementFrom, integerFrom } from "./values.ts";

interface Budget {
  ops: number;
  elements: number;
  readonly maxOps: number;
}

/** The operations of a request; those inside maps are flattened to their paths. Throws InputError. */
export function opsFrom(list: readonly OpJson[], maxOps: number): Op[] {
  if (list.length === 0) throw new InputError("bad-op", "ops is empty: name at least one operation");
  const out: Op[] = [];
  flatten(list, [], out, { ops: 0, elements: 0, maxOps });
  return out;
}

function flatten(list: readonly OpJson[], path: readonly string[], out: Op[], budget: Budget): void {
  budget.ops += list.length;
  if (budget.ops > budget.maxOps)
    throw new InputError(
      "too-many-ops",
      `a request has at most ${budget.maxOps} operations (limits.ops_per_request), those inside maps included`,
    );
  for (const op of list) {
    if (op.op === "update") flatten(op.ops, deeper(path, op.field), out, budget);
    else if (op.op === "removeField") out.push({ path: deeper(path, op.field), removeAll: true });
    else out.push({ path, slot: slotOp(op, budget) });
  }
}

export function deeper(path: readonly string[], field: string): string[] {
  if (path.length >= MAX_DEPTH) throw new InputError("too-deep", `maps nest at most ${MAX_DEPTH} deep`);
  return [...path, field];
}

function slotOp(op: Exclude<OpJson, { op: "update" | "removeField" }>, budget: Budget): SlotOp {
  switch (op.op) {
    case "assign":
      return { op: "assign", ...assigned(op) };
    case "increment":
      return { op: "increment", by: integerFrom(op.by ?? 1, "by") };
    case "decrement":
      return { op: "increment", by: -integerFrom(op.by ?? 1, "by") };
    case "reset":
    case "enable":
    case "disable":
    case "clear":
      return { op: op.op };
    case "add":
    case "remove":
      budget.elements += op.elements.length;
      if (budget.elements > MAX_ADDS)
        throw new InputError("too-many-ops", `a request names at most ${MAX_ADDS} elements`);
      return { op: op.op, elements: op.elements.map((element) => encodeElement(elementFrom(element))) };
  }
}

function assigned(op: Extract<OpJson, { op: "assign" }>): { contentType: string; bytes: Uint8Array } {
  if ((op.value === undefined) === (op.$b64 === undefined))
    throw new InputError("bad-op", "assign takes value (any JSON) or $b64 with contentType");
  const value = op.$b64 === undefined ? op.value : { $b64: op.$b64 };
  return contentFrom(value, op.contentType);
}
