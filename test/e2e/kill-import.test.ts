import { afterAll, expect, it } from "vitest";
import { json, RealCluster, until } from "./cluster.ts";

const KILLS = Number(process.env.E2E_KILLS ?? 20);
const clusters: RealCluster[] = [];
afterAll(() => Promise.all(clusters.map((cluster) => cluster.stopAll())));

interface Writer {
  readonly acknowledged: Set<string>;
  stop: boolean;
}

/** Writes batches of new map records to one node until told to stop; keeps going over refused connections. */
async function importInto(url: string, name: string, writer: Writer): Promise<void> {
  for (let batch = 0; !writer.stop; batch++) {
    const keys = Array.from({ length: 50 }, (_, i) => `${name}/${batch}/${i}`);
    const items = keys.map((key, i) => ({
      op: "put",
      bucket: "places",
      key,
      value: { name: key, batch, i },
    }));
    const lines = items
      .map(({ key, value }) => JSON.stringify({ bucket: "places", key, type: "map", value }))
      .join("\n");
    try {
      const response = await fetch(`${url}/v1/import`, {
        method: "POST",
        body: `${lines}\n`,
        headers: { "content-type": "application/x-ndjson" },
      });
      const answer = (await response.json()) as { written: number };
      if (response.ok && answer.written === keys.length) for (const key of keys) writer.acknowledged.add(key);
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 20)); // killed under us: these lines may or may not be there
    }
  }
}

it(`after kill -9 at ${KILLS} random moments of an import no acknowledged record is missing anywhere`, {
  timeout: 600_000,
}, async () => {
  const cluster = await RealCluster.make(["eu", "us", "ap"]);
  clusters.push(cluster);
  await cluster.startAll();
  const writers = cluster.nodes.map((): Writer => ({ acknowledged: new Set(), stop: false }));
  const running = cluster.nodes.map(({ url, name }, i) => importInto(url, name, writers[i] as Writer));
  for (let kill = 0; kill < KILLS; kill++) {
    const victim = cluster.nodes[Math.floor(Math.random() * 3)] as (typeof cluster.nodes)[number];
    await new Promise((resolve) => setTimeout(resolve, 100 + Math.random() * 700));
    await cluster.kill(victim.name);
    await cluster.start(victim.name);
  }
  for (const writer of writers) writer.stop = true;
  await Promise.all(running);
  const tookMs = await cluster.converged();
  const acknowledged = new Set(writers.flatMap((writer) => [...writer.acknowledged]));
  for (const { url, name } of cluster.nodes) {
    const present = new Set<string>();
    for (let cursor: string | null = ""; cursor !== null; ) {
      const response = await fetch(
        `${url}/v1/kv/places?limit=1000${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`,
      );
      const page = (await response.json()) as { items: { key: string }[]; cursor?: string };
      for (const { key } of page.items) present.add(key);
      cursor = page.cursor ?? null;
    }
    expect(
      [...acknowledged].filter((key) => !present.has(key)),
      `acknowledged and missing at ${name}`,
    ).toEqual([]);
  }
  console.log(
    `${acknowledged.size} records acknowledged over ${KILLS} kills; equal digests ${tookMs.toFixed(0)} ms after the end`,
  );
  expect(acknowledged.size).toBeGreaterThan(KILLS * 50);
});

it("a second process on the same data directory is refused with a sentence", { timeout: 60_000 }, async () => {
  const cluster = await RealCluster.make(["eu"]);
  clusters.push(cluster);
  const first = await cluster.start("eu");
  const { code, output } = await cluster.secondProcess("eu");
  expect(code).not.toBe(0);
  expect(output).toMatch(/is in use by another Starling process/);
  expect((await fetch(`${first.url}/v1/kv/a/b`, json("PUT", 1))).status).toBe(204);
});

it("SIGTERM leaves a state from which the same data comes back", { timeout: 60_000 }, async () => {
  const cluster = await RealCluster.make(["eu"]);
  clusters.push(cluster);
  const { url } = await cluster.start("eu");
  for (let i = 0; i < 20; i++) expect((await fetch(`${url}/v1/kv/a/k${i}`, json("PUT", i))).status).toBe(204);
  const [before] = await cluster.digests();
  await cluster.kill("eu", "SIGTERM");
  await cluster.start("eu");
  await until("the same digest", async () => (await cluster.digests())[0]?.digest === before?.digest, 5_000);
  expect((await cluster.digests())[0]?.records).toBe(20);
});
