import { describe, expect, it } from "vitest";
import { judge, type Operation } from "./history.ts";

type Kind = Operation["kind"];
const OPEN = Number.POSITIVE_INFINITY;

function op(kind: Kind, calledAt: number, returnedAt: number, values: Partial<Operation> = {}): Operation {
  return { kind, key: 1, value: 0, from: 0, seen: 0, calledAt, returnedAt, ...values };
}

describe("the search for an order", () => {
  it("finds one among operations that overlap", () => {
    const history = [
      op("write", 1, 4, { value: 5 }),
      op("read", 2, 3, { seen: 0 }),
      op("read", 5, 6, { seen: 5 }),
      op("swap", 7, 9, { from: 5, value: 6, seen: 5 }),
      op("read", 8, 10, { seen: 5 }),
    ];
    expect(judge(history)).toBe("linearizable");
  });

  it("rejects a read of what was overwritten before it was asked", () => {
    const history = [op("write", 1, 2, { value: 5 }), op("write", 3, 4, { value: 6 }), op("read", 5, 6, { seen: 5 })];
    expect(judge(history)).toBe("not");
  });

  it("rejects two reads, one after the other, that see a write and then not", () => {
    const history = [op("write", 1, 9, { value: 5 }), op("read", 2, 3, { seen: 5 }), op("read", 4, 5, { seen: 0 })];
    expect(judge(history)).toBe("not");
  });

  it("rejects two swaps that both found the same value", () => {
    const history = [
      op("swap", 1, 5, { from: 0, value: 7, seen: 0 }),
      op("swap", 2, 6, { from: 0, value: 8, seen: 0 }),
      op("read", 7, 8, { seen: 8 }),
    ];
    expect(judge(history)).toBe("not");
  });

  it("lets a write without an answer happen late, or never; but not twice", () => {
    const open = op("write", 1, OPEN, { value: 5 });
    const other = op("write", 4, 5, { value: 6 });
    expect(judge([open, op("read", 2, 3, { seen: 0 }), other, op("read", 6, 7, { seen: 5 })])).toBe("linearizable");
    expect(judge([open, other, op("read", 6, 7, { seen: 6 })])).toBe("linearizable");
    expect(judge([open, op("read", 2, 3, { seen: 5 }), other, op("read", 6, 7, { seen: 5 })])).toBe("not");
  });

  it("says when it gave up", () => {
    const writes = Array.from({ length: 12 }, (_, i) => op("write", i, 100 + i, { value: i + 1 }));
    expect(judge([...writes, op("read", 200, 201, { seen: 99 })], 100)).toBe("undecided");
  });
});
