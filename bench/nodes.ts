import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { answers, Member } from "./member.ts";

const MAIN = fileURLToPath(new URL("../src/main.js", import.meta.url));

export interface BenchNode extends Member {
  readonly gossipPort: number;
}

/** Starling nodes as processes of their own on loopback, with empty data.
 *  @param nodeFlags of the runtime, for a profile */
export async function withNodes<T>(
  names: readonly string[],
  run: (nodes: BenchNode[]) => Promise<T>,
  nodeFlags: readonly string[] = [],
): Promise<T> {
  const dir = mkdtempSync(join(tmpdir(), "starling-bench-"));
  const base = 20_000 + Math.floor(Math.random() * 20_000);
  const port = (i: number, k: number): number => base + 10 * i + k;
  const owners = names.map((name, i) => `{ id = "${name}", region = "${name}", peer = "127.0.0.1:${port(i, 3)}" }`);
  const nodes: BenchNode[] = [];
  try {
    for (const [i, name] of names.entries()) {
      const file = join(dir, `${name}.toml`);
      writeFileSync(
        file,
        `[node]\nid = "${name}"\nregion = "${name}"\ndata_dir = "${join(dir, name)}"\n` +
          `[client]\nbind = "127.0.0.1:${port(i, 1)}"\n[gossip]\nbind = "127.0.0.1:${port(i, 2)}"\nlabel = "bench"\n` +
          `[peer]\nbind = "127.0.0.1:${port(i, 3)}"\n[log]\nlevel = "warn"\n` +
          `[cluster]\nid = "bench"\nname = "bench"\nsalt = "000102030405060708090a0b0c0d0e0f"\n` +
          `seeds = ["127.0.0.1:${port(0, 2)}"]\nowners = [${owners.join(", ")}]\n`,
      );
      const start = () =>
        spawn(process.execPath, [...nodeFlags, MAIN, "node", "--config", file], {
          stdio: ["ignore", "ignore", "inherit"],
        });
      const node = new Member(name, `http://127.0.0.1:${port(i, 1)}`, start);
      nodes.push(Object.assign(node, { gossipPort: port(i, 2) }));
    }
    for (const { url } of nodes) await answers(`${url}/health/ready`);
    return await run(nodes);
  } finally {
    await Promise.all(nodes.map((node) => node.stop()));
    rmSync(dir, { recursive: true, force: true });
  }
}
