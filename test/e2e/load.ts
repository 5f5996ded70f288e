import type { Rng } from "../../src/kernel/rng.ts";
import { json, type RealCluster, type RealNode } from "./cluster.ts";
import { History, type Outcome, type Shown } from "./history.ts";

/** Longer than any healthy request on a loaded machine, shorter than a freeze: whoever gives up goes on elsewhere. */
const REQUEST_TIMEOUT_MS = 2_000;
const WRITERS = 6;
/** Of each writer between two requests: a steady load that leaves two cores some air. */
const PAUSE_MS = 25;
const COUNTERS = 5;
const BUCKET = "load";
const SLUGS_WITHOUT_EFFECT = ["overloaded", "busy", "contended", "damaged", "disk-full"];

interface Seen {
  readonly values: readonly string[];
  readonly context: string;
}

/** Steady writers over all nodes. Each has keys of its own, so what it wrote knowingly over what is certain. */
export class Load {
  readonly history = new History();
  readonly #name: string;
  readonly #cluster: RealCluster;
  readonly #rng: Rng;
  readonly #running: Promise<void>[];
  #stopping = false;
  #made = 0;

  /** @param name tells the keys of this load from those of others in the same cluster */
  constructor(cluster: RealCluster, name: string, rng: Rng) {
    this.#name = name;
    this.#cluster = cluster;
    this.#rng = rng;
    this.#running = Array.from({ length: WRITERS }, (_, i) => this.#write(`${name}/${i}`));
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#running);
  }

  /** Some writes at once to one node, so that the next commit there holds some. */
  async burst(node: RealNode): Promise<void> {
    await Promise.all(Array.from({ length: 10 }, () => this.#putOnce(`${this.#name}/burst${this.#made++}`, node)));
  }

  async #write(prefix: string): Promise<void> {
    const keys: string[] = [];
    while (!this.#stopping) {
      const dice = this.#rng.unit();
      if (dice < 0.2) await this.#increment(`${prefix.split("/")[0]}/counter${this.#rng.below(COUNTERS)}`);
      else if (dice < 0.6) await this.#putOnce(`${prefix}/once${this.#made++}`);
      else await this.#replace(this.#someKey(keys, prefix));
      await new Promise((resolve) => setTimeout(resolve, this.#rng.below(2 * PAUSE_MS)));
    }
  }

  #someKey(keys: string[], prefix: string): string {
    if (keys.length === 0 || this.#rng.below(4) === 0) keys.push(`${prefix}/again${this.#made++}`);
    return keys[this.#rng.below(keys.length)] as string;
  }

  #node(): RealNode {
    return this.#cluster.nodes[this.#rng.below(this.#cluster.nodes.length)] as RealNode;
  }

  async #increment(counter: string): Promise<void> {
    const node = this.#node();
    const by = 1 + this.#rng.below(100);
    const outcome = await send(
      `${node.url}/v1/ops/${BUCKET}/${counter}`,
      json("POST", { ops: [{ op: "increment", by }] }),
    );
    this.history.addIncrement(counter, { node: node.name, by, outcome });
  }

  /** A blind write of a key that nobody touches again. */
  async #putOnce(key: string, node = this.#node()): Promise<void> {
    const value = `v${this.#made++}`;
    const outcome = await send(`${node.url}/v1/kv/${BUCKET}/${key}`, json("PUT", value));
    this.history.add(key, { node: node.name, value, replaces: [], outcome });
  }

  /** Reads at one node, and replaces or deletes at another exactly what was seen there. */
  async #replace(key: string): Promise<void> {
    const seen = await read(this.#node(), key);
    if (seen === null) return;
    const node = this.#node();
    const isDelete = seen.values.length > 0 && this.#rng.below(3) === 0;
    const value = isDelete ? null : `v${this.#made++}`;
    const headers = { "starling-context": seen.context };
    const request = isDelete ? { method: "DELETE", headers } : json("PUT", value, headers);
    const outcome = await send(`${node.url}/v1/kv/${BUCKET}/${key}`, request);
    this.history.add(key, { node: node.name, value, replaces: seen.values, outcome });
  }

  /** All that the history names, as one node shows it. */
  async shownAt(node: RealNode): Promise<Shown> {
    const values = new Map<string, readonly string[]>();
    const counters = new Map<string, number>();
    const keys = [...this.history.registers.keys()];
    const readers = Array.from({ length: 8 }, async () => {
      for (let key = keys.pop(); key !== undefined; key = keys.pop())
        values.set(key, (await readSurely(node, key)).values);
    });
    await Promise.all(readers);
    for (const counter of this.history.counters.keys()) {
      const response = await fetch(`${node.url}/v1/kv/${BUCKET}/${counter}`);
      if (response.status === 200) counters.set(counter, Number(await response.text()));
      else await response.body?.cancel();
    }
    return { values, counters };
  }
}

async function send(url: string, request: RequestInit): Promise<Outcome> {
  try {
    const response = await fetch(url, { ...request, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) });
    const text = await response.text();
    if (response.ok) return "acknowledged";
    if (response.status < 500) throw new Error(`a good request was refused: ${response.status} ${text}`);
    const { type } = JSON.parse(text) as { type: string };
    return SLUGS_WITHOUT_EFFECT.includes(type) ? "refused" : "unknown";
  } catch (error) {
    return isRefusedConnection(error) ? "refused" : unknownUnlessOurs(error);
  }
}

function unknownUnlessOurs(error: unknown): Outcome {
  if (error instanceof TypeError || error instanceof DOMException) return "unknown"; // fetch: broken or timed out
  throw error;
}

function isRefusedConnection(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}

async function read(node: RealNode, key: string): Promise<Seen | null> {
  try {
    const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS);
    const response = await fetch(`${node.url}/v1/kv/${BUCKET}/${key}?siblings`, { signal });
    const body = (await response.json()) as { siblings: { value: string }[] };
    const context = response.headers.get("starling-context");
    if (![200, 404].includes(response.status) || context === null) return null;
    return { values: response.status === 200 ? body.siblings.map(({ value }) => value) : [], context };
  } catch (error) {
    unknownUnlessOurs(error);
    return null;
  }
}

async function readSurely(node: RealNode, key: string): Promise<Seen> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const seen = await read(node, key);
    if (seen) return seen;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error(`${node.name} does not answer for ${key}`);
}
