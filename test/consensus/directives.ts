import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Data-driven tests of etcd-io/raft: a command with its input, and the output that must come. */
export interface Directive {
  readonly file: string;
  readonly line: number;
  readonly command: string;
  readonly arguments: ReadonlyMap<string, readonly string[]>;
  readonly input: string;
  readonly expected: string;
}

const FOLDER = `${process.env.STARLING_CONFORMANCE ?? new URL("../../../shared/conformance", import.meta.url).pathname}/raft`;

/** Null where the data are not at hand. */
export function directiveFiles(kind: "confchange" | "quorum"): string[] | null {
  try {
    const folder = join(FOLDER, kind);
    return readdirSync(folder)
      .filter((name) => name.endsWith(".txt"))
      .map((name) => join(folder, name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

export function parseDirectives(file: string): Directive[] {
  const lines = readFileSync(file, "utf8").split("\n");
  const found: Directive[] = [];
  let at = 0;
  const next = (): string => lines[at++] ?? "";
  while (at < lines.length) {
    const line = at + 1;
    const command = next();
    if (command.trim() === "" || command.startsWith("#")) continue;
    const input: string[] = [];
    for (let text = next(); text !== "----"; text = next()) input.push(text);
    const expected: string[] = [];
    for (let text = next(); text !== "" && at <= lines.length; text = next()) expected.push(text);
    found.push({
      file,
      line,
      command: command.split(" ")[0] ?? "",
      arguments: argumentsOf(command),
      input: input.join(" "),
      expected: expected.map((text) => `${text}\n`).join(""),
    });
  }
  return found;
}

function argumentsOf(command: string): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [, key = "", list, word = ""] of command.matchAll(/(\w+)=(?:\(([^)]*)\)|(\S+))/g))
    found.set(
      key,
      list === undefined
        ? [word]
        : list
            .split(",")
            .map((item) => item.trim())
            .filter((item) => item !== ""),
    );
  return found;
}
