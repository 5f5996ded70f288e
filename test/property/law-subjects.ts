import { createHash } from "node:crypto";
import type { Cell, Op, Row, SlotOp } from "../../crdt/index.ts";
import { counter, encodeElement, flag, register, set, slotTypeOf } from "../../crdt/index.ts";
import type { LawSubject, LawTools } from "../../crdt/replicas.test-kit.ts";
import { assertNever } from "../../src/kernel/assert.ts";
import { toHex } from "../../src/kernel/bytes.ts";
import { NaiveTwin } from "./twin.ts";

/** Cases for each law. The long run: LAW_RUNS=10000 npx vitest run test/property */
export const RUNS = Number(process.env.LAW_RUNS ?? 300);

type Draw = (n: number) => number;

export const sha256 = (bytes: Uint8Array): Uint8Array => createHash("sha256").update(bytes).digest();

/** What a row shows, in the words of the twin. */
export function showRow(row: Row): string {
  const slots = new Map<string, Cell[]>();
  for (const cell of row.cells.values()) {
    const name = `${JSON.stringify(cell.path)} ${slotTypeOf(cell.content)}`;
    const cells = slots.get(name);
    if (cells) cells.push(cell);
    else slots.set(name, [cell]);
  }
  return [...slots]
    .map(([name, cells]) => `${name} ${showSlot(cells)}`)
    .sort()
    .join("\n");
}

function showSlot(cells: readonly Cell[]): string {
  const type = slotTypeOf((cells[0] as Cell).content);
  switch (type) {
    case "register":
      return register
        .show(cells)
        .map((sibling) => `${sibling.contentType}:${toHex(sibling.bytes)}`)
        .join(" ");
    case "counter":
      return String(counter.show(cells));
    case "flag":
      return String(flag.show(cells));
    case "set":
      return set.show(cells).map(toHex).join(" ");
    default:
      return assertNever(type);
  }
}

export const lawTools: LawTools = { sha256, makeTwin: () => new NaiveTwin(), show: showRow };

const ELEMENTS = ["x", "y", 1, true].map(encodeElement);
const drawElements = (draw: Draw): Uint8Array[] =>
  Array.from({ length: 1 + draw(3) }, () => ELEMENTS[draw(ELEMENTS.length)] as Uint8Array);

const OPS = {
  register: (draw: Draw): SlotOp => ({
    op: "assign",
    contentType: draw(4) === 0 ? "application/json" : "text/plain",
    bytes: Uint8Array.from({ length: draw(3) }, () => draw(3)),
  }),
  counter: (draw: Draw): SlotOp =>
    draw(4) === 0 ? { op: "reset" } : { op: "increment", by: BigInt(draw(9) - 3) * (draw(9) === 0 ? 2n ** 70n : 1n) },
  flag: (draw: Draw): SlotOp => ({ op: draw(2) === 0 ? "disable" : "enable" }),
  set: (draw: Draw): SlotOp =>
    draw(8) === 0 ? { op: "clear" } : { op: draw(3) === 0 ? "remove" : "add", elements: drawElements(draw) },
} as const;

const UPDATES = {
  register: OPS.register,
  counter: (draw: Draw): SlotOp => ({ op: "increment", by: BigInt(1 + draw(9)) }),
  flag: (): SlotOp => ({ op: "enable" }),
  set: (draw: Draw): SlotOp => ({ op: "add", elements: drawElements(draw) }),
} as const;

type SlotName = keyof typeof OPS;

function subjectOf(name: SlotName): LawSubject {
  const one = (draw: Draw): Op => (draw(8) === 0 ? { path: [], removeAll: true } : { path: [], slot: OPS[name](draw) });
  return {
    name,
    request: (draw) => Array.from({ length: draw(4) === 0 ? 3 : 1 }, () => one(draw)),
    update: (draw) => [{ path: [], slot: UPDATES[name](draw) }],
  };
}

/** Fields with the type that they mostly have; `draw` sometimes gives another one, so that types clash. */
const FIELDS: readonly (readonly [readonly string[], SlotName])[] = [
  [["a"], "register"],
  [["n"], "counter"],
  [["__proto__"], "set"],
  [["m", "f"], "flag"],
  [["m", "n"], "counter"],
  [["m", "", "s"], "set"],
  [["m", "r"], "register"],
  [["m"], "register"],
  [[], "set"],
];
const SLOT_NAMES = Object.keys(OPS) as SlotName[];

function drawField(draw: Draw): readonly [readonly string[], SlotName] {
  const [path, type] = FIELDS[draw(draw(4) === 0 ? FIELDS.length : FIELDS.length - 2)] ?? [[], "set"];
  return [path, draw(10) === 0 ? (SLOT_NAMES[draw(4)] ?? type) : type];
}

const map: LawSubject = {
  name: "map",
  request: (draw) =>
    Array.from({ length: 1 + draw(3) }, (): Op => {
      const [path, type] = drawField(draw);
      if (draw(6) === 0) return { path: path.slice(0, draw(path.length + 1)), removeAll: true };
      return { path, slot: OPS[type](draw) };
    }),
  update: (draw) => {
    const [path, type] = drawField(draw);
    return [{ path, slot: UPDATES[type](draw) }];
  },
};

export const subjects: Readonly<Record<SlotName | "map", LawSubject>> = {
  register: subjectOf("register"),
  counter: subjectOf("counter"),
  flag: subjectOf("flag"),
  set: subjectOf("set"),
  map,
};
