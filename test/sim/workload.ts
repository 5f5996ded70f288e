import type { Op, SlotOp } from "../../crdt/index.ts";
import { encodeElement } from "../../crdt/index.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { RowKey } from "../../src/storage/store.ts";

/** What kind of value lives at a key. "count" keys are only counted, "grow" keys only added to: their final values
 *  follow from acknowledgements alone. At "mixed" keys types clash. */
export const KINDS = ["register", "counter", "count", "flag", "set", "grow", "map", "mixed"] as const;
export type Kind = (typeof KINDS)[number];

export interface HotKey extends RowKey {
  readonly kind: Kind;
}

export const BUCKET = "sim";

/** One write as a client means it: for the wire, and as the operations that it stands for. */
export interface Intent {
  readonly key: HotKey;
  readonly ops: readonly Op[];
  readonly wire:
    | { readonly call: "put"; readonly value: unknown }
    | { readonly call: "ops"; readonly ops: readonly unknown[] }
    | { readonly call: "delete" };
}

/** A few hot keys: the fewer, the more concurrency. */
export function drawKeys(rng: Rng): HotKey[] {
  const keys: HotKey[] = [];
  for (const kind of KINDS) {
    const most = kind === "register" || kind === "map" ? 3 : 2;
    const count = kind === "register" ? 1 + rng.below(most) : rng.below(most);
    for (let i = 0; i < count; i++) keys.push({ bucket: BUCKET, key: `${kind}-${i}`, kind });
  }
  return keys;
}

const WORDS = ["ann", "bob", "cat", "dan", "eve"];
const ELEMENTS = ["a", "b", "c", "d", "e"];
const FIELDS = ["sum", "name", "tags", "deep"] as const;

/** Draws a write that its key's kind allows. `tag` makes values and elements unique. */
export function drawIntent(key: HotKey, tag: string, rng: Rng): Intent {
  const percent = rng.below(100);
  switch (key.kind) {
    case "register":
      if (percent < 12) return deletion(key);
      if (percent < 20) return operation(key, [], drawSlot("register", tag, rng));
      return put(key, percent < 30 ? pick(WORDS, rng) : tag);
    case "counter":
      if (percent < 8) return deletion(key);
      return operation(key, [], percent < 20 ? slot({ op: "reset" }) : drawSlot("counter", tag, rng));
    case "count":
      return operation(key, [], drawSlot("counter", tag, rng));
    case "flag":
      return percent < 5 ? deletion(key) : operation(key, [], drawSlot("flag", tag, rng));
    case "set":
      return percent < 8 ? deletion(key) : operation(key, [], drawSlot("set", tag, rng));
    case "grow":
      return operation(key, [], addition([tag]));
    case "map":
      return percent < 8 ? deletion(key) : drawMap(key, tag, rng);
    case "mixed":
      if (percent < 30) return deletion(key);
      if (percent < 60) return put(key, tag);
      return operation(key, [], drawSlot(pick(["counter", "flag", "set"] as const, rng), tag, rng));
  }
}

interface SlotIntent {
  readonly op: SlotOp;
  readonly wire: unknown;
}

function slot(op: SlotOp & { readonly op: "reset" | "enable" | "disable" | "clear" }): SlotIntent {
  return { op, wire: { op: op.op } };
}

function addition(elements: readonly string[]): SlotIntent {
  return { op: { op: "add", elements: elements.map(encodeElement) }, wire: { op: "add", elements } };
}

function drawSlot(type: "register" | "counter" | "flag" | "set", tag: string, rng: Rng): SlotIntent {
  switch (type) {
    case "register": {
      const bytes = utf8(JSON.stringify(tag));
      return { op: { op: "assign", contentType: "application/json", bytes }, wire: { op: "assign", value: tag } };
    }
    case "counter": {
      const by = 1 + rng.below(9);
      if (rng.below(3) > 0) return { op: { op: "increment", by: BigInt(by) }, wire: { op: "increment", by } };
      return { op: { op: "increment", by: BigInt(-by) }, wire: { op: "decrement", by } };
    }
    case "flag":
      return slot({ op: rng.below(5) < 3 ? "enable" : "disable" });
    case "set": {
      if (rng.below(12) === 0) return slot({ op: "clear" });
      const elements = [...new Set([pick(ELEMENTS, rng), pick(ELEMENTS, rng)])];
      if (rng.below(3) > 0) return addition(elements);
      return { op: { op: "remove", elements: elements.map(encodeElement) }, wire: { op: "remove", elements } };
    }
  }
}

function drawMap(key: HotKey, tag: string, rng: Rng): Intent {
  const field = pick(FIELDS, rng);
  if (rng.below(10) === 0)
    return {
      key,
      ops: [{ path: [field], removeAll: true }],
      wire: { call: "ops", ops: [{ op: "removeField", field }] },
    };
  switch (field) {
    case "sum":
      return operation(key, [field], drawSlot("counter", tag, rng));
    case "name":
      return operation(key, [field], drawSlot("register", tag, rng));
    case "tags":
      return operation(key, [field], drawSlot("set", tag, rng));
    case "deep":
      return operation(key, [field, pick(["on", "off"], rng)], drawSlot("flag", tag, rng));
  }
}

function operation(key: HotKey, path: readonly string[], { op, wire }: SlotIntent): Intent {
  const nested = path.reduceRight<unknown>((inner, field) => ({ op: "update", field, ops: [inner] }), wire);
  return { key, ops: [{ path, slot: op }], wire: { call: "ops", ops: [nested] } };
}

export function put(key: HotKey, value: unknown): Intent {
  const bytes = utf8(JSON.stringify(value));
  const ops: Op[] = [{ path: [], slot: { op: "assign", contentType: "application/json", bytes } }];
  return { key, ops, wire: { call: "put", value } };
}

function deletion(key: HotKey): Intent {
  return { key, ops: [{ path: [], removeAll: true }], wire: { call: "delete" } };
}

export function pick<T>(items: readonly T[], rng: Rng): T {
  return items[rng.below(items.length)] as T;
}
