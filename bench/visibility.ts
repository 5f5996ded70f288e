import type { Report } from "./machine.ts";
import { machineLine, percentile } from "./machine.ts";
import type { BenchNode } from "./nodes.ts";
import { withNodes } from "./nodes.ts";

// Question: how long after its acknowledgement is a write visible on the other two nodes?
// Peer: none; the physical limit is a round trip on loopback and an fsync on the receiver. Three processes.
// Run: npm run -s bench -- visibility

const WRITES = 400;

export async function run(): Promise<Report> {
  const delays = await withNodes(["eu", "us", "ap"], async (nodes) => {
    const [from, ...others] = nodes as [BenchNode, ...BenchNode[]];
    const all: number[] = [];
    for (let i = 0; i < WRITES; i++) {
      const path = `/v1/kv/visibility/k${i}`;
      const response = await fetch(`${from.url}${path}`, {
        method: "PUT",
        body: "x",
        headers: { "content-type": "text/plain+x" },
      });
      if (response.status !== 204) throw new Error(await response.text());
      const acknowledgedMs = performance.now();
      all.push(...(await Promise.all(others.map((node) => visibleAfter(`${node.url}${path}`, acknowledgedMs)))));
    }
    return all;
  });
  return {
    bench: "visibility",
    question: "how long after its acknowledgement is a write visible on the other two nodes?",
    machine: machineLine(),
    peers: [],
    figures: [50, 90, 99].map((p) => ({
      name: `acknowledgement to visibility, p${p}`,
      value: percentile(delays, p / 100),
      unit: "ms",
    })),
  };
}

async function visibleAfter(url: string, sinceMs: number): Promise<number> {
  for (const endMs = performance.now() + 10_000; performance.now() < endMs; ) {
    const response = await fetch(url);
    await response.arrayBuffer();
    if (response.status === 200) return performance.now() - sinceMs;
  }
  throw new Error(`${url} was not visible within 10 s`);
}
