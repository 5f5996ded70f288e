import { randomBytes, randomUUID } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import type { OwnCluster } from "../config/config.ts";
import { fromHex, toHex } from "../kernel/bytes.ts";
import { CliError, EXIT } from "./exit.ts";

/** The identity that a node without [cluster] has made for itself: read from its data directory, or made there. Losing
 *  the salt would make the data unreadable by key, so the file is on disk before it is used. */
export function ownCluster(dataDir: string): OwnCluster {
  const path = join(dataDir, "cluster.json");
  const found = readIfThere(path);
  if (found !== null) return parseOwnCluster(path, found);
  const own = makeOwnCluster();
  writeSecretFile(path, `${JSON.stringify({ id: own.id, salt: toHex(own.salt) }, null, 2)}\n`);
  return own;
}

export function makeOwnCluster(): OwnCluster {
  return { id: randomUUID(), salt: new Uint8Array(randomBytes(16)) };
}

function parseOwnCluster(path: string, text: string): OwnCluster {
  try {
    const data: unknown = JSON.parse(text);
    if (typeof data === "object" && data !== null && "id" in data && "salt" in data) {
      const salt = fromHex(String(data.salt));
      if (typeof data.id === "string" && data.id !== "" && salt.length >= 16) return { id: data.id, salt };
    }
  } catch {
    // told below: the file is not what we wrote
  }
  throw new CliError(
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
