import type { CrdtType } from "./contract.ts";

export interface FlagOp {
  readonly op: "enable" | "disable";
}

/** An enable-wins flag: a disable removes only the enables it saw. A flag without dots is off, and its key absent. */
export const flag: CrdtType<FlagOp, boolean> = {
  name: "flag",
  plan: (op, slot) => ({ adds: op.op === "enable" ? [{ kind: "flag" }] : [], removes: slot.seen }),
  show: (cells) => cells.length > 0,
};
