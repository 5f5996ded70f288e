import { describe, expect, it } from "vitest";
import type { RaftSettings } from "../../src/consensus/driver/settings.ts";
import { replay } from "../../src/control/diff.ts";
import type { VersionEvent } from "../../src/control/feed.ts";
import { type Tree, viewOf } from "../../src/control/view.ts";
import { present } from "../../src/kernel/assert.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import type { SimCluster } from "../sim/cluster.ts";
import { alike, elected, inCluster, planeOf, planes, voters } from "./clusters.ts";

// Watchers that follow whichever node answers, by Last-Event-ID, while leaders die, nodes restart and versions come from
// everywhere.

const BUSY_MS = 60_000;
const BUCKETS = 6;
const SHOWS = ["siblings", "lww", "fww"];

type Told = Pick<VersionEvent, "version" | "previous" | "changes">;

/** What a client does that keeps up with the configuration. */
class Watcher {
  version: number;
  view: Tree;
  readonly seen: number[] = [];
  readonly resets: { readonly version: number; readonly after: number; readonly at: string }[] = [];
  connections = 0;
  readonly #cluster: SimCluster;
  readonly #rng: Rng;
  #isOver = false;
  #leave: () => void = () => {};

  constructor(cluster: SimCluster, rng: Rng) {
    this.#cluster = cluster;
    this.#rng = rng;
    const state = present(planeOf(cluster, "eu").state, "it was founded");
    this.version = state.version;
    this.view = plain(viewOf(state));
  }

  end(): void {
    this.#isOver = true;
    this.#leave();
  }

  /** Goes from node to node until it is ended. */
  async run(): Promise<void> {
    const { names, kernel } = this.#cluster;
    while (!this.#isOver) {
      const name = present(names[this.#rng.below(names.length)], "there are three");
      try {
        await this.#follow(name);
      } catch (error) {
        // The node is down, or went down: another one is asked. What this test expects is no such error.
        if (!(error instanceof Error) || !/^request to /.test(error.message)) throw error;
      }
      // Now and then it is away for so long that much has happened.
      await kernel.sleep(this.#rng.below(this.#rng.below(4) === 0 ? 10_000 : 300));
    }
  }

  async #follow(name: string): Promise<void> {
    const { status, body } = await this.#cluster.request(name, {
      method: "GET",
      path: "/v1/config?watch",
      headers: { "last-event-id": String(this.version) },
    });
    if (status !== 200) return;
    this.connections += 1;
    const reader = present(body, "a stream has a body").getReader();
    let hasLeft = false;
    this.#leave = () => {
      hasLeft = true;
      // Where it has broken by then, the loop below hears of it.
      reader.cancel().catch(() => {});
    };
    if (this.#rng.below(3) > 0) void this.#cluster.kernel.sleep(this.#rng.below(6_000)).then(this.#leave);
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done || hasLeft) return;
      text += new TextDecoder().decode(value);
      const whole = text.split("\n\n");
      text = whole.pop() ?? "";
      for (const event of whole) this.#hear(name, event);
    }
  }

  #hear(name: string, text: string): void {
    const [, id, event, data] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(text) ?? [];
    if (id === undefined) return; // a heartbeat
    const told = JSON.parse(data ?? "null") as Told & { readonly config: Tree };
    expect(told.version).toBe(Number(id));
    expect(told.version).toBeGreaterThan(this.version);
    if (event === "reset") {
      this.resets.push({ version: told.version, after: this.version, at: name });
      this.view = told.config;
    } else {
      expect(event).toBe("version");
      // None between was left out.
      expect(told.previous).toBe(this.version);
      this.view = replay(this.view, told.changes);
      this.seen.push(told.version);
    }
    this.version = told.version;
  }
}

function plain(tree: Tree): Tree {
  return JSON.parse(JSON.stringify(tree)) as Tree;
}

/** Sets policies at whichever node takes them, and says which versions were made. */
async function write(cluster: SimCluster, rng: Rng, untilMs: number): Promise<number[]> {
  const { kernel, names } = cluster;
  const made: number[] = [];
  for (let i = 0; kernel.nowMs < untilMs; i++) {
    const name = names[rng.below(names.length)] ?? "";
    const path = `/v1/policies/b${rng.below(BUCKETS)}?timeoutMs=3000`;
    const headers = { "content-type": "application/json" };
    try {
      const put = await cluster.request(name, {
        method: "PUT",
        path,
        headers,
        body: JSON.stringify({ show: SHOWS[i % 3] }),
      });
      const { version } = JSON.parse(await put.text()) as { version: number };
      if (put.status === 200) made.push(version);
    } catch (error) {
      if (!(error instanceof Error) || !/^request to /.test(error.message)) throw error;
    }
    await kernel.sleep(rng.below(1_500));
  }
  return made;
}

/** One node at a time is down: killed or stopped in peace, the leader above all. */
async function disturb(cluster: SimCluster, rng: Rng, untilMs: number): Promise<void> {
  const { kernel, names } = cluster;
  while (kernel.nowMs < untilMs) {
    await kernel.sleep(500 + rng.below(4_000));
    const leader = planes(cluster)
      .find((plane) => plane.status().role === "leader")
      ?.status().node;
    const name = (rng.below(2) === 0 ? leader : undefined) ?? names[rng.below(names.length)] ?? "";
    if (rng.below(3) === 0) await cluster.stop(name);
    else cluster.crash(name);
    await kernel.sleep(rng.below(5_000));
    cluster.start(name);
    await cluster.until(() => cluster.member(name).running !== null, 20_000, `${name} is back`);
  }
}

interface Outcome {
  readonly made: readonly number[];
  readonly watchers: readonly Watcher[];
}

async function watched(seed: number, raft: Partial<RaftSettings> = {}): Promise<Outcome> {
  const rng = seededRng(seed);
  let outcome: Outcome = { made: [], watchers: [] };
  const lived = async (cluster: SimCluster): Promise<void> => {
    await cluster.startAll();
    await voters(cluster, 3);
    await elected(cluster);
    await alike(cluster);
    const watchers = [new Watcher(cluster, rng.fork()), new Watcher(cluster, rng.fork())];
    const running = watchers.map((watcher) => watcher.run());
    const endMs = cluster.kernel.nowMs + BUSY_MS;
    const [made] = await Promise.all([write(cluster, rng.fork(), endMs), disturb(cluster, rng.fork(), endMs)]);
    await elected(cluster);
    await alike(cluster);
    const state = present(planeOf(cluster, "eu").state, "it was founded");
    await cluster.until(() => watchers.every(({ version }) => version === state.version), 30_000, "all was told");
    for (const watcher of watchers) watcher.end();
    await Promise.all(running);
    for (const { view } of watchers) expect(view).toEqual(plain(viewOf(state)));
    outcome = { made, watchers };
  };
  await inCluster(1_000 + seed, lived, { raft });
  return outcome;
}

describe("watchers of the configuration, from node to node", () => {
  it("see every version once and in order: 20 seeds of leaders killed and nodes started again", async () => {
    const totals = { made: 0, connections: 0 };
    for (let seed = 1; seed <= 20; seed++) {
      const { made, watchers } = await watched(seed);
      for (const { seen, resets, connections } of watchers) {
        expect({ seed, resets }).toEqual({ seed, resets: [] });
        const mine = new Set(seen);
        expect(made.filter((version) => !mine.has(version))).toEqual([]);
        totals.connections += connections;
      }
      totals.made += made.length;
    }
    expect(totals.made).toBeGreaterThan(300);
    expect(totals.connections).toBeGreaterThan(250);
  }, 300_000);

  it("are told the whole where a node's log begins later than what they saw, and miss nothing after", async () => {
    let resets = 0;
    for (let seed = 101; seed <= 106; seed++)
      for (const { made, watchers } of [await watched(seed, { compactEntries: 3 })])
        for (const watcher of watchers) {
          resets += watcher.resets.length;
          const mine = new Set(watcher.seen);
          const isTold = (version: number): boolean =>
            watcher.resets.some((reset) => reset.after < version && version <= reset.version);
          expect(made.filter((version) => !mine.has(version) && !isTold(version))).toEqual([]);
        }
    expect(resets).toBeGreaterThan(0);
  }, 120_000);
});
