import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { answers, Member } from "./member.ts";

/** Its first line of `--version`; null when it isn't in PATH. */
export function etcdVersion(): string | null {
  try {
    return execFileSync("etcd", ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "etcd";
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  }
}

/** Members of one etcd cluster as processes of their own on loopback, with empty data below `dir`. Heartbeats and elections
 *  at etcd's defaults, 100 ms and 1 s; so is its fsync for each commit. */
export async function withEtcd<T>(
  dir: string,
  names: readonly string[],
  run: (members: Member[]) => Promise<T>,
): Promise<T> {
  const base = 41_000 + Math.floor(Math.random() * 10_000);
  const client = (i: number): string => `http://127.0.0.1:${base + 10 * i}`;
  const peer = (i: number): string => `http://127.0.0.1:${base + 10 * i + 1}`;
  const members: Member[] = [];
  try {
    for (const [i, name] of names.entries()) {
      const options = {
        name,
        "data-dir": join(dir, `etcd-${base}-${name}`),
        "listen-client-urls": client(i),
        "advertise-client-urls": client(i),
        "listen-peer-urls": peer(i),
        "initial-advertise-peer-urls": peer(i),
        "initial-cluster": names.map((each, k) => `${each}=${peer(k)}`).join(","),
        "heartbeat-interval": "100",
        "election-timeout": "1000",
        "log-level": "error",
      };
      const args = Object.entries(options).flatMap(([option, value]) => [`--${option}`, value]);
      members.push(new Member(name, client(i), () => spawn("etcd", args, { stdio: "ignore" })));
    }
    for (const { url } of members) await answers(`${url}/health`);
    return await run(members);
  } finally {
    await Promise.all(members.map((member) => member.stop()));
  }
}

export function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}
