import { describe, expect, test } from "vitest";
import { exchange, makeNode, type Node, slugOf } from "./harness.ts";

const json = (data: unknown): RequestInit => ({
  headers: { "content-type": "application/json" },
  body: JSON.stringify(data),
});
const ops = (...list: unknown[]): RequestInit => json({ ops: list });
const text = async (node: Node, path: string): Promise<string> => (await node.call("GET", path)).text();
const header = (response: Response, name: string): string => response.headers.get(name) ?? "";

describe("registers", () => {
  test("a value comes back byte for byte with its content type", async () => {
    const node = makeNode();
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
    await node.call("PUT", "/v1/kv/b/img", { headers: { "content-type": "image/png" }, body: bytes });
    const response = await node.call("GET", "/v1/kv/b/img");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(bytes);
    expect(header(response, "content-type")).toBe("image/png");
    expect(header(response, "content-length")).toBe("256");
    expect(header(response, "starling-type")).toBe("register");
  });

  test("an empty value is a value, and a value without a type is bytes", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/empty");
    const response = await node.call("GET", "/v1/kv/b/empty");
    expect([response.status, await response.text()]).toEqual([200, ""]);
    expect(header(response, "content-type")).toBe("application/octet-stream");
  });

  test("every answer says which node and region gave it, and has an id of its own", async () => {
    const node = makeNode(1);
    const ids = new Set<string>();
    for (const path of ["/v1/kv/b/k", "/v1/kv", "/nothing", "/metrics", "/livez", "/openapi.json"]) {
      const response = await node.call("GET", path);
      expect([header(response, "starling-node"), header(response, "starling-region")]).toEqual(["us-1", "us"]);
      ids.add(header(response, "starling-request-id"));
    }
    expect(ids.size).toBe(6);
  });

  test("a write says where it is durable", async () => {
    const response = await makeNode().call("PUT", "/v1/kv/b/k", { body: "x" });
    expect([response.status, header(response, "starling-durable")]).toEqual([204, "eu=1, us=0"]);
  });

  test("HEAD is GET without the body", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", { body: "hello" });
    const [head, get] = [await node.call("HEAD", "/v1/kv/b/k"), await node.call("GET", "/v1/kv/b/k")];
    expect(await head.text()).toBe("");
    for (const name of ["etag", "content-type", "content-length", "starling-context", "starling-type"])
      expect(header(head, name)).toBe(header(get, name));
    expect((await node.call("HEAD", "/v1/kv/b/none")).status).toBe(404);
    expect((await node.call("HEAD", "/v1/kv/b")).status).toBe(200);
  });

  test("an absent key is unknown, a deleted one says by whom and when", async () => {
    const node = makeNode();
    expect(await slugOf(await node.call("GET", "/v1/kv/b/k"))).toBe("unknown");
    await node.call("PUT", "/v1/kv/b/k", { body: "x" });
    expect((await node.call("DELETE", "/v1/kv/b/k", { headers: { "starling-reason": "too old" } })).status).toBe(204);
    const problem = await node.json("GET", "/v1/kv/b/k");
    expect(problem).toMatchObject({ type: "deleted", by: "anonymous", node: "eu-1", reason: "too old" });
    expect(problem.at).toMatch(/^2023-11-14T22:13:20/);
  });

  test("deleting what was never there is done", async () => {
    const node = makeNode();
    expect((await node.call("DELETE", "/v1/kv/b/none")).status).toBe(204);
    expect(node.replica.log).toEqual([]);
  });

  test("a reason in UTF-8 is kept with the write", async () => {
    const node = makeNode();
    const reason = Buffer.from("größer").toString("latin1"); // as a client's bytes arrive in a header
    await node.call("PUT", "/v1/kv/b/k", { headers: { "starling-reason": reason }, body: "x" });
    const { siblings } = await node.json("GET", "/v1/kv/b/k?view=record");
    expect(siblings[0].dots[0]).toMatchObject({ reason: "größer", node: "eu-1", region: "eu", author: "anonymous" });
  });

  test("the levels that mean this node are accepted, and auto", async () => {
    const node = makeNode();
    for (const level of ["node", "local", "one", "eventual", "auto"])
      expect((await node.call("PUT", `/v1/kv/b/k?w=${level}`, { body: "x" })).status).toBe(204);
    for (const level of ["node", "session", "eventual"])
      expect((await node.call("GET", `/v1/kv/b/k?r=${level}`)).status).toBe(200);
  });

  test("a level that is not offered names the nearest that is", async () => {
    const problem = await makeNode().json("GET", "/v1/kv/b/k?r=quorum");
    expect(problem).toMatchObject({ type: "level-not-offered", nearest: "session" });
  });
});

describe("ETags", () => {
  test("two nodes with equal rows give equal tags, whatever way the rows came", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "a" });
    await us.call("PUT", "/v1/kv/b/k", { body: "b" });
    exchange(eu, us);
    for (const view of ["", "?view=record", "?siblings", "?int=string"]) {
      const tags = await Promise.all([eu, us].map((node) => node.call("GET", `/v1/kv/b/k${view}`)));
      expect(header(tags[0] as Response, "etag")).toBe(header(tags[1] as Response, "etag"));
    }
  });

  test("each view has a tag of its own, and a change changes them all", async () => {
    const node = makeNode();
    const views = ["", "?view=record", "?siblings", "?int=string"];
    const tags = async (): Promise<string[]> =>
      Promise.all(views.map(async (view) => header(await node.call("GET", `/v1/kv/b/k${view}`), "etag")));
    await node.call("PUT", "/v1/kv/b/k", { body: "a" });
    const before = await tags();
    await node.call("PUT", "/v1/kv/b/k", { body: "a" });
    expect(new Set([...before, ...(await tags())]).size).toBe(8);
  });

  test("a PUT answers with the tag that a GET then has", async () => {
    const node = makeNode();
    const put = await node.call("PUT", "/v1/kv/b/k", { body: "a" });
    const get = await node.call("GET", "/v1/kv/b/k");
    expect(header(put, "etag")).toBe(header(get, "etag"));
    expect(header(put, "starling-context")).toBe(header(get, "starling-context"));
    expect(header(put, "starling-session")).toBe(header(get, "starling-session"));
  });

  test("If-None-Match on a read answers 304 while nothing changed", async () => {
    const node = makeNode();
    const tag = header(await node.call("PUT", "/v1/kv/b/k", { body: "a" }), "etag");
    const again = (): Promise<Response> =>
      node.call("GET", "/v1/kv/b/k", { headers: { "if-none-match": `"x", W/${tag}` } });
    const unchanged = await again();
    expect([unchanged.status, await unchanged.text(), header(unchanged, "etag")]).toEqual([304, "", tag]);
    await node.call("PUT", "/v1/kv/b/k", { body: "b" });
    expect((await again()).status).toBe(200);
  });

  test("If-Match lets one of two writers through", async () => {
    const node = makeNode();
    const tag = header(await node.call("PUT", "/v1/kv/b/k", { body: "a" }), "etag");
    const write = (body: string): Promise<Response> =>
      node.call("PUT", "/v1/kv/b/k", { headers: { "if-match": tag }, body });
    const answers = await Promise.all([write("b"), write("c")]);
    expect(answers.map(({ status }) => status)).toEqual([204, 412]);
    expect(await text(node, "/v1/kv/b/k")).toBe("b");
  });

  test("the tag of any view names the record in If-Match; a weak one never does", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", { body: "a" });
    const tag = header(await node.call("GET", "/v1/kv/b/k?view=record"), "etag");
    const remove = (ifMatch: string): Promise<Response> =>
      node.call("DELETE", "/v1/kv/b/k", { headers: { "if-match": ifMatch } });
    expect(await slugOf(await remove(`W/${tag}`))).toBe("precondition-failed");
    expect((await remove(tag)).status).toBe(204);
    expect(await slugOf(await remove("*"))).toBe("precondition-failed");
  });

  test("If-None-Match: * creates and never overwrites", async () => {
    const node = makeNode();
    const create = (): Promise<Response> =>
      node.call("PUT", "/v1/kv/b/k", { headers: { "if-none-match": "*" }, body: "a" });
    expect((await create()).status).toBe(204);
    expect(await slugOf(await create())).toBe("precondition-failed");
  });
});

describe("views", () => {
  test("the record view tells who wrote each sibling where and when", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "a" });
    us.nowMs += 1_000;
    await us.call("PUT", "/v1/kv/b/k", { body: "b" });
    exchange(eu, us);
    const record = await eu.json("GET", "/v1/kv/b/k?view=record");
    expect(record).toMatchObject({ bucket: "b", key: "k", type: "register", shown: "b", policy: { name: "lww" } });
    expect(record.siblings).toMatchObject([
      { value: "a", dots: [{ node: "eu-1", region: "eu", author: "anonymous" }] },
      { value: "b", dots: [{ node: "us-1", region: "us", hlc: { ms: 1_700_000_001_000, counter: 0 } }] },
    ]);
    expect(record.conflict).toBe(header(await us.call("GET", "/v1/kv/b/k"), "starling-conflict"));
    expect(record.context).toBe(header(await us.call("GET", "/v1/kv/b/k"), "starling-context"));
  });

  test("equal values written at once are no conflict", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    for (const node of [eu, us]) await node.call("PUT", "/v1/kv/b/k", { body: "same" });
    exchange(eu, us);
    expect((await eu.call("GET", "/v1/kv/b/k")).headers.has("starling-conflict")).toBe(false);
    const { siblings } = await eu.json("GET", "/v1/kv/b/k?siblings");
    expect(siblings).toMatchObject([{ value: "same", dots: [{ node: "eu-1" }, { node: "us-1" }] }]);
  });

  test("types that clash stand side by side, and the later one shows", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "a" });
    us.nowMs += 1_000;
    await us.call("POST", "/v1/ops/b/k", ops({ op: "increment", by: 3 }));
    exchange(eu, us);
    const response = await eu.call("GET", "/v1/kv/b/k");
    expect([await response.text(), header(response, "starling-type")]).toEqual(["3", "counter"]);
    const { siblings } = await eu.json("GET", "/v1/kv/b/k?siblings");
    expect(siblings).toMatchObject([
      { type: "register", value: "a" },
      { type: "counter", value: 3 },
    ]);
  });

  test("a conflict inside a map names its field", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    for (const [node, value] of [
      [eu, 1],
      [us, 2],
    ] as const)
      await node.call("POST", "/v1/ops/b/m", ops({ op: "update", field: "f", ops: [{ op: "assign", value }] }));
    exchange(eu, us);
    const { siblings } = await us.json("GET", "/v1/kv/b/m?siblings");
    expect(siblings).toMatchObject([
      { path: ["f"], value: 1 },
      { path: ["f"], value: 2 },
    ]);
  });

  test("staleness is the time since the peer heard from least", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", { body: "x" });
    expect(header(await node.call("GET", "/v1/kv/b/k"), "starling-staleness")).toBe("1500ms");
  });
});
