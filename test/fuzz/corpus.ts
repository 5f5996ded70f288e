import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";

/** Inputs that once failed, a file each, from the package's folder on: test/fuzz/corpus/TARGET/HASH. */
const CORPUS = "test/fuzz/corpus";

export function saveInput(target: string, input: Uint8Array): string {
  const name = createHash("sha256").update(input).digest("hex").slice(0, 16);
  const file = `${CORPUS}/${target}/${name}`;
  mkdirSync(`${CORPUS}/${target}`, { recursive: true });
  writeFileSync(file, input);
  return file;
}

export function savedInputs(target: string): { file: string; input: Uint8Array }[] {
  const folder = `${CORPUS}/${target}`;
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .sort()
    .map((name) => ({ file: `${folder}/${name}`, input: new Uint8Array(readFileSync(`${folder}/${name}`)) }));
}
