import { readdirSync, readFileSync } from "node:fs";
import { dirname, extname, join, posix, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** Repository root. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../..");

const NOT_OURS = new Set(["node_modules", "dist", "coverage", "package-lock.json"]);
const TEXT = new Set([".ts", ".mjs", ".js", ".json", ".md", ".html", ".css", ".sh", ".toml", ".txt", ""]);

export interface Source {
  /** Relative to the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** All text files of the repository (what is generated or installed left out), sorted by path. Of dot-folders only
 *  `.ci`: the others belong to editors and tools. */
export function readTree(root: string = ROOT): Source[] {
  const found: Source[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (NOT_OURS.has(entry.name)) continue;
      if (entry.isDirectory() && (!entry.name.startsWith(".") || entry.name === ".ci")) walk(path);
      else if (entry.isFile() && TEXT.has(extname(entry.name)))
        found.push({ path: relative(root, path).split(sep).join("/"), text: readFileSync(path, "utf8") });
    }
  };
  walk(root);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

export interface Import {
  /** Relative to the root for files of our own, as written for the rest. */
  readonly target: string;
  /** Nothing of it is left in the output. */
  readonly typeOnly: boolean;
}

const COMMENT_LINE = /^\s*(?:\/\/|\/?\*).*$/gm;

// `from "x"` and `import "x"` of statements (at the start of a line or behind another one), `import("x")` of calls and types.
const STATEMENT = /(?:^|;)[ \t]*(?:import|export)\b(?:[^"'`;=]*?\bfrom)?\s*"([^"\n]+)"/gm;
const CALL = /\bimport\(\s*"([^"\n]+)"/g;

/** What a file imports or re-exports. */
export function importsOf({ path, text }: Source): Import[] {
  const code = text.replace(COMMENT_LINE, "");
  return [...code.matchAll(STATEMENT), ...code.matchAll(CALL)].map(([statement, name = ""]) => ({
    target: name.startsWith(".") ? posix.join(posix.dirname(path), name) : name,
    typeOnly: /^[;\s]*(?:import|export) type\b/.test(statement),
  }));
}

/** `@scope/name/deep` → `@scope/name`; null for files of our own and modules of Node. */
export function packageOf(target: string): string | null {
  if (target.startsWith("node:") || /\.[a-z]+$/.test(target)) return null;
  return target.split("/", target.startsWith("@") ? 2 : 1).join("/");
}

const COMMENT_OR_STRING = /\/\/.*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"|`(?:\\.|[^`\\])*`/g;

/** The code without comments and without the text of strings; of templates what stands in `${…}` stays. Line numbers stay. */
export function codeOnly(text: string): string {
  return text.replace(COMMENT_OR_STRING, (match) => {
    const lines = "\n".repeat(match.split("\n").length - 1);
    if (!match.startsWith("`")) return match.startsWith('"') ? `""${lines}` : lines;
    return `(${[...match.matchAll(/\$\{([^}]*)\}/g)].map((part) => part[1]).join(",")})${lines}`;
  });
}

/** The globs of biome.json: `**` any folders, `*` any part of a name. */
export function matchesGlob(path: string, glob: string): boolean {
  const pattern = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replace(/\*\*\/|\*\*|\*/g, (stars) => (stars === "*" ? "[^/]*" : stars === "**" ? ".*" : "(?:.*/)?"));
  return new RegExp(`^${pattern}$`).test(path);
}
