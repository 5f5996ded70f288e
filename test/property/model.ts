// Finds the executable model of the data rules, and loads its world twice: with its own rules, and with ours.

import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { ModelDot, ModelEntry, ModelRow, ModelVector } from "./model-adapter.ts";
import { partitionExports, readingExports } from "./model-adapter.ts";

export type ModelStep = readonly [kind: string, a: number, b: number, c: number];
export interface ModelOptions {
  readonly nodes: number;
  readonly owners: number;
  readonly keys: number;
}

/** What a node of the model's world shows, whichever rules it runs under. */
export interface ModelPart {
  readonly vector: ModelVector;
  readonly floor: ModelVector;
  readonly log: readonly ModelEntry[];
  readonly rows: ReadonlyMap<number, ModelRow>;
  readonly early: readonly ModelEntry[];
  readonly damaged: ReadonlyMap<number, ModelVector>;
  readonly digests: ReadonlyMap<number, string | number>;
}

export interface ModelWorld {
  readonly nodes: readonly { readonly name: string; readonly part: ModelPart; readonly ready: boolean }[];
  readonly oracle: { readonly violations: readonly { kind: string; text: string }[] };
  step(step: ModelStep): void;
  settle(): void;
}

export interface ModelSearch {
  readonly FAULTS: readonly string[];
  randomSteps(seed: number, faults: readonly string[]): ModelStep[];
  runSchedule(steps: readonly ModelStep[], options: ModelOptions): { violations: { kind: string; text: string }[] };
  readonly World: new (options: ModelOptions) => ModelWorld;
}

/** ../shared/model beside the repository, or $STARLING_MODEL. */
export function findModel(): { folder: string } | { missing: string } {
  const folder = resolve(process.env.STARLING_MODEL ?? "../shared/model");
  const lacks = ["vectors.mjs", "partition.mjs", "world.mjs", "oracle.mjs"].find(
    (file) => !existsSync(join(folder, file)),
  );
  return lacks ? { missing: `${join(folder, lacks)} is missing (set STARLING_MODEL)` } : { folder };
}

const SLOT = "starling.rules-under-test";

/** The model's own world and oracle over our rules: its partition.mjs and reading.mjs are replaced by the adapter. */
export function ourSearch(folder: string): Promise<ModelSearch> {
  const shim = (exports: object, slot: string): string => {
    Reflect.set(globalThis, slot, exports);
    return `export const { ${Object.keys(exports).join(", ")} } = globalThis[${JSON.stringify(slot)}];\n`;
  };
  return searchIn(folder, {
    "partition.mjs": `export * from './vectors.mjs';\n${shim(partitionExports, SLOT)}`,
    "reading.mjs": shim(readingExports, `${SLOT}.reading`),
  });
}

/** Where the model is simpler than its page: an early buffer of 8 in which doubles count (1024 here), and digests that
 *  are linear in the dots' numbers, so that {0.3 4.1} and {1.1 3.3} sum to the same. */
const DEVIATIONS: readonly (readonly [find: string, replace: string])[] = [
  ["p.early.length < 8", "p.early.length < 1024"],
  [
    "Math.imul(dot * 31 + key + 1, 0x9e3779b1)",
    "Math.imul((dot * 31 + key + 1) ** 2 % 0xfffffffb ^ 0x5bd1e995, 0x9e3779b1)",
  ],
];

/** The model as it is, but for its deviations. */
export function theirSearch(folder: string): Promise<ModelSearch> {
  let source = readFileSync(join(folder, "partition.mjs"), "utf8");
  for (const [find, replace] of DEVIATIONS) {
    if (!source.includes(find)) throw new Error(`the model's partition.mjs no longer says ${find}`);
    source = source.replace(find, replace);
  }
  return searchIn(folder, {
    "partition.mjs": source,
    "reading.mjs": readFileSync(join(folder, "reading.mjs"), "utf8"),
  });
}

async function searchIn(folder: string, files: Readonly<Record<string, string>>): Promise<ModelSearch> {
  const temporary = mkdtempSync(join(tmpdir(), "starling-model-"));
  for (const file of ["vectors.mjs", "world.mjs", "oracle.mjs"])
    copyFileSync(join(folder, file), join(temporary, file));
  for (const [file, source] of Object.entries(files)) writeFileSync(join(temporary, file), source);
  try {
    return (await import(/* @vite-ignore */ pathToFileURL(join(temporary, "world.mjs")).href)) as ModelSearch;
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

/** The sizes that the model's own search runs. */
export function sizeOf(i: number): ModelOptions {
  const nodes = 3 + (i % 3);
  return { nodes, owners: Math.min(nodes, [3, 3, 4, 5][i % 4] ?? 3), keys: 1 + ((i >> 2) % 3) };
}

/** All that must be equal under both rules, node by node; digests by which nodes with an undamaged leaf agree. (The
 *  model's digests add up per dot, ours per row: beside a row that vanished, ours tell more.) */
export function pictureOf(world: ModelWorld): string {
  const sorted = <T>(items: Iterable<T>): string => [...items].map(String).sort().join(" ");
  const vector = (v: ModelVector): string =>
    sorted([...v].filter(([, seq]) => seq > 0).map(([a, seq]) => `${a}:${seq}`));
  const names = (entries: readonly ModelEntry[]): string =>
    entries.map((e) => `${e.actor}.${e.first}-${e.last}`).join(" ");
  const row = ([key, { live, stubs }]: [number, ModelRow]): string =>
    `k${key} {${sorted([...live].map(([dot, value]: [ModelDot, string]) => `${dot}=${value}`))}} stubs {${sorted(stubs)}}`;
  const nodes = world.nodes.map(
    ({ name, part, ready }) =>
      `${name}${ready ? " ready" : ""} at {${vector(part.vector)}} floor {${vector(part.floor)}} log ${names(part.log)}` +
      ` early ${[...new Set(names(part.early).split(" "))].sort().join(" ")} damaged ${sorted([...part.damaged].map(([leaf, at]) => `${leaf}@${vector(at)}`))}` +
      ` rows ${[...part.rows].map(row).sort().join(", ")}`,
  );
  const digest = (part: ModelPart, leaf: number): unknown =>
    part.damaged.has(leaf) ? part : (part.digests.get(leaf) ?? 0);
  const equal = world.nodes.flatMap((a) =>
    world.nodes.map((b) => [0, 1].map((leaf) => digest(a.part, leaf) === digest(b.part, leaf))),
  );
  return `${nodes.join("\n")}\nequal digests ${equal.join(" ")}`;
}
