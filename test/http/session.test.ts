import { describe, expect, test } from "vitest";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import { exchange, type Json, makeNode, slugOf, until } from "./harness.ts";

const sessionOf = (response: Response): string => response.headers.get("starling-session") ?? "";
const using = (session: string): RequestInit => ({ headers: { "starling-session": session } });

describe("sessions", () => {
  test("a read on another node waits until it has what the session wrote", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const session = sessionOf(await eu.call("PUT", "/v1/kv/b/k", { body: "x" }));
    const reading = us.call("GET", "/v1/kv/b/k?r=session", using(session));
    us.advance(500);
    exchange(eu, us);
    const response = await reading;
    expect([response.status, await response.text()]).toEqual([200, "x"]);
  });

  test("one that waits in vain gets 504 with what is missing", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const session = sessionOf(await eu.call("PUT", "/v1/kv/b/k", { body: "x" }));
    const reading = us.call("GET", "/v1/kv/b/k?timeoutMs=200", using(session));
    await until(() => us.replica.waiting > 0);
    us.advance(200);
    const problem: Json = await (await reading).json();
    expect(problem).toMatchObject({ type: "session-not-met", status: 504 });
    expect(problem.missing).toHaveLength(1);
    expect(Object.values(problem.missing[0].vector)).toEqual([1]);
  });

  test("each write and read of a session carries what came last", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "first" });
    exchange(eu, us);
    const written = sessionOf(await eu.call("PUT", "/v1/kv/b/k", { body: "second" }));
    const read = sessionOf(await eu.call("GET", "/v1/kv/b/k"));
    for (const session of [written, read]) {
      const reading = us.call("GET", "/v1/kv/b/k?timeoutMs=5", using(session));
      await until(() => us.replica.waiting > 0);
      us.advance(5);
      expect(await slugOf(await reading)).toBe("session-not-met");
    }
  });

  test("only what concerns the key is waited for", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const session = sessionOf(await eu.call("PUT", "/v1/kv/b/k", { body: "x" }));
    await us.call("PUT", "/v1/kv/b/other", { body: "y" });
    expect((await us.call("GET", "/v1/kv/b/other?r=session", using(session))).status).toBe(200);
  });

  test("r=node waits for nothing but carries the session on", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const session = sessionOf(await eu.call("PUT", "/v1/kv/b/k", { body: "x" }));
    const response = await us.call("GET", "/v1/kv/b/k?r=node", using(session));
    expect(response.status).toBe(404);
    const reading = us.call("GET", "/v1/kv/b/k?timeoutMs=0", using(sessionOf(response)));
    await until(() => us.replica.waiting > 0);
    us.advance(0);
    expect(await slugOf(await reading)).toBe("session-not-met");
  });

  test("a write of a session waits too, so that it never stands beside its own earlier one", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    const session = sessionOf(await eu.call("PUT", "/v1/kv/b/k", { body: "first" }));
    const writing = us.call("PUT", "/v1/kv/b/k", { ...using(session), body: "second" });
    await until(() => us.replica.waiting > 0);
    exchange(eu, us);
    expect((await writing).headers.has("starling-conflict")).toBe(false);
    exchange(eu, us);
    expect(await (await eu.call("GET", "/v1/kv/b/k")).text()).toBe("second");
  });

  test("tokens that would be too long are left out, and headers say so", async () => {
    const nodes = Array.from({ length: 30 }, (_, i) =>
      makeNode(i % 2, {
        config: { node: { id: parseNodeId(`n-${i}`), region: parseRegion("eu"), zone: "", dataDir: "" } },
      }),
    );
    for (const node of nodes) await node.call("PUT", "/v1/kv/b/k", { body: node.replica.node });
    const reader = makeNode();
    for (const node of nodes) reader.replica.receiveFrom(node.replica);
    const { headers } = await reader.call("GET", "/v1/kv/b/k");
    expect(headers.has("starling-session")).toBe(false);
    expect(headers.get("starling-session-omitted")).toBe("too-large");
    expect(headers.has("starling-context")).toBe(false);
    expect(headers.get("starling-context-omitted")).toBe("too-large");
  });

  test("a listing's session covers the partitions of its keys", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "x" });
    const session = sessionOf(await eu.call("GET", "/v1/kv/b"));
    const reading = us.call("GET", "/v1/kv/b/k?timeoutMs=0", using(session));
    await until(() => us.replica.waiting > 0);
    us.advance(0);
    expect(await slugOf(await reading)).toBe("session-not-met");
  });
});
