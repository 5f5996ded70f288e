import { describe, expect, test } from "vitest";
import { type Json, makeNode, type Node, slugOf } from "./harness.ts";

async function nodeWith(keys: readonly string[]): Promise<Node> {
  const node = makeNode();
  for (const key of keys) await node.call("PUT", `/v1/kv/b/${encodeURIComponent(key)}`, { body: key });
  return node;
}

async function pages(node: Node, path: string): Promise<Json[]> {
  const all: Json[] = [];
  let cursor: string | undefined;
  do {
    const page = await node.json("GET", cursor === undefined ? path : `${path}&cursor=${cursor}`);
    all.push(page);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return all;
}

describe("listings", () => {
  test("keys come in the order of their UTF-8 bytes, page by page, each once", async () => {
    const keys = ["b", "a/1", "a", "é", "\u{1F426}", "\uFFFD", "A", "a/10", "a/2"];
    const node = await nodeWith(keys);
    const got = await pages(node, "/v1/kv/b?limit=2");
    const sorted = [...keys].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
    expect(got.flatMap(({ items }) => items.map((item: Json) => item.key))).toEqual(sorted);
    expect(got.length).toBe(5);
    expect(got.every(({ complete }) => complete === true)).toBe(true);
  });

  test("a prefix narrows, and its cursor belongs to it", async () => {
    const node = await nodeWith(["a/1", "a/2", "a/3", "b/1"]);
    const got = await pages(node, "/v1/kv/b?prefix=a%2F&limit=2");
    expect(got.flatMap(({ items }) => items.map((item: Json) => item.key))).toEqual(["a/1", "a/2", "a/3"]);
    const { cursor } = got[0];
    expect(await slugOf(await node.call("GET", `/v1/kv/b?limit=2&cursor=${cursor}`))).toBe("bad-cursor");
    expect(await slugOf(await node.call("GET", `/v1/kv/c?prefix=a%2F&cursor=${cursor}`))).toBe("bad-cursor");
    expect(await slugOf(await node.call("GET", `/v1/conflicts?cursor=${cursor}`))).toBe("bad-cursor");
  });

  test("items tell type, size and content type; values only when asked", async () => {
    const node = await nodeWith(["text"]);
    await node.json("POST", "/v1/ops/b/set", { ops: [{ op: "add", elements: ["é"] }] });
    const plain = await node.json("GET", "/v1/kv/b");
    expect(plain.items).toEqual([
      { key: "set", type: "set", sizeBytes: 6 },
      { key: "text", type: "register", sizeBytes: 4, contentType: "text/plain;charset=UTF-8" },
    ]);
    const full = await node.json("GET", "/v1/kv/b?values");
    expect(full.items.map((item: Json) => item.value)).toEqual([["é"], "text"]);
  });

  test("deleted keys are not listed, and a trailing slash is the bucket", async () => {
    const node = await nodeWith(["a", "b"]);
    await node.call("DELETE", "/v1/kv/b/a");
    expect((await node.json("GET", "/v1/kv/b/")).items.map((item: Json) => item.key)).toEqual(["b"]);
  });

  test("an empty bucket is an empty page", async () => {
    expect(await makeNode().json("GET", "/v1/kv/none")).toEqual({
      bucket: "none",
      prefix: "",
      items: [],
      complete: true,
    });
  });

  test("buckets are listed with their records", async () => {
    const node = await nodeWith(["a", "b"]);
    await node.call("PUT", "/v1/kv/other/k", { body: "x" });
    const listed = {
      buckets: [
        { bucket: "b", records: 2 },
        { bucket: "other", records: 1 },
      ],
    };
    expect(await node.json("GET", "/v1/kv")).toEqual(listed);
    expect(await node.json("GET", "/v1/kv/")).toEqual(listed);
  });
});
