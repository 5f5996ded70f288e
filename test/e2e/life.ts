import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { freePorts, json, MAIN, until } from "./cluster.ts";

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A node of a cluster that grows and shrinks: it knows of no other one but by what it was told. */
export interface LifeNode {
  readonly id: string;
  readonly region: string;
  readonly url: string;
  readonly gossip: string;
  readonly dataDir: string;
  /** As `starling init`, `join`, `node` and `recover` take them. */
  readonly flags: readonly string[];
  process: ChildProcess | null;
  /** All that its processes have printed. */
  said: string;
  /** Of the last process that ended; null when a signal ended it. */
  exitCode: number | null;
}

export interface MemberView {
  readonly state: string;
  readonly role: string;
  readonly region: string;
  readonly instance: string | null;
}

export interface ConfigView {
  readonly version: number;
  readonly config: {
    readonly cluster: { readonly id: string; readonly incarnation: number };
    readonly members: Readonly<Record<string, MemberView>>;
    readonly policies: Readonly<Record<string, unknown>>;
  };
}

const ANSWER_MS = 20_000;
export const QUICK = { on: true, deadAfterMs: 3_000, stabiliseMs: 500, votersMax: 5 };

/** Node processes that come and go as an operator lets them. Each knows what its data directory says, and its flags. */
export class LifeCluster {
  readonly dir = mkdtempSync(join(tmpdir(), "starling-life-"));
  readonly nodes = new Map<string, LifeNode>();
  #folders = 0;

  /** A node to be, at addresses that nobody else has. @param id its region is what stands before the digits */
  async add(id: string, more: readonly string[] = []): Promise<LifeNode> {
    const ports = await freePorts(3);
    const region = id.replace(/\d+$/, "");
    const dataDir = this.freshFolder();
    const at = (i: number): string => `127.0.0.1:${ports[i]}`;
    const binds = ["client", "gossip", "peer"].flatMap((name, i) => [`--${name}.bind`, at(i)]);
    const who = ["--node.id", id, "--node.region", region, "--node.data_dir", dataDir];
    const flags = [...who, ...binds, "--gossip.profile", "local", ...more];
    const node = { id, region, url: `http://${at(0)}`, gossip: at(1), dataDir, flags };
    const made: LifeNode = { ...node, process: null, said: "", exitCode: null };
    this.nodes.set(id, made);
    return made;
  }

  freshFolder(): string {
    this.#folders += 1;
    return join(this.dir, `data-${this.#folders}`);
  }

  node(id: string): LifeNode {
    const node = this.nodes.get(id);
    if (!node) throw new Error(`no node ${id}`);
    return node;
  }

  get living(): LifeNode[] {
    return [...this.nodes.values()].filter((node) => node.process !== null);
  }

  // ---- processes

  /** Without waiting for anything. */
  spawn(node: LifeNode, more: readonly string[] = []): ChildProcess {
    // The channel closes when the tests are ended in any way, and a node whose channel closes stops (main.ts).
    const child = spawn(process.execPath, [MAIN, "node", ...node.flags, ...more], {
      env: { ...process.env, STARLING_LOG_LEVEL: "info" },
      stdio: ["ignore", "pipe", "pipe", "ipc"],
    });
    node.process = child;
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (bytes: Buffer) => {
        node.said += bytes.toString();
      });
    child.on("exit", (code) => {
      if (node.process !== child) return;
      node.process = null;
      node.exitCode = code;
    });
    return child;
  }

  /** Until it answers. */
  async start(id: string, more: readonly string[] = []): Promise<LifeNode> {
    const node = this.node(id);
    const child = this.spawn(node, more);
    const hasEnded = (): void => {
      if (child.exitCode !== null) throw new Error(`${id} ended with ${child.exitCode}: ${node.said.slice(-2_000)}`);
    };
    await until(`${id} answers`, async () => (await fetch(`${node.url}/health/live`)).ok, ANSWER_MS, hasEnded);
    return node;
  }

  async kill(id: string, signal: NodeJS.Signals = "SIGKILL"): Promise<number | null> {
    const node = this.node(id);
    const child = node.process;
    if (!child) return node.exitCode;
    const gone = new Promise<number | null>((resolve) => child.once("close", resolve));
    child.kill(signal);
    return gone;
  }

  async stopAll(): Promise<void> {
    await Promise.all(this.living.map(({ id }) => this.kill(id)));
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** Not the event loop's end: clients of this process go on meanwhile. @param at the node that it asks */
  async starling(at: LifeNode | null, ...args: string[]): Promise<Ended> {
    const child = spawn(process.execPath, [MAIN, ...args], {
      env: { ...process.env, ...(at && { STARLING_NODE: at.url }) },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 60_000,
      killSignal: "SIGKILL",
    });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (bytes: Buffer) => {
      stdout += bytes.toString();
    });
    child.stderr.on("data", (bytes: Buffer) => {
      stderr += bytes.toString();
    });
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    return { code, stdout, stderr };
  }

  async printed(at: LifeNode | null, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.starling(at, ...args);
    expect({ args, code, stderr: code === 0 ? "" : stderr }).toEqual({ args, code: 0, stderr: "" });
    return stdout;
  }

  // ---- a cluster's life

  /** `starling init`, and its first node. */
  async found(id: string, name = "birds"): Promise<LifeNode> {
    const node = await this.add(id);
    await this.printed(null, "init", "--node.data_dir", node.dataDir, "--cluster.name", name);
    await this.start(id);
    await until(`${id} has founded`, async () => (await this.config(node)).version > 0, ANSWER_MS);
    return node;
  }

  /** Without a process of its own: they are slow to start. */
  async #quickToken({ url }: LifeNode): Promise<string> {
    const response = await fetch(`${url}/cluster/tokens`, json("POST", {}));
    return ((await response.json()) as { secret: string }).secret;
  }

  async token(at: LifeNode, ...more: string[]): Promise<string> {
    return (await this.printed(at, "token", "create", "--join", ...more)).trim();
  }

  /** A token, `starling join`, `starling node`; until it is active. */
  async join(id: string, at: LifeNode, ...more: string[]): Promise<LifeNode> {
    const node = await this.add(id);
    await this.printed(null, "join", at.url, "--token", await this.#quickToken(at), ...node.flags, ...more);
    await this.start(id);
    await this.isActive(id, node);
    return node;
  }

  async isActive(id: string, asked: LifeNode): Promise<void> {
    await until(
      `${asked.id} knows that ${id} is active`,
      async () => (await this.memberOf(asked, id))?.state === "active",
      30_000,
    );
  }

  async config(asked: LifeNode): Promise<ConfigView> {
    const response = await fetch(`${asked.url}/v1/config`);
    const view = (await response.json()) as ConfigView;
    return response.ok
      ? view
      : { version: 0, config: { cluster: { id: "", incarnation: 0 }, members: {}, policies: {} } };
  }

  async memberOf(asked: LifeNode, id: string): Promise<MemberView | undefined> {
    return (await this.config(asked)).config.members[id];
  }

  async autopilot(asked: LifeNode, settings: Partial<typeof QUICK> = {}): Promise<void> {
    const response = await fetch(`${asked.url}/v1/config/autopilot`, json("PUT", { ...QUICK, ...settings }));
    expect({ status: response.status, text: await response.text() }).toMatchObject({ status: 200 });
  }

  /** Who leads, as all living nodes but `without` say. */
  async leader(withinMs = 20_000): Promise<LifeNode> {
    let leader = "";
    await until(
      "all agree on a leader that lives",
      async () => {
        const told = await Promise.all(this.living.map(({ url }) => leaderAt(url)));
        leader = told[0] ?? "";
        return this.nodes.get(leader)?.process != null && told.every((one) => one === leader);
      },
      withinMs,
    );
    return this.node(leader);
  }

  /** The voters of the Raft group, as its leader has it, when they are as many. */
  async voters(count: number, withinMs = 40_000): Promise<string[]> {
    let voters: string[] = [];
    await until(
      `${count} vote`,
      async () => {
        const { url } = await this.leader(withinMs);
        const view = await (await fetch(`${url}/cluster/consensus`)).json();
        const { voters: found, outgoingVoters } = view as { voters: string[]; outgoingVoters?: string[] };
        voters = found;
        return found.length === count && (outgoingVoters ?? []).length === 0;
      },
      withinMs,
    );
    return voters;
  }

  async isReady({ url }: LifeNode): Promise<boolean> {
    const response = await fetch(`${url}/health/ready`);
    await response.body?.cancel();
    return response.ok;
  }
}

async function leaderAt(url: string): Promise<string | null> {
  const response = await fetch(`${url}/cluster/leader`);
  const { leader } = (await response.json()) as { leader?: string };
  return leader ?? null;
}

export async function put({ url }: LifeNode, key: string, value: unknown): Promise<number> {
  const response = await fetch(`${url}/v1/kv/b/${key}`, json("PUT", value));
  await response.body?.cancel();
  return response.status;
}

/** The value as JSON text; null when there is none. */
export async function get({ url }: LifeNode, key: string): Promise<string | null> {
  const response = await fetch(`${url}/v1/kv/b/${key}`);
  const text = await response.text();
  return response.status === 200 ? text : null;
}

/** True when it is committed; false when nothing has happened; an unknown outcome is asked again, as any client would. */
export async function setPolicy(asked: LifeNode, bucket: string): Promise<number> {
  const response = await fetch(`${asked.url}/v1/policies/${bucket}`, json("PUT", { show: "siblings" }));
  await response.body?.cancel();
  return response.status;
}
