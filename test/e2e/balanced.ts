import { json } from "./cluster.ts";
import type { LifeCluster, LifeNode } from "./life.ts";

const CLIENTS = 10;
/** Of each client between two requests: some 200 a second together. */
const PAUSE_MS = 45;
const PROBE_MS = 200;
const TRY_MS = 5_000;
/** How long whoever prefers a node stays away from it after a try that came to nothing. */
const AWAY_MS = 300;

/** A try that came to nothing, and was made again at another node. */
export interface Failed {
  readonly node: string;
  /** Wall clock, as the nodes' logs have it. */
  readonly atMs: number;
  /** `not-serving` and other types of problems; the code of a connection that broke or was refused. */
  readonly why: string;
  /** Was the node's last answer to the balancer's probe that it is ready? */
  readonly wasReady: boolean;
}

/** Clients that write and read all the time, as behind a balancer: some of them ask whoever is ready by `/health/ready`, the others
 *  keep to one node as long as it serves. Both go on elsewhere when a try comes to nothing. */
export class Balanced {
  /** Key → value. Each key is written once. */
  readonly acknowledged = new Map<string, string>();
  /** Requests that no node answered as asked: there shall be none. */
  readonly lost: string[] = [];
  readonly failedTries: Failed[] = [];
  readonly answeredBy = new Map<string, number>();
  readonly #cluster: LifeCluster;
  readonly #preferred: string;
  readonly #name: string;
  #ready = new Set<string>();
  readonly #awayUntilMs = new Map<string, number>();
  #running: Promise<void>[] = [];
  #isStopping = false;
  #made = 0;

  /** @param preferred the node that half of the clients keep to */
  constructor(cluster: LifeCluster, name: string, preferred: string) {
    this.#cluster = cluster;
    this.#name = name;
    this.#preferred = preferred;
  }

  async start(): Promise<void> {
    await this.#probe();
    this.#running = [this.#goOnProbing(), ...Array.from({ length: CLIENTS }, (_, i) => this.#go(i))];
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all(this.#running);
  }

  /** Resolves after that many more requests. */
  async more(requests: number): Promise<void> {
    const until = this.#made + requests;
    while (this.#made < until) await pause(20);
  }

  get nodes(): readonly LifeNode[] {
    return [...this.#cluster.nodes.values()];
  }

  async #goOnProbing(): Promise<void> {
    while (!this.#isStopping) {
      await this.#probe();
      await pause(PROBE_MS);
    }
  }

  async #probe(): Promise<void> {
    const answers = await Promise.all(
      this.nodes.map(async (node) => ((await this.#cluster.isReady(node).catch(() => false)) ? [node.id] : [])),
    );
    this.#ready = new Set(answers.flat());
  }

  async #go(client: number): Promise<void> {
    const keys: string[] = [];
    for (let i = 0; !this.#isStopping; i++) {
      const key = `${this.#name}-${client}-${i}`;
      this.#made += 1;
      if (i % 2 === 0) {
        if (await this.#ask(client, key, json("PUT", key))) {
          this.acknowledged.set(key, key);
          keys.push(key);
        }
      } else await this.#ask(client, keys[i % keys.length] ?? key, {});
      await pause(Math.random() * 2 * PAUSE_MS);
    }
  }

  /** At one node after the other. */
  async #ask(client: number, key: string, request: RequestInit): Promise<boolean> {
    const whys: string[] = [];
    for (const node of this.#order(client)) {
      const wasReady = this.#ready.has(node.id);
      const why = await tryAt(`${node.url}/v1/kv/load/${key}`, request);
      if (why === null) {
        this.answeredBy.set(node.id, (this.answeredBy.get(node.id) ?? 0) + 1);
        return true;
      }
      whys.push(`${node.id}: ${why}`);
      this.failedTries.push({ node: node.id, atMs: Date.now(), why, wasReady });
      this.#awayUntilMs.set(`${client} ${node.id}`, Date.now() + AWAY_MS);
    }
    this.lost.push(`${request.method ?? "GET"} ${key}: ${whys.join("; ")}`);
    return false;
  }

  #order(client: number): LifeNode[] {
    const ready = this.nodes.filter(({ id }) => this.#ready.has(id));
    const from = Math.floor(Math.random() * ready.length);
    const turned = [...ready.slice(from), ...ready.slice(0, from)];
    if (client % 2 === 0) return turned;
    const isAway = (this.#awayUntilMs.get(`${client} ${this.#preferred}`) ?? 0) > Date.now();
    const preferred = isAway ? [] : this.nodes.filter(({ id }) => id === this.#preferred);
    return [...preferred, ...turned.filter(({ id }) => id !== this.#preferred)];
  }
}

/** Null when it was answered as asked, else why not. */
async function tryAt(url: string, request: RequestInit): Promise<string | null> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(TRY_MS) });
    const text = await response.text();
    // An asynchronous copy may not have it yet.
    if (response.ok || response.status === 404) return null;
    return (JSON.parse(text) as { type: string }).type;
  } catch (error) {
    const cause = error instanceof Error ? error.cause : undefined;
    if (cause instanceof Error && "code" in cause) return String(cause.code);
    return String(cause ?? error);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** All that a node has in the load's bucket, key → value. */
export async function loadAt({ url }: LifeNode): Promise<Map<string, string>> {
  const text = await (await fetch(`${url}/v1/export?bucket=load`)).text();
  const lines = text.split("\n").filter((line) => line !== "");
  return new Map(
    lines.map((line) => {
      const { key, value } = JSON.parse(line) as { key: string; value: string };
      return [key, value];
    }),
  );
}
