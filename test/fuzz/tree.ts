import { MsgpackWriter } from "../../gossip/wire/msgpack.ts";
import { isWellFormed, toBase64Url, utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { pick, randomBytes } from "./mutate.ts";

/** A value of MessagePack or JSON that may be what no object can be: with repeated keys, keys of any type, and counts
 *  that lie about what follows. */
export type Tree =
  | { readonly kind: "leaf"; readonly value: Scalar }
  | { readonly kind: "list"; readonly items: readonly Tree[]; readonly claims?: number }
  | { readonly kind: "map"; readonly members: readonly (readonly [Tree, Tree])[]; readonly claims?: number };
type Scalar = string | number | boolean | null | Uint8Array;

const leaf = (value: Scalar): Tree => ({ kind: "leaf", value });

export function treeOf(value: unknown): Tree {
  if (Array.isArray(value)) return { kind: "list", items: value.map(treeOf) };
  if (typeof value !== "object" || value === null || value instanceof Uint8Array)
    return leaf((value ?? null) as Scalar);
  return { kind: "map", members: Object.entries(value).map(([name, inside]) => [leaf(name), treeOf(inside)]) };
}

const NAMES = [
  "__proto__",
  "constructor",
  "toString",
  "",
  "\0",
  "a\0b",
  "\ud800",
  "\udfff\ud83d",
  "\ufeff",
  "é",
  "value",
];
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  127,
  128,
  255,
  65_535,
  65_536,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 53 + 2,
  2 ** 64,
  1.5,
  -1e308,
];
const COUNTS = [0, 1, 15, 16, 65_535, 65_536, 31_000_000, 2 ** 31, 2 ** 32 - 1];

function randomScalar(rng: Rng): Scalar {
  switch (rng.below(8)) {
    case 0:
      return null;
    case 1:
      return rng.below(2) === 0;
    case 2:
      return pick(rng, [Number.POSITIVE_INFINITY, Number.NaN]);
    case 3:
    case 4:
      return pick(rng, NUMBERS);
    case 5:
      return randomBytes(rng, pick(rng, [0, 1, 4, 16, 17, 40]));
    case 6:
      return "x".repeat(pick(rng, [1, 31, 32, 255, 256, 513, 4097]));
    default:
      return pick(rng, NAMES);
  }
}

function randomTree(rng: Rng, depth: number): Tree {
  const kind = depth > 2 ? 0 : rng.below(4);
  const length = rng.below(4);
  if (kind === 1) return { kind: "list", items: Array.from({ length }, () => randomTree(rng, depth + 1)) };
  if (kind !== 2) return leaf(randomScalar(rng));
  return {
    kind: "map",
    members: Array.from({ length }, () => [leaf(pick(rng, NAMES)), randomTree(rng, depth + 1)] as const),
  };
}

function nested(rng: Rng, inside: Tree): Tree {
  const name = pick(rng, ["a", "__proto__", "value"]);
  let tree = inside;
  for (let depth = pick(rng, [1, 2, 8, 9, 17, 65, 400]); depth > 0; depth--)
    tree = rng.below(2) === 0 ? { kind: "list", items: [tree] } : { kind: "map", members: [[leaf(name), tree]] };
  return tree;
}

/** The tree with one place in it changed; the walk goes down a random branch and stops anywhere. */
export function mutateTree(rng: Rng, tree: Tree): Tree {
  const children = tree.kind === "list" ? tree.items.length : tree.kind === "map" ? tree.members.length : 0;
  if (children > 0 && rng.below(4) > 0) return inOneChild(rng, tree, rng.below(children));
  switch (rng.below(6)) {
    case 0:
      return nested(rng, tree);
    case 1:
      return randomTree(rng, 0);
    default:
      return tree.kind === "leaf" ? leaf(randomScalar(rng)) : rearranged(rng, tree);
  }
}

function inOneChild(rng: Rng, tree: Tree, at: number): Tree {
  if (tree.kind === "list")
    return { ...tree, items: tree.items.map((item, i) => (i === at ? mutateTree(rng, item) : item)) };
  if (tree.kind !== "map") return tree;
  const ofKey = rng.below(8) === 0;
  const change = ([key, inside]: readonly [Tree, Tree]): readonly [Tree, Tree] =>
    ofKey ? [randomTree(rng, 2), inside] : [key, mutateTree(rng, inside)];
  return { ...tree, members: tree.members.map((member, i) => (i === at ? change(member) : member)) };
}

function rearranged(rng: Rng, tree: Exclude<Tree, { kind: "leaf" }>): Tree {
  const choice = rng.below(5);
  if (choice === 0) return { ...tree, claims: pick(rng, COUNTS) };
  return tree.kind === "list"
    ? { ...tree, items: withOther(rng, choice, tree.items, randomTree(rng, 1)) }
    : { ...tree, members: withOther(rng, choice, tree.members, [leaf(pick(rng, NAMES)), randomTree(rng, 1)]) };
}

/** One more, one twice, one fewer, or many times the same. */
function withOther<T>(rng: Rng, choice: number, items: readonly T[], more: T): T[] {
  const at = rng.below(items.length);
  const one = items[at] ?? more;
  if (choice === 1) return [...items, more];
  if (choice === 2) return [...items, one];
  if (choice === 3) return items.filter((_, i) => i !== at);
  return [...items, ...Array<T>(pick(rng, [16, 33, 129])).fill(one)];
}

/** `old`: the MessagePack of memberlist, where text and bytes are both raw. */
export function toMsgpack(tree: Tree, old: boolean): Uint8Array {
  const out = new MsgpackWriter();
  writeTree(out, tree, old);
  return out.finish();
}

function writeTree(out: MsgpackWriter, tree: Tree, old: boolean): void {
  if (tree.kind === "leaf") writeScalar(out, tree.value, old);
  else if (tree.kind === "list") {
    writeCount(out, tree.claims ?? tree.items.length, { fix: 0x90, wide: 0xdc });
    for (const item of tree.items) writeTree(out, item, old);
  } else {
    writeCount(out, tree.claims ?? tree.members.length, { fix: 0x80, wide: 0xde });
    for (const [key, inside] of tree.members) {
      writeTree(out, key, old);
      writeTree(out, inside, old);
    }
  }
}

function writeCount(out: MsgpackWriter, count: number, tags: { fix: number; wide: number }): void {
  if (count < 16) out.plainByte(tags.fix | count);
  else if (count < 65_536) writeBigEndian(out.plainByte(tags.wide), count, 2);
  else writeBigEndian(out.plainByte(tags.wide + 1), count, 4);
}

function writeBigEndian(out: MsgpackWriter, value: number, width: number): void {
  for (let shift = 8 * (width - 1); shift >= 0; shift -= 8) out.plainByte(Math.floor(value / 2 ** shift) % 256);
}

function writeScalar(out: MsgpackWriter, value: Scalar, old: boolean): void {
  if (value === null) out.nil();
  else if (typeof value === "boolean") out.bool(value);
  else if (typeof value === "string") out.raw(loneToo(value));
  else if (typeof value !== "number") {
    if (old) out.raw(value);
    else {
      writeBigEndian(out.plainByte(0xc5), value.length, 2);
      out.plain(value);
    }
  } else if (Number.isSafeInteger(value) && value >= 0) out.uint(value);
  else {
    const float = new Uint8Array(8);
    new DataView(float.buffer).setFloat64(0, value);
    out.plainByte(0xcb).plain(float);
  }
}

/** UTF-8, but half a pair as the three bytes that strict decoders refuse. */
function loneToo(text: string): Uint8Array {
  return isWellFormed(text) ? utf8(text) : Uint8Array.of(0xed, 0xa0, 0x80);
}

export function toJsonText(tree: Tree): string {
  if (tree.kind === "list") return `[${tree.items.map(toJsonText).join(",")}]`;
  if (tree.kind === "map")
    return `{${tree.members.map(([key, inside]) => `${keyText(key)}:${toJsonText(inside)}`).join(",")}}`;
  const { value } = tree;
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? "-0" : "1e999";
  return JSON.stringify(value instanceof Uint8Array ? toBase64Url(value) : value);
}

function keyText(key: Tree): string {
  return key.kind === "leaf" && typeof key.value === "string" ? JSON.stringify(key.value) : '"k"';
}

/** A tree of the pool with one to three places changed. */
export function mutated(rng: Rng, pool: readonly Tree[]): Tree {
  let tree = pick(rng, pool);
  for (let changes = 1 + rng.below(3); changes > 0; changes--) tree = mutateTree(rng, tree);
  return tree;
}
