import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const hasSerf: boolean = spawnSync("serf", ["version"]).status === 0;

export interface SerfMember {
  readonly name: string;
  /** `host:port`. */
  readonly addr: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly status: "alive" | "leaving" | "left" | "failed";
}

interface Agent {
  readonly name: string;
  readonly address: string;
  readonly rpc: string;
  readonly tags: Readonly<Record<string, string>>;
  process: ChildProcess | null;
  log: string;
}

/** Real `serf agent` processes on loopback. */
export class SerfAgents {
  readonly #dir = mkdtempSync(join(tmpdir(), "starling-serf-"));
  readonly #agents = new Map<string, Agent>();
  readonly #key: string | undefined;
  readonly #ports: number[];

  /** @param ports two free ones for each agent */
  constructor(ports: readonly number[], key?: string) {
    this.#ports = [...ports];
    this.#key = key;
  }

  get names(): string[] {
    return [...this.#agents.keys()];
  }

  isUp(name: string): boolean {
    return this.#agent(name).process !== null;
  }

  address(name: string): string {
    return this.#agent(name).address;
  }

  tags(name: string): Readonly<Record<string, string>> {
    return this.#agent(name).tags;
  }

  log(name: string): string {
    return this.#agent(name).log;
  }

  /** Starts one (again, at the same address) and waits until it answers. */
  async start(name: string, others: readonly string[] = []): Promise<void> {
    const known = this.#agents.get(name);
    const tags = { role: name, dc: "east" };
    const agent: Agent = known ?? {
      name,
      address: `127.0.0.1:${this.#ports.pop()}`,
      rpc: `127.0.0.1:${this.#ports.pop()}`,
      tags,
      process: null,
      log: "",
    };
    this.#agents.set(name, agent);
    const args = ["agent", `-node=${name}`, `-bind=${agent.address}`, `-rpc-addr=${agent.rpc}`, "-profile=lan"];
    if (this.#key !== undefined) {
      // Serf keeps changed keys there; the first start finds the one of the pool.
      const file = join(this.#dir, `${name}.json`);
      if (!existsSync(file)) writeFileSync(file, JSON.stringify([this.#key]));
      args.push(`-keyring-file=${file}`);
    }
    for (const [tag, value] of Object.entries(tags)) args.push("-tag", `${tag}=${value}`);
    for (const address of others) args.push(`-join=${address}`);
    const child = spawn("serf", args, { cwd: this.#dir, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (bytes: Buffer) => {
        agent.log += bytes.toString();
      });
    child.on("exit", () => {
      if (agent.process === child) agent.process = null;
    });
    agent.process = child;
    for (let tries = 0; tries < 100; tries++) {
      if (this.run(name, "info").status === 0) return;
      if (child.exitCode !== null) break;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    throw new Error(`serf agent ${name} does not answer: ${agent.log}`);
  }

  run(name: string, ...args: string[]): { status: number | null; output: string } {
    const [command = "info", ...rest] = args;
    const { status, stdout, stderr } = spawnSync("serf", [command, `-rpc-addr=${this.#agent(name).rpc}`, ...rest], {
      encoding: "utf8",
    });
    return { status, output: stdout + stderr };
  }

  members(name: string): SerfMember[] {
    const args = ["members", `-rpc-addr=${this.#agent(name).rpc}`, "-format=json"];
    return (JSON.parse(execFileSync("serf", args, { encoding: "utf8" })) as { members: SerfMember[] }).members;
  }

  async kill(name: string, signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#agent(name).process;
    if (!child) return;
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await gone;
  }

  signal(name: string, signal: NodeJS.Signals): void {
    this.#agent(name).process?.kill(signal);
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.names.map((name) => this.kill(name)));
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #agent(name: string): Agent {
    const agent = this.#agents.get(name);
    if (!agent) throw new Error(`no serf agent ${name}`);
    return agent;
  }
}
