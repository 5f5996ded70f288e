import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAllowed } from "./arrows.ts";
import { ROOT } from "./tree.ts";

/** What must not pass, where it is written, and who stops it: a rule of Biome, an error of `tsc`. */
interface Sin {
  readonly into: string;
  readonly what: string;
  readonly code: string;
  readonly lint?: string;
  readonly types?: string;
}

const from = (path: string): string => `from "${path}"`;

const SINS: readonly Sin[] = [
  ...["crdt", "gossip/swim"].flatMap((into): Sin[] => [
    { into, what: "Date.now()", code: "export const nowMs: number = Date.now();", lint: "noRestrictedGlobals" },
    { into, what: "new Date()", code: "export const now: object = new Date();", lint: "noRestrictedGlobals" },
    {
      into,
      what: "setTimeout",
      code: "export const timer: unknown = setTimeout(() => {}, 1);",
      lint: "noRestrictedGlobals",
      types: "TS2304",
    },
    { into, what: 'import "node:fs"', code: 'import "node:fs";', lint: "noRestrictedImports", types: "TS2882" },
    {
      into,
      what: "a name of node:fs/promises",
      code: `import { rm } ${from("node:fs/promises")};\nexport const remove: unknown = rm;`,
      lint: "noRestrictedImports",
      types: "TS2591",
    },
    {
      into,
      what: 'import("node:net")',
      code: 'export const net = (): unknown => import("node:net");',
      lint: "noRestrictedImports",
      types: "TS2591",
    },
    { into, what: "a package", code: `export { z } ${from("zod")};`, lint: "noRestrictedImports" },
    {
      into,
      what: "Math.random",
      code: "export const chance: number = Math.random();",
      lint: "noJsRestrictedProperties",
    },
    {
      into,
      what: "localeCompare",
      code: 'export const order: number = "a".localeCompare("b");',
      lint: "noJsRestrictedProperties",
    },
    {
      into,
      what: "globalThis",
      code: 'export const later: unknown = Reflect.get(globalThis, "setTimeout");',
      lint: "noRestrictedGlobals",
    },
    ...["process", "Buffer", "console", "fetch", "performance", "crypto"].map((name) => ({
      into,
      what: name,
      code: `export const it: unknown = ${name};`,
      lint: "noRestrictedGlobals",
      types: /process|Buffer/.test(name) ? "TS2591" : name === "console" ? "TS2584" : "TS2304",
    })),
  ]),
  {
    into: "src/kernel",
    what: "Date.now()",
    code: "export const nowMs: number = Date.now();",
    lint: "noRestrictedGlobals",
  },
  {
    into: "src/conflicts",
    what: "Date.now()",
    code: "export const nowMs: number = Date.now();",
    lint: "noRestrictedGlobals",
  },
  {
    into: "src/control",
    what: "Date.now()",
    code: "export const nowMs: number = Date.now();",
    lint: "noRestrictedGlobals",
  },
  {
    into: "src/control",
    what: "setTimeout",
    code: "export const timer: unknown = setTimeout(() => {}, 1);",
    lint: "noRestrictedGlobals",
    types: "TS2304",
  },
  {
    into: "src/control",
    what: "a package that isn't zod",
    code: `export { Hono } ${from("hono")};`,
    lint: "noRestrictedImports",
  },
  ...["src/replication", "src/http", "gossip/drivers"].flatMap((into): Sin[] => [
    { into, what: "Date.now()", code: "export const nowMs: number = Date.now();", lint: "noJsRestrictedProperties" },
    {
      into,
      what: "setTimeout",
      code: "export const t: unknown = setTimeout(() => {}, 1);",
      lint: "noRestrictedGlobals",
    },
    { into, what: 'import "node:fs"', code: 'import "node:fs";', lint: "noRestrictedImports" },
    {
      into,
      what: "a promise that nobody waits for",
      code: "async function work(): Promise<void> {}\nexport function start(): void {\n  work();\n}",
      lint: "noFloatingPromises",
    },
  ]),
];

/** Imports against the arrows between projects of their own: the build stops them. A file is complained of once per project,
 *  so no target may be one that another one imports. */
const CROSSINGS: readonly (readonly [into: string, target: string])[] = [
  ["src/kernel", "crdt/index.ts"],
  ["crdt", "src/storage/store.ts"],
  ["crdt", "gossip/index.ts"],
  ["gossip/swim", "crdt/index.ts"],
  ["gossip/swim", "gossip/drivers/gossip-host.ts"],
  ["gossip/swim", "src/config/types.ts"],
  ["src/conflicts", "src/storage/store.ts"],
  ["src/conflicts", "gossip/index.ts"],
  ["src/control", "src/storage/store.ts"],
];

const crossings: readonly Sin[] = CROSSINGS.map(([into, target]) => {
  const path = relative(into, target);
  const named = path.startsWith(".") ? path : `./${path}`;
  return { into, what: `an import of ${target}`, code: `export type * as there ${from(named)};`, types: "TS6307" };
});

const written = [...SINS, ...crossings].map((sin, i) => ({ ...sin, file: `${sin.into}/sin-${i}.ts` }));
const INNOCENT = ["crdt/innocent.ts", "gossip/swim/innocent.ts", "src/conflicts/innocent.ts", "src/http/innocent.ts"];

let copy = "";
let lint = new Map<string, string[]>();
let types = new Map<string, string[]>();
let lintStatus: number | null = null;
let typesStatus: number | null = null;

// A copy of the sources with one new file per sin; both tools run once over all of them.
beforeAll(() => {
  copy = realpathSync(mkdtempSync(join(tmpdir(), "starling-walls-")));
  for (const name of ["src", "crdt", "gossip", "package.json", "tsconfig.json", "biome.json", ".gitignore"])
    cpSync(join(ROOT, name), join(copy, name), { recursive: true });
  symlinkSync(join(ROOT, "node_modules"), join(copy, "node_modules"));
  for (const { file, code } of written) writeFileSync(join(copy, file), `${code}\n`);
  for (const file of INNOCENT) writeFileSync(join(copy, file), "export const answer: number = 42;\n");

  const files = [...written.map(({ file }) => file), ...INNOCENT];
  const biome = run("@biomejs/biome/bin/biome", ["lint", "--reporter=github", "--max-diagnostics=1000", ...files]);
  lintStatus = biome.status;
  lint = grouped(biome.output, /^::error title=lint\/\w+\/(\w+),file=([^,]+)/gm, 2, 1);

  const tsc = run("typescript/bin/tsc", ["-b", "src/kernel", "crdt", "gossip", "src/conflicts", "src/control"]);
  typesStatus = tsc.status;
  types = grouped(tsc.output, /^([^\s(]+)\(\d+,\d+\): error (TS\d+)/gm, 1, 2);
}, 120_000);

afterAll(() => rmSync(copy, { recursive: true, force: true }));

describe("what breaks a wall fails the check", () => {
  it.each(written)("$what in $into", (sin) => {
    if (sin.lint) expect(lint.get(sin.file)).toContain(sin.lint);
    if (sin.types) expect(types.get(sin.file)).toContain(sin.types);
  });

  it("with an exit status that says so", () => {
    expect(lintStatus).toBe(1);
    expect(typesStatus).toBeGreaterThan(0);
  });

  it("what breaks none passes", () => {
    for (const file of INNOCENT) {
      expect(lint.get(file)).toBeUndefined();
      expect(types.get(file)).toBeUndefined();
    }
  });

  it("`npm run check` and `npm test` run what was run here", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    expect(scripts.build).toBe("tsc -b");
    expect(scripts.lint).toMatch(/^biome check --error-on-warnings \.$/);
    expect(scripts.check).toBe("npm run -s build && npm run -s lint && vitest run");
    expect(scripts.test).toMatch(/npm run -s lint && vitest run$/);
  });
});

// Folders of one project see each other's files: here the table speaks (test/tidy.test.ts).
describe("the table of arrows refuses", () => {
  it.each([
    ["src/storage/memory.ts", "src/replication/replica.ts", false],
    ["src/world/world.ts", "src/storage/store.ts", false],
    ["src/world/shaping.ts", "src/storage/sqlite.ts", false],
    ["src/replication/replica.ts", "gossip/swim/machine.ts", false],
    ["src/replication/replica.ts", "src/http/app.ts", true],
    ["src/replication/replica.ts", "src/world/real.ts", false],
    ["src/http/app.ts", "src/node.ts", false],
    ["src/http/app.ts", "src/replication/replica.ts", false],
    ["src/http/app.ts", "crdt/row.ts", true],
    ["src/cli/program.ts", "src/node.ts", true],
    ["src/cli/program.ts", "src/http/schemas.ts", true],
    ["src/node.ts", "src/world/real.ts", false],
    ["src/node.ts", "test/sim/world.ts", true],
  ] as const)("%s → %s", (importer, target, typeOnly) => {
    expect(isAllowed(importer, target, typeOnly)).toBe(false);
  });

  it("and lets through what architecture.md draws", () => {
    expect(isAllowed("crdt/row.ts", "src/kernel/bytes.ts", false)).toBe(true);
    expect(isAllowed("src/world/world.ts", "src/storage/store.ts", true)).toBe(true);
    expect(isAllowed("src/replication/replica.ts", "gossip/antientropy/session.ts", false)).toBe(true);
    expect(isAllowed("src/main.ts", "src/node.ts", false)).toBe(true);
    expect(isAllowed("test/sim/life.ts", "src/node.ts", false)).toBe(true);
  });
});

function run(tool: string, args: readonly string[]): { status: number | null; output: string } {
  const script = join(ROOT, "node_modules", tool);
  const { status, stdout, error } = spawnSync(process.execPath, [script, ...args], {
    cwd: copy,
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (error) throw error;
  return { status, output: stdout };
}

/** Findings by file, paths relative to the copy. */
function grouped(output: string, pattern: RegExp, file: number, finding: number): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const match of output.matchAll(pattern)) {
    const path = (match[file] ?? "").replace(`${copy}/`, "");
    found.set(path, [...(found.get(path) ?? []), match[finding] ?? ""]);
  }
  return found;
}
