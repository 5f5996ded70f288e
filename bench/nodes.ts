import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.js", import.meta.url));
const START_MS = 20_000;

export interface BenchNode {
  readonly name: string;
  readonly url: string;
  readonly gossipPort: number;
  readonly pid: number;
}

/** Starling nodes as processes of their own on loopback, with empty data. */
export async function withNodes<T>(names: readonly string[], run: (nodes: BenchNode[]) => Promise<T>): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "starling-bench-"));
  const base = 20_000 + Math.floor(Math.random() * 20_000);
  const port = (i: number, k: number): number => base + 10 * i + k;
  const owners = names.map((name, i) => `{ id = "${name}", region = "${name}", peer = "127.0.0.1:${port(i, 3)}" }`);
  const children: ChildProcess[] = [];
  try {
    const nodes = names.map((name, i) => {
      const file = join(dir, `${name}.toml`);
      writeFileSync(
        file,
        `[node]\nid = "${name}"\nregion = "${name}"\ndata_dir = "${join(dir, name)}"\n` +
          `[client]\nbind = "127.0.0.1:${port(i, 1)}"\n[gossip]\nbind = "127.0.0.1:${port(i, 2)}"\nlabel = "bench"\n` +
          `[peer]\nbind = "127.0.0.1:${port(i, 3)}"\n[log]\nlevel = "warn"\n` +
          `[cluster]\nid = "bench"\nname = "bench"\nsalt = "000102030405060708090a0b0c0d0e0f"\n` +
          `seeds = ["127.0.0.1:${port(0, 2)}"]\nowners = [${owners.join(", ")}]\n`,
      );
      const child = spawn(process.execPath, [MAIN, "node", "--config", file], {
        stdio: ["ignore", "ignore", "inherit"],
      });
      children.push(child);
      return { name, url: `http://127.0.0.1:${port(i, 1)}`, gossipPort: port(i, 2), pid: child.pid ?? -1 };
    });
    for (const { url } of nodes) await answers(`${url}/health/ready`);
    return await run(nodes);
  } finally {
    await Promise.all(children.map(end));
    rmSync(dir, { recursive: true, force: true });
  }
}

export async function answers(url: string): Promise<void> {
  for (const endMs = performance.now() + START_MS; performance.now() < endMs; ) {
    const ok = await fetch(url).then(
      (response) => response.ok,
      () => false,
    ); // nobody listens yet
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${url} did not answer within ${START_MS} ms`);
}

export async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await gone;
  clearTimeout(timer);
}
