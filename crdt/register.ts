import { assert } from "../src/kernel/assert.ts";
import { compareBytes, compareText, equalBytes } from "../src/kernel/bytes.ts";
import type { RegisterContent } from "./content.ts";
import type { CrdtType } from "./contract.ts";
import type { Cell } from "./row.ts";

export interface AssignOp {
  readonly op: "assign";
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** One value of a register, with every cell that holds it: equal siblings are no conflict. */
export interface Sibling {
  readonly contentType: string;
  readonly bytes: Uint8Array;
  readonly cells: readonly Cell[];
}

/** A multi-value register: a write adds one dot and removes those it saw. Shows its different values, in byte order. */
export const register: CrdtType<AssignOp, readonly Sibling[]> = {
  name: "register",
  plan: (op, slot) => ({
    adds: [{ kind: "register", contentType: op.contentType, bytes: op.bytes }],
    removes: slot.seen,
  }),
  show: (cells) => {
    const siblings: { contentType: string; bytes: Uint8Array; cells: Cell[] }[] = [];
    for (const cell of cells) {
      const { contentType, bytes } = registerContent(cell);
      const same = siblings.find((s) => s.contentType === contentType && equalBytes(s.bytes, bytes));
      if (same) same.cells.push(cell);
      else siblings.push({ contentType, bytes, cells: [cell] });
    }
    return siblings.sort((a, b) => compareText(a.contentType, b.contentType) || compareBytes(a.bytes, b.bytes));
  },
};

function registerContent(cell: Cell): RegisterContent {
  assert(cell.content.kind === "register", "a register slot holds registers only");
  return cell.content;
}
