import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** A second process that should have ended by itself, and has not: it must not outlive its test. */
const SECOND_PROCESS_MS = 30_000;
export const MAIN = join(ROOT, "dist/src/main.js");

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export interface RealNode {
  readonly name: string;
  readonly host: string;
  readonly url: string;
  readonly ports: { readonly client: number; readonly gossip: number; readonly peer: number };
  readonly dataDir: string;
  readonly logFile: string;
  process: ChildProcess | null;
}

export interface ClusterOptions {
  /** TOML that each node's file gets at its end. */
  readonly extra?: string;
  /** Where a node listens, by its name; loopback where nothing is said. */
  readonly hosts?: ReadonlyMap<string, string>;
  /** What stands before a node's command line: a program that runs it somewhere else, with the same process id. */
  readonly prefix?: (name: string) => readonly string[];
}

export interface NodeDigest {
  readonly node: string;
  readonly digest: string;
  readonly records: number;
}

/** Node processes on loopback, as an operator would start them: dist/src/main.js with a configuration file each. */
export class RealCluster {
  readonly dir = mkdtempSync(join(tmpdir(), "starling-e2e-"));
  readonly nodes: RealNode[] = [];
  readonly #options: ClusterOptions;

  private constructor(options: ClusterOptions) {
    this.#options = options;
  }

  static async make(names: readonly string[], extra: string | ClusterOptions = ""): Promise<RealCluster> {
    if (!existsSync(MAIN)) throw new Error("dist/ is missing: npm test builds it first (node bin/setup.mjs --dev)");
    const cluster = new RealCluster(typeof extra === "string" ? { extra } : extra);
    const ports = await freePorts(3 * names.length);
    for (const [i, name] of names.entries()) {
      const [client, gossip, peer] = ports.slice(3 * i, 3 * i + 3) as [number, number, number];
      const host = cluster.#options.hosts?.get(name) ?? "127.0.0.1";
      const dataDir = join(cluster.dir, name);
      const logFile = join(cluster.dir, `${name}.log`);
      cluster.nodes.push({
        name,
        host,
        url: `http://${host}:${client}`,
        ports: { client, gossip, peer },
        dataDir,
        logFile,
        process: null,
      });
    }
    for (const node of cluster.nodes) writeFileSync(cluster.#configFile(node), cluster.#config(node));
    return cluster;
  }

  #configFile({ name }: RealNode): string {
    return join(this.dir, `${name}.toml`);
  }

  #config(node: RealNode): string {
    const owners = this.nodes.map(
      (n) => `{ id = "${n.name}", region = "${n.name}", peer = "${n.host}:${n.ports.peer}" }`,
    );
    return `[node]
id = "${node.name}"
region = "${node.name}"
data_dir = "${node.dataDir}"
[client]
bind = "${node.host}:${node.ports.client}"
[gossip]
bind = "${node.host}:${node.ports.gossip}"
profile = "local"
label = "e2e"
[peer]
bind = "${node.host}:${node.ports.peer}"
[cluster]
id = "e2e"
name = "e2e"
salt = "000102030405060708090a0b0c0d0e0f"
seeds = [${this.nodes.map((n) => `"${n.host}:${n.ports.gossip}"`).join(", ")}]
owners = [${owners.join(", ")}]
${this.#options.extra ?? ""}`;
  }

  node(name: string): RealNode {
    const node = this.nodes.find((n) => n.name === name);
    if (!node) throw new Error(`no node ${name}`);
    return node;
  }

  async start(name: string, env: Record<string, string> = {}): Promise<RealNode> {
    const node = this.node(name);
    const command = [process.execPath, MAIN, "node", "--config", this.#configFile(node)];
    const [program = process.execPath, ...args] = [...(this.#options.prefix?.(name) ?? []), ...command];
    // The channel closes when the tests are ended in any way, and a node whose channel closes stops (main.ts).
    const child = spawn(program, args, {
      env: { ...process.env, STARLING_DEV_ENABLED: "true", ...env },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    node.process = child;
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (bytes: Buffer) => writeFileSync(node.logFile, bytes, { flag: "a" }));
    child.on("exit", () => {
      if (node.process === child) node.process = null;
    });
    await until(
      `${name} answers`,
      async () => (await fetch(`${node.url}/health/live`)).ok,
      20_000,
      () => {
        if (child.exitCode !== null)
          throw new Error(`${name} ended with ${child.exitCode}: ${this.log(name).slice(-2_000)}`);
      },
    );
    return node;
  }

  /** Runs a second process on a node's data directory (or a copy of it), at other ports, until it ends; returns what it
   *  printed. */
  async secondProcess(
    name: string,
    dataDir = this.node(name).dataDir,
  ): Promise<{ code: number | null; output: string }> {
    const any = "127.0.0.1:0";
    const child = spawn(process.execPath, [MAIN, "node", "--config", this.#configFile(this.node(name))], {
      env: {
        ...process.env,
        STARLING_NODE_DATA_DIR: dataDir,
        STARLING_CLIENT_BIND: any,
        STARLING_GOSSIP_BIND: any,
        STARLING_PEER_BIND: any,
      },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: SECOND_PROCESS_MS,
      killSignal: "SIGKILL",
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes: Buffer) => {
        output += bytes.toString();
      });
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { code, output };
  }

  async startAll(env: Record<string, string> = {}): Promise<void> {
    await Promise.all(this.nodes.map(({ name }) => this.start(name, env)));
    await until("all ready", () => this.every(async ({ url }) => (await fetch(`${url}/health/ready`)).ok), 30_000);
  }

  log(name: string): string {
    const { logFile } = this.node(name);
    return existsSync(logFile) ? readFileSync(logFile, "utf8") : "";
  }

  /** Ends a process and waits until it is gone. */
  async kill(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.node(name).process;
    if (!child) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.node(name).process?.kill(signal);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.nodes.map(({ name }) => this.kill(name, "SIGKILL")));
    rmSync(this.dir, { recursive: true, force: true });
  }

  async every(holds: (node: RealNode) => Promise<boolean>): Promise<boolean> {
    const living = this.nodes.filter((node) => node.process !== null);
    return (await Promise.all(living.map(holds))).every(Boolean);
  }

  /** What this node's drivers let through, on all nodes. */
  async network(rules: { cut?: [string, string][] }): Promise<void> {
    for (const { url } of this.nodes.filter((node) => node.process !== null)) {
      const response = await fetch(
        `${url}/v1/dev/network`,
        json("PUT", { cut: [], delayMs: {}, lossPercent: 0, ...rules }),
      );
      if (!response.ok) throw new Error(`network rules refused: ${await response.text()}`);
    }
  }

  async digests(): Promise<NodeDigest[]> {
    const living = this.nodes.filter((node) => node.process !== null);
    return Promise.all(
      living.map(async ({ url }) => (await (await fetch(`${url}/cluster/sync/status`)).json()) as NodeDigest),
    );
  }

  /** Waits until all living nodes have equal digests and nothing is under way; returns how long that took. */
  async converged(withinMs = 60_000): Promise<number> {
    const startedMs = performance.now();
    await until(
      "equal digests",
      async () => {
        const before = await this.digests();
        const after = await this.digests();
        return new Set([...before, ...after].map(({ digest }) => digest)).size === 1;
      },
      withinMs,
    );
    return performance.now() - startedMs;
  }
}

export function json(method: string, body: unknown, headers: Record<string, string> = {}): RequestInit {
  return { method, body: JSON.stringify(body), headers: { "content-type": "application/json", ...headers } };
}

/** Polls until something holds. A refused connection counts as "not yet". */
export async function until(
  what: string,
  holds: () => Promise<boolean>,
  withinMs: number,
  check: () => void = () => {},
): Promise<void> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    check();
    const held = await holds().catch((error: unknown) => {
      if (error instanceof TypeError) return false; // fetch: nobody listens (yet)
      throw error;
    });
    if (held) return;
    if (performance.now() > endMs) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
