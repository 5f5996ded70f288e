import { describe, expect, it } from "vitest";
import { ARROWS, isAllowed, partOf } from "./tidy/arrows.ts";
import { BORROWED, CROSSINGS, LONELY, LONG_FILES, LONG_FUNCTIONS } from "./tidy/exceptions.ts";
import { codeOnly, importsOf, matchesGlob, packageOf, ROOT, readTree, type Source } from "./tidy/tree.ts";

const tree = readTree();
const byPath = new Map(tree.map((file) => [file.path, file]));
const code = tree.filter(({ path }) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
const product = code.filter(({ path }) => /^(?:src|crdt|gossip)\//.test(path) && !path.endsWith(".test-kit.ts"));

type Rules = Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>>;
const biome = JSON.parse(byPath.get("biome.json")?.text ?? "") as {
  linter: { rules: Rules };
  overrides: { includes: string[]; linter: { rules: Rules } }[];
};

const isPure = (path: string): boolean =>
  /^(?:src\/kernel|crdt|gossip\/(?!drivers\/)|src\/conflicts|src\/control\/)/.test(path);

/** `path:line: the line` of all lines that match. */
function linesWith(files: readonly Source[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text.split("\n").flatMap((line, i) => (pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : [])),
  );
}

const withCodeOnly = (files: readonly Source[]): Source[] =>
  files.map(({ path, text }) => ({ path, text: codeOnly(text) }));

/** The list of exceptions must be exactly what is found: neither more nor less. */
function expectOnly(found: readonly string[], exceptions: Readonly<Record<string, unknown>>): void {
  expect([...new Set(found)].sort()).toEqual(Object.keys(exceptions).sort());
}

describe("arrows point one way", () => {
  it("each import of our own files is one that the table of arrows allows", () => {
    const against = code.flatMap((file) =>
      importsOf(file)
        .filter(({ target, typeOnly }) => byPath.has(target) && !isAllowed(file.path, target, typeOnly))
        .map(({ target }) => `${file.path} → ${target}`),
    );
    expectOnly(against, CROSSINGS);
  });

  it("each relative import names a file that is there", () => {
    const missing = code.flatMap((file) =>
      importsOf(file)
        .filter(({ target }) => /\.(?:ts|js|mjs|json)$/.test(target) && !target.startsWith("node:"))
        .filter(({ target }) => !byPath.has(target) && !/^cities\.json/.test(target))
        .map(({ target }) => `${file.path} → ${target}`),
    );
    expect(missing).toEqual([]);
  });

  it("the table names parts that are there, and every file of the product is in one", () => {
    const gone = Object.keys(ARROWS).filter(
      (name) => !tree.some(({ path }) => path === name || path.startsWith(`${name}/`)),
    );
    expect(gone).toEqual([]);
    expect(product.filter(({ path }) => partOf(path) === null).map(({ path }) => path)).toEqual([]);
  });

  it("nobody imports node.ts but main.ts, tests and benches", () => {
    const users = code.filter((file) => importsOf(file).some(({ target }) => target === "src/node.ts"));
    expect(users.map(({ path }) => path).filter((path) => !/^(?:test|bench)\//.test(path))).toEqual(["src/main.ts"]);
  });

  it("the arrows have no cycle", () => {
    const wayBack = (from: string, to: string, seen: Set<string>): boolean =>
      from === to ||
      (ARROWS[from] ?? []).some((entry) => {
        const next = partOf(entry.replace("type ", ""));
        if (next === null || seen.has(next)) return false;
        seen.add(next);
        return wayBack(next, to, seen);
      });
    const cycles = Object.entries(ARROWS).flatMap(([part, entries]) =>
      entries
        .map((entry) => partOf(entry.replace("type ", "")))
        .filter((target) => target !== null && target !== part && wayBack(target, part, new Set()))
        .map((target) => `${part} → ${target} → … → ${part}`),
    );
    expect(cycles).toEqual([]);
  });
});

// The types and the linter hold these walls (test/tidy/walls.test.ts); a text search is the net below them.
describe("pure folders are pure", () => {
  const pure = withCodeOnly(code.filter(({ path }) => isPure(path)));

  it("no clock, timer, chance, promise or process is named in them", () => {
    const impure =
      /(?<![\w.#])(?:Date|performance|set(?:Timeout|Interval|Immediate)|queueMicrotask|process|Buffer|crypto|fetch|console|globalThis|global|require|async|await|Promise|Intl)\b(?!\s*\??:)|\bMath\.random|\.localeCompare|\bnew Function|\beval\(/;
    expect(linesWith(pure, impure)).toEqual([]);
  });

  it("they import nothing but files of ours; test kits may import the test library", () => {
    const foreign = code
      .filter(({ path }) => isPure(path))
      .flatMap((file) =>
        importsOf(file)
          .filter(({ target }) => !byPath.has(target))
          .filter(({ target }) => !(file.path.endsWith(".test-kit.ts") && /^(?:vitest|fast-check)$/.test(target)))
          // Commands are described in zod, for the HTTP layer says the same of its bodies.
          .filter(({ target }) => !(file.path.startsWith("src/control/") && target === "zod"))
          .map(({ target }) => `${file.path}: ${target}`),
      );
    expect(foreign).toEqual([]);
  });

  it("no wall is lifted by a comment", () => {
    const lifting =
      /biome-ignore.*(?:noRestrictedGlobals|noRestrictedImports|noJsRestrictedProperties|noImportCycles|noFloatingPromises)|biome-ignore-(?:all|start)|@ts-(?:ignore|nocheck)/;
    expect(linesWith(product, lifting)).toEqual([]);
  });
});

describe("time comes from the World", () => {
  const machines =
    biome.overrides.find(({ linter }) => linter.rules.style?.noRestrictedGlobals === "off")?.includes ?? [];

  it("only the files that biome.json lists ask what time it is now (a Date of a given time is no clock)", () => {
    const others = product.filter(({ path }) => !machines.some((glob) => matchesGlob(path, glob)));
    expect(machines).toContain("src/world/real*.ts");
    expect(others.length).toBeGreaterThan(100);
    expect(
      linesWith(withCodeOnly(others), /new Date\b(?!\()|new Date\(\s*\)|(?<!new )(?<![\w.])Date\(|\bnextTick\b/),
    ).toEqual([]);
  });
});

describe("what a reader relies on", () => {
  it("a file fits a sitting: 400 lines", () => {
    const lines = ({ text }: Source): number => text.trimEnd().split("\n").length;
    expectOnly(
      code.filter((file) => lines(file) > 400).map(({ path }) => path),
      LONG_FILES,
    );
    for (const [path, { linesMax }] of Object.entries(LONG_FILES))
      expect(lines(byPath.get(path) as Source), path).toBeLessThanOrEqual(linesMax);
  });

  it("a function fits a screen: the linter counts to 70, and who asked it not to is listed", () => {
    expect(biome.linter.rules.complexity?.noExcessiveLinesPerFunction).toMatchObject({
      level: "error",
      options: { maxLines: 70 },
    });
    expectOnly(
      product.filter(({ text }) => /biome-ignore.*noExcessiveLinesPerFunction/.test(text)).map(({ path }) => path),
      LONG_FUNCTIONS,
    );
  });

  it("no source file is there that nothing leads to", () => {
    const entries = product.filter(({ path }) =>
      /^(?:src\/main|crdt\/index|gossip\/index|gossip\/drivers\/pool)\.ts$/.test(path),
    );
    const alone = product.filter(({ path }) => path in LONELY);
    const tests = code.filter(({ path }) =>
      /\.(?:test|child|reporter)\.ts$|\.config\.ts$|^bench\/[^/]*\.ts$|^test\/mutants\/(?:run|finders)\.ts$|^test\/(?:sim|fuzz|consensus)\/main\.ts$/.test(
        path,
      ),
    );
    const without = (led: ReadonlySet<string>, files: readonly Source[]): string[] =>
      files.map(({ path }) => path).filter((path) => !led.has(path));
    expect(without(reach([...entries, ...alone]), product)).toEqual([]);
    expect(without(reach([...entries, ...alone, ...tests]), code)).toEqual([]);
    expect(without(reach(entries), alone), "no longer lonely").toEqual(Object.keys(LONELY).sort());
  });

  it("no folder or file is a drawer for everything", () => {
    const drawers = /(?:^|\/)(?:utils?|helpers?|common|managers?|misc|shared|lib)(?:\/|\.ts$)/;
    expect(code.map(({ path }) => path).filter((path) => drawers.test(path))).toEqual([]);
  });
});

describe("tests say what they do", () => {
  const tests = code.filter(({ path }) => /\.test(?:-kit)?\.ts$/.test(path));

  it("none is run alone", () => {
    expect(linesWith(withCodeOnly(tests), /\b(?:it|test|describe)(?:\.\w+)*\.only\b|\b[fx](?:it|describe)\(/)).toEqual(
      [],
    );
  });

  it("none is skipped without a line that says what is missing: printed, a note, or in its name", () => {
    const skips = /\.(?:skip|skipIf|runIf|todo)\b/;
    const printed = /console\.(?:warn|log|error)\(/;
    const note = /(?<!\b(?:it|test|describe)\.)\bskip\([^)]*["`]/;
    const name = /\.(?:skipIf|runIf)\(.*["`].*skipped (?:when|where|unless|without)/;
    const silent = tests.filter(
      ({ text }) => skips.test(codeOnly(text)) && ![printed, note, name].some((reason) => reason.test(text)),
    );
    expect(silent.map(({ path }) => path)).toEqual([]);
  });
});

describe("dependencies are few and chosen", () => {
  const manifest = JSON.parse(byPath.get("package.json")?.text ?? "{}") as Record<string, Record<string, string>>;
  const wanted = [...Object.keys(manifest.dependencies ?? {}), ...Object.keys(manifest.devDependencies ?? {})].sort();
  const rows = (byPath.get("docs/dependencies.md")?.text ?? "")
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .filter((cells) => /^`.+`$/.test(cells[1] ?? ""))
    .map(([, name = "", why = "", , licence = "", release = "", where = ""]) => ({
      name: name.replaceAll("`", ""),
      why,
      licence,
      release,
      where,
    }));

  it("docs/dependencies.md has a line for each, and for nothing else", () => {
    expect(rows.map(({ name }) => name).sort()).toEqual(wanted);
  });

  it("each line says why, the licence, the last release and where it is used", () => {
    const thin = rows.filter(
      ({ why, licence, release, where }) => !why || !licence || !/\d, \d{4}-\d\d/.test(release) || !where,
    );
    expect(thin.map(({ name }) => name)).toEqual([]);
  });

  it("each is imported only where its line says, and nothing else is imported", () => {
    const places = new Map(rows.map(({ name, where }) => [name, placesIn(where)]));
    const astray = code.flatMap((file) =>
      importsOf(file)
        .filter(({ target }) => !byPath.has(target))
        .map(({ target }) => packageOf(target))
        .filter((name) => name !== null && !isAtHome(file.path, places.get(name)))
        .map((name) => `${name} in ${file.path}`),
    );
    expectOnly(astray, BORROWED);
  });

  it("each is used where its line says", () => {
    const idle = rows.filter(({ name, where }) => {
      const homes = placesIn(where);
      return homes.length > 0 && !code.some(({ path, text }) => isAtHome(path, homes) && text.includes(`"${name}`));
    });
    expect(idle.map(({ name }) => name)).toEqual([]);
  });
});

describe("nothing private is told", () => {
  it("no path of somebody's machine stands in a file", () => {
    // Where this copy of the repository lies is such a path, too.
    const here = ROOT.replace(/\/[^/]*$/, "").length > 1 ? [ROOT] : [];
    const machine = new RegExp(`(?<![\\w.:/-])/(?:${["home", "root", "Users", "work", "farm"].join("|")})/[\\w.]`);
    expect(linesWith(tree, machine)).toEqual([]);
    expect(tree.filter(({ text }) => here.some((path) => text.includes(path))).map(({ path }) => path)).toEqual([]);
  });

  it("no package comes from a registry that only we can reach", () => {
    const registries = /\bregistry"?\s*[=:]\s*["']?https?:\/\/(?!registry\.npmjs\.org)|_authToken|"resolved":/;
    expect(linesWith(tree, registries).filter((line) => !line.startsWith("test/tidy"))).toEqual([]);
  });
});

/** All files that the imports of these lead to, themselves included. */
function reach(entries: readonly Source[]): Set<string> {
  const seen = new Set(entries.map(({ path }) => path));
  const open = [...entries];
  for (let file = open.pop(); file; file = open.pop())
    for (const { target } of importsOf(file)) {
      const next = byPath.get(target);
      if (!next || seen.has(target)) continue;
      seen.add(target);
      open.push(next);
    }
  return seen;
}

/** The places of the last column: paths, and "test kits". Empty for tools, and for peers of other packages. */
function placesIn(where: string): string[] {
  const paths = [...where.replace(/peer of .*/, "").matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
  return where.includes("test kits") ? [...paths, "test kits"] : paths;
}

function isAtHome(path: string, places: readonly string[] | undefined): boolean {
  return (places ?? []).some((place) =>
    place === "test kits" ? path.endsWith(".test-kit.ts") : path === place || path.startsWith(`${place}/`),
  );
}
