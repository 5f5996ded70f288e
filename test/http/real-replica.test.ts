import { expect, test } from "vitest";
import { makeApp } from "../../src/http/app.ts";
import { Replica } from "../../src/replication/replica.ts";
import { openMemoryStore } from "../../src/storage/memory.ts";
import type { World } from "../../src/world/world.ts";
import { type Json, makeNode, type Node } from "./harness.ts";

// The other tests here run on a replica of their own (memory-replica.ts). This one asks the same questions of it and of the
// real one, and compares the answers word for word.

/** The API before the real replica: no peers, a store in memory. */
async function realNode(): Promise<Pick<Node, "call" | "json">> {
  const node = makeNode();
  const nowhere = (): Promise<never> => Promise.reject(new Error("this test has no network"));
  const nothing = (): never => {
    throw new Error("this test encrypts nothing");
  };
  const world: World = {
    ...node.world,
    timers: { after: node.world.timers.after, soon: (call) => void Promise.resolve().then(call) },
    network: {
      bindDatagrams: nowhere,
      listen: nowhere,
      connect: nowhere,
      serveHttp: nowhere,
      resolve: nowhere,
      resolveServices: nowhere,
      httpGet: nowhere,
    },
    disk: { openStore: nowhere, openRaftStore: nowhere, readText: nowhere },
    aead: { seal: nothing, open: nothing },
    secretBytes: nothing,
  };
  const replica = await Replica.open({
    config: node.config,
    owners: node.replica.owners,
    world,
    store: openMemoryStore(),
    gossipedAddress: () => null,
    gossipedLoss: () => null,
    attribute: () => {},
    onFailure: (reason) => {
      throw new Error(reason);
    },
  });
  const app = makeApp({ ...node.deps, replica, world });
  const call: Node["call"] = (method, path, init = {}) =>
    app.fetch(new Request(`http://localhost${path}`, { method, ...init }));
  const json: Node["json"] = async (method, path, data) => {
    const headers = { "content-type": "application/json" };
    return (await call(method, path, data === undefined ? {} : { headers, body: JSON.stringify(data) })).json();
  };
  return { call, json };
}

type Ask = (node: Pick<Node, "call" | "json">) => Promise<unknown>;

const ops = (...list: unknown[]): unknown => ({ ops: list });
const put =
  (path: string, body: string, headers: Record<string, string> = {}): Ask =>
  async (node) => {
    const response = await node.call("PUT", path, { body, headers });
    return [response.status, response.headers.get("etag") !== null, response.headers.get("starling-durable")];
  };
const get =
  (path: string): Ask =>
  async (node) => {
    const response = await node.call("GET", path);
    const names = ["content-type", "starling-type", "content-disposition"];
    return [response.status, await response.text(), ...names.map((name) => response.headers.get(name))].filter(
      withoutIds,
    );
  };
const post =
  (path: string, data: unknown): Ask =>
  async (node) =>
    node.json("POST", path, data);
const withoutIds = (part: unknown): boolean => typeof part !== "string" || !part.includes('"instance"');

/** A stale context makes a sibling on one node. */
const conflict: Ask = async (node) => {
  const { headers } = await node.call("PUT", "/v1/kv/b/k", { body: "first" });
  await node.call("PUT", "/v1/kv/b/k", { body: "second" });
  const context = headers.get("starling-context") ?? "";
  const response = await node.call("PUT", "/v1/kv/b/k", { body: "third", headers: { "starling-context": context } });
  const id = response.headers.get("starling-conflict");
  const listed = await node.json("GET", "/v1/conflicts");
  expect(listed.conflicts.map((one: Json) => one.id)).toEqual([id]);
  const [place] = listed.conflicts[0].places;
  const values = place.siblings.map(({ value }: Json) => value);
  const choose = place.siblings.find(({ value }: Json) => value === "second").dots[0].dot;
  const dryRun = await node.json("POST", `/v1/conflicts/${id}/resolve?dryRun`, { choose });
  const settled = await node.json("POST", `/v1/conflicts/${id}/resolve`, { choose, reason: "because" });
  const explained = await node.json("GET", "/v1/explain/b/k");
  const journal = explained.journal.map(({ event, lost }: Json) => [
    event,
    lost.map(({ value }: Json) => value).sort(),
  ]);
  return [values, dryRun, settled, await node.json("GET", "/v1/conflicts/summary"), journal];
};

const QUESTIONS: readonly (readonly [claim: string, ask: Ask])[] = [
  ["a write", put("/v1/kv/b/text", "hello", { "content-type": "text/plain" })],
  ["a read", get("/v1/kv/b/text")],
  ["a page", put("/v1/kv/b/p", "<p>", { "content-type": "text/html" })],
  ["its read", get("/v1/kv/b/p")],
  ["an absent key", get("/v1/kv/b/none")],
  ["a counter", post("/v1/ops/b/c", ops({ op: "increment", by: 5 }, { op: "decrement", by: 2 }))],
  ["a set", post("/v1/ops/b/s", ops({ op: "add", elements: ["x", 1, { $b64: "AA==" }] }))],
  ["a map", post("/v1/ops/b/m", ops({ op: "update", field: "__proto__", ops: [{ op: "assign", value: { a: 1 } }] }))],
  ["a wrong type", async (node) => (await node.call("PUT", "/v1/kv/b/c", { body: "x" })).status],
  ["a listing with values", get("/v1/kv/b?values&limit=3")],
  ["buckets", get("/v1/kv")],
  ["an export", get("/v1/export?bucket=b")],
  ["If-None-Match: *", put("/v1/kv/b/text", "other", { "if-none-match": "*" })],
  ["a key with NUL", put("/v1/kv/b/a%00b", "nul")],
  ["its read", get("/v1/kv/b/a%00b")],
  ["a delete", async (node) => (await node.call("DELETE", "/v1/kv/b/text")).status],
  ["what was deleted", async (node) => ({ ...(await node.json("GET", "/v1/kv/b/text")), instance: "" })],
  ["a conflict from beginning to end", conflict],
  [
    "a batch",
    async (node) => {
      const items = [
        { action: "put", bucket: "b", key: "x", value: 1 },
        { action: "put", bucket: "b", key: "x", value: 2 },
        { action: "ops", bucket: "b", key: "x", ops: [{ op: "increment" }] },
        { action: "get", bucket: "b", key: "x" },
      ];
      const { results } = await node.json("POST", "/v1/batch", { items });
      return results.map(({ status, value, problem }: Json) => [status, value, problem]);
    },
  ],
  [
    "an import",
    async (node) => {
      const lines = Array.from({ length: 600 }, (_, i) =>
        JSON.stringify({ bucket: "i", key: `k${i}`, type: "map", value: { i } }),
      );
      const body = [...lines, "nonsense"].join("\n");
      return (
        await node.call("POST", "/v1/import", { headers: { "content-type": "application/x-ndjson" }, body })
      ).json();
    },
  ],
  ["its last page", get("/v1/kv/i?prefix=k59&values")],
  [
    "records and digests in status",
    async (node) => {
      const { records, partitions } = await node.json("GET", "/cluster/status");
      return [records, partitions];
    },
  ],
];

test("the real replica answers as the one of these tests does", async () => {
  const [memory, real] = [makeNode(), await realNode()];
  for (const [claim, ask] of QUESTIONS) expect([claim, await ask(real)]).toEqual([claim, await ask(memory)]);
});

test("a value read from the real replica has the tag and context that its write announced", async () => {
  const node = await realNode();
  const written = await node.call("PUT", "/v1/kv/b/k", { body: "x" });
  const read = await node.call("GET", "/v1/kv/b/k", {
    headers: { "starling-session": written.headers.get("starling-session") ?? "" },
  });
  for (const name of ["etag", "starling-context", "starling-session"])
    expect(read.headers.get(name)).toBe(written.headers.get(name));
});
