import { describe, expect, test } from "vitest";
import { linesOf } from "../../src/http/lines.ts";
import { BAD_DATA, deepUpdate, OPS, opsBody } from "./bad-data.ts";
import { BAD_REQUESTS } from "./bad-requests.ts";
import { makeNode, type Node, slugOf } from "./harness.ts";

// Issue 3, "done" 11: each kind of bad input gets a clear problem+json and changes nothing. One test each, numbered; what
// concerns sockets (slow and half-open requests, garbage on other ports) is tested with them.

const CASES = [...BAD_DATA, ...BAD_REQUESTS];
const ndjson = (body: string): RequestInit => ({ headers: { "content-type": "application/x-ndjson" }, body });

async function nodeWithRecords(): Promise<Node> {
  const node = makeNode();
  await node.call("PUT", "/v1/kv/b/text", { body: "hello" });
  await node.call("POST", "/v1/ops/b/counter", opsBody([{ op: "increment" }]));
  await node.call("POST", "/v1/ops/b/set", opsBody([{ op: "add", elements: ["a"] }]));
  await node.call("POST", "/v1/ops/b/map", opsBody([deepUpdate(1)]));
  return node;
}

describe("bad input gets a problem and changes nothing", () => {
  test.each(CASES.map((one, i) => [i + 1, one.name, one] as const))("%i. %s", async (_, __, { call, gets, says }) => {
    const node = await nodeWithRecords();
    const entries = node.replica.log.length;
    const [method, path, init] = call;
    const response = await node.call(method, path, init);
    const text = await response.clone().text();
    expect([response.status, await slugOf(response)]).toEqual(gets);
    expect(node.replica.log.length).toBe(entries);
    expect(text).toContain(says ?? "detail");
    expect(node.logged).toEqual([]);
  });

  test("there are at least 30 kinds", () => expect(new Set(CASES.map(({ name }) => name)).size).toBeGreaterThan(60));
});

describe("what is refused is refused before it is held", () => {
  /** A body that counts how much of it was taken. */
  function countedBody(chunkBytes: number): {
    body: ReadableStream<Uint8Array>;
    taken: () => number;
    isCancelled: () => boolean;
  } {
    let taken = 0;
    let isCancelled = false;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          taken += chunkBytes;
          controller.enqueue(new Uint8Array(chunkBytes).fill(120));
        },
        cancel() {
          isCancelled = true;
        },
      },
      { highWaterMark: 0 },
    );
    return { body, taken: () => taken, isCancelled: () => isCancelled };
  }
  const streamed = (body: ReadableStream, type = "text/plain"): RequestInit =>
    ({ body, duplex: "half", headers: { "content-type": type } }) as RequestInit;

  test("an endless value is dropped at the limit", async () => {
    const node = makeNode();
    const { body, taken, isCancelled } = countedBody(4_096);
    const response = await node.call("PUT", "/v1/kv/b/k", streamed(body));
    expect(await slugOf(response)).toBe("value-too-large");
    expect(taken()).toBeLessThanOrEqual(65_536 + 2 * 4_096);
    expect(isCancelled()).toBe(true);
  });

  test("a value that announces too much is not read at all", async () => {
    const node = makeNode();
    const { body, taken } = countedBody(4_096);
    const init = streamed(body);
    const response = await node.call("PUT", "/v1/kv/b/k", { ...init, headers: { "content-length": "1000000" } });
    expect(await slugOf(response)).toBe("value-too-large");
    expect(taken()).toBe(0);
  });

  test("a line of an import without end is dropped as it comes, and the rest goes on", async () => {
    const node = makeNode();
    const good = '{"bucket":"b","key":"k","value":1}';
    const response = await node.call(
      "POST",
      "/v1/import",
      ndjson(`${good}\n${"x".repeat(200_000)}\n${good.replace('"k"', '"l"')}`),
    );
    expect(await response.json()).toMatchObject({
      written: 2,
      refused: 1,
      errors: [{ line: 2, slug: "line-too-large" }],
    });
  });

  test("of a line over the limit no piece is held", async () => {
    let copies = 0;
    class Piece extends Uint8Array {
      override slice(): Uint8Array<ArrayBuffer> {
        copies += 1;
        return new Uint8Array(this);
      }
    }
    let pieces = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        pieces += 1;
        if (pieces > 1_000) controller.close();
        else controller.enqueue(new Piece(8));
      },
    });
    const lines = [];
    for await (const some of linesOf(body, 20)) lines.push(...some);
    expect(lines).toEqual([{ number: 1, bytes: null }]);
    expect(copies).toBe(2);
  });

  test("a body that breaks off is its sender's failure", async () => {
    const node = makeNode();
    const body = new ReadableStream({ pull: (controller) => controller.error(new Error("reset")) });
    expect(await slugOf(await node.call("PUT", "/v1/kv/b/k", streamed(body)))).toBe("body-incomplete");
  });
});

describe("where a browser could be used against a node", () => {
  const from = (headers: Record<string, string>): RequestInit => ({ headers });

  test("a foreign Host is refused on a loopback listener (DNS rebinding)", async () => {
    const node = makeNode();
    expect(await slugOf(await node.call("GET", "/v1/kv", from({ host: "evil.example" })))).toBe("foreign-host");
    expect(await slugOf(await node.call("GET", "/v1/kv", from({ host: "127.0.0.1.evil.example:7001" })))).toBe(
      "foreign-host",
    );
    for (const host of ["127.0.0.1:7001", "localhost", "[::1]:7001", "LOCALHOST:7001", "127.0.0.2"])
      expect((await node.call("GET", "/v1/kv", from({ host }))).status).toBe(200);
  });

  test("a foreign Origin is refused, an opaque one too", async () => {
    const node = makeNode();
    for (const origin of ["https://evil.example", "null", "http://localhost:8080"])
      expect(
        await slugOf(await node.call("PUT", "/v1/kv/b/k", { ...from({ origin, host: "localhost:7001" }), body: "x" })),
      ).toBe("foreign-origin");
    expect(
      (await node.call("GET", "/v1/kv", from({ origin: "http://localhost:7001", host: "localhost:7001" }))).status,
    ).toBe(200);
  });

  test("off loopback, names are not ours to know", async () => {
    const node = makeNode(0, {
      config: { client: { bind: { host: "0.0.0.0", port: 7001 }, advertise: { host: "db.example", port: 7001 } } },
    });
    expect((await node.call("GET", "/v1/kv", from({ host: "db.example" }))).status).toBe(200);
  });

  test.each([
    "text/html",
    "image/svg+xml",
    "application/xhtml+xml",
    "text/xml",
    "application/pdf",
    "text/javascript",
    "application/x-unheard-of",
  ])("a stored %s is a download, never a page", async (type) => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/page", { headers: { "content-type": type }, body: "<script>alert(1)</script>" });
    const { headers } = await node.call("GET", "/v1/kv/b/page");
    expect(headers.get("content-disposition")).toBe("attachment");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toBe("sandbox");
  });
});

describe("names are just names", () => {
  const odd = [
    "%00",
    "a%00b",
    "__proto__",
    "constructor",
    "%0d%0aSet-Cookie:a",
    "%EF%BF%BF",
    "a%2Fb%2F%2F",
    "%25",
    "%F0%9F%90%A6",
    "*",
    "key64",
  ];
  test.each(odd)("%s is a key like any other", async (key) => {
    const node = makeNode();
    expect((await node.call("PUT", `/v1/kv/b/${key}`, { body: "v" })).status).toBe(204);
    expect(await (await node.call("GET", `/v1/kv/b/${key}`)).text()).toBe("v");
    const listing = await node.json("GET", "/v1/kv/b");
    expect(listing.items.map((item: { key: string }) => item.key)).toEqual([decodeURIComponent(key)]);
  });

  test("__proto__ as field, element and member is data and touches no prototype", async () => {
    const node = makeNode();
    const value = JSON.parse('{"__proto__":{"polluted":true}}');
    await node.call(
      "POST",
      "/v1/ops/b/m",
      opsBody([
        { op: "update", field: "__proto__", ops: [{ op: "assign", value }] },
        { op: "update", field: "constructor", ops: [{ op: "add", elements: ["__proto__"] }] },
      ]),
    );
    expect(await (await node.call("GET", "/v1/kv/b/m")).text()).toBe(
      '{"__proto__":{"__proto__":{"polluted":true}},"constructor":["__proto__"]}',
    );
    const patch = {
      headers: { "content-type": "application/merge-patch+json" },
      body: '{"__proto__":{"__proto__":1}}',
    };
    expect(await (await node.call("PATCH", "/v1/kv/b/m", patch)).text()).toContain('{"__proto__":{"__proto__":1},');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test("dot segments and other keys that URLs change travel as key64", async () => {
    const node = makeNode();
    for (const key of ["..", "a/../b", ".", "a//b/."]) {
      const path = `/v1/kv/b?key64=${Buffer.from(key).toString("base64url")}`;
      expect((await node.call("PUT", path, { body: key })).status).toBe(204);
      expect(await (await node.call("GET", path)).text()).toBe(key);
    }
  });
});

test("what breaks inside is a 500 that tells only where to look, and is logged", async () => {
  const node = makeNode();
  node.replica.refusal = new Error("secret path /var/lib/x");
  const response = await node.call("PUT", "/v1/kv/b/k", { body: "x" });
  const text = await response.clone().text();
  expect(await slugOf(response)).toBe("internal");
  expect(text).not.toContain("secret");
  expect(node.logged).toMatchObject([
    { level: "error", event: "http.failed", fields: { request: response.headers.get("starling-request-id") } },
  ]);
});

test("405 names the methods that there are", async () => {
  const node = makeNode();
  expect((await node.call("POST", "/v1/kv/b/k", OPS)).headers.get("allow")).toBe("GET, HEAD, PUT, PATCH, DELETE");
  expect((await node.call("PUT", "/v1/kv/b", { body: "x" })).headers.get("allow")).toBe("GET, HEAD");
  expect((await node.call("DELETE", "/cluster/repair")).headers.get("allow")).toBe("POST, GET, HEAD");
});

test("415 on a patch says what is accepted", async () => {
  const node = makeNode();
  await node.call("PUT", "/v1/kv/b/k", { body: "x" });
  const accepted = "application/vnd.starling.ops+json, application/merge-patch+json";
  expect((await node.call("PATCH", "/v1/kv/b/k", { ...OPS, body: "{}" })).headers.get("accept-patch")).toBe(accepted);
});

test("the dev network is not there outside dev mode", async () => {
  const node = makeNode(0, { config: { dev: false } });
  expect(await slugOf(await node.call("GET", "/v1/dev/network"))).toBe("not-found");
  expect(await slugOf(await node.call("PUT", "/v1/dev/network", { ...OPS, body: "{}" }))).toBe("not-found");
});
