import { randomBytes, randomUUID } from "node:crypto";
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OwnCluster } from "../config/config.ts";
import { seeds as seedList } from "../config/kinds.ts";
import { fromHex, toHex } from "../kernel/bytes.ts";
import { CliError, EXIT } from "./exit.ts";

/** The identity that a node without [cluster] has made for itself, or was given: read from its data directory, or made
 *  there. */
export function ownCluster(dataDir: string): OwnCluster {
  return readOwnCluster(dataDir) ?? keepOwnCluster(dataDir, makeOwnCluster());
}

/** Null when no cluster was founded or joined with this directory. Throws a CliError for a file that is damaged. */
export function readOwnCluster(dataDir: string): OwnCluster | null {
  const path = pathIn(dataDir);
  const found = readIfThere(path);
  return found === null ? null : parseOwnCluster(path, found);
}

/** Losing the salt would make the data unreadable by key, so the file is on disk before it is used. */
export function keepOwnCluster(dataDir: string, own: OwnCluster): OwnCluster {
  const { id, salt, name, role, seeds } = own;
  const kept = { id, salt: toHex(salt), ...(name !== null && { name }), role, ...(role === "member" && { seeds }) };
  writeSecretFile(pathIn(dataDir), `${JSON.stringify(kept, null, 2)}\n`);
  return own;
}

export function makeOwnCluster(name: string | null = null): OwnCluster {
  return { id: randomUUID(), salt: new Uint8Array(randomBytes(16)), name, role: "founder", seeds: [] };
}

/** What a node keeps in its data directory (src/storage): where one of them is, a node has lived. */
const DATA_FILES = ["data.db", "consensus.sqlite"];

/** Throws a CliError where a cluster was founded or joined already, or data lies without one. */
export function mustBeFresh(dataDir: string, instead: string): void {
  const own = readOwnCluster(dataDir);
  if (own)
    throw new CliError(
      EXIT.failed,
      `${pathIn(dataDir)} says that this node ${own.role === "member" ? "joined" : "founded"} a cluster already${own.name === null ? "" : ` (${own.name})`}: ${instead}`,
    );
  const found = DATA_FILES.find((file) => existsSync(join(dataDir, file)));
  if (found !== undefined)
    throw new CliError(
      EXIT.failed,
      `${join(dataDir, found)} is there: a node has its data in this directory. ${capital(instead)}`,
    );
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function pathIn(dataDir: string): string {
  return join(dataDir, "cluster.json");
}

function parseOwnCluster(path: string, text: string): OwnCluster {
  try {
    const data: unknown = JSON.parse(text);
    if (typeof data === "object" && data !== null) return ownClusterOf(new Map(Object.entries(data)));
  } catch {
    // told below: the file is not what we wrote
  }
  throw damaged(path);
}

/** Files of earlier versions have the id and the salt alone. Throws when something is not what we wrote. */
export function ownClusterOf(fields: ReadonlyMap<string, unknown>): OwnCluster {
  const { id, salt: hex, name = null, role = "founder", seeds = [] } = Object.fromEntries(fields);
  const salt = fromHex(String(hex));
  const isName = name === null || (typeof name === "string" && name !== "");
  if (typeof id !== "string" || id === "" || salt.length < 16 || !isName) throw new Error("not what we wrote");
  if (role !== "founder" && role !== "member") throw new Error("a role of a later version, or none");
  return { id, salt, name, role, seeds: seedList.parse(seeds) };
}

function damaged(path: string): CliError {
  return new CliError(
    EXIT.usage,
    `${path} is damaged. It holds the cluster's id and salt, without which the data beside it can't be read by key: restore it from a backup, or start over with an empty data directory`,
  );
}

export function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw new CliError(EXIT.failed, `cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Whole or not at all, for the owner's eyes only (mode 0600). */
export function writeSecretFile(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    const draft = `${path}.new`;
    const file = openSync(draft, "w", 0o600);
    writeSync(file, text);
    fsyncSync(file);
    closeSync(file);
    renameSync(draft, path);
    // The rename must outlive a power loss too, or data under the new salt would stand beside no salt.
    const folder = openSync(dirname(path), "r");
    fsyncSync(folder);
    closeSync(folder);
  } catch (error) {
    throw new CliError(EXIT.failed, `cannot write ${path}: ${error instanceof Error ? error.message : String(error)}`);
  }
}
