import { describe, expect, test } from "vitest";
import { FEED_EVENTS_MAX } from "../../src/control/feed.ts";
import { type Json, makeNode, type Node, slugOf, until } from "./harness.ts";

interface Watched {
  readonly id: number;
  readonly event: string;
  readonly data: Json;
}

interface Watcher {
  /** What one read brings. */
  next(): Promise<Watched[]>;
  text(): Promise<string>;
  cancel(): Promise<void>;
}

async function watch(node: Node, query = "", headers: Record<string, string> = {}): Promise<Watcher> {
  const response = await node.call("GET", `/v1/config?watch${query}`, { headers });
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
  const reader = response.body?.getReader();
  if (!reader) throw new Error("a stream has a body");
  const text = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
  return { text, next: async () => parsed(await text()), cancel: () => reader.cancel() };
}

function parsed(text: string): Watched[] {
  return text
    .split("\n\n")
    .filter((part) => part !== "")
    .map((part) => {
      const [, id, event, data] = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(part) ?? [];
      return { id: Number(id), event: event ?? "", data: JSON.parse(data ?? "null") };
    });
}

async function setPolicy(node: Node, bucket: string, show = "siblings"): Promise<void> {
  const headers = { "content-type": "application/json", "starling-reason": "a test" };
  const body = JSON.stringify({ show });
  expect((await node.call("PUT", `/v1/policies/${bucket}`, { headers, body })).status).toBe(200);
}

describe("a watcher of the configuration", () => {
  test("begins with the whole, and then gets every version once, in order, with who, why and what", async () => {
    const node = makeNode();
    const watcher = await watch(node);
    expect(await watcher.next()).toMatchObject([
      { id: 1, event: "reset", data: { version: 1, config: { cluster: { id: "c-1" } } } },
    ]);
    const waiting = watcher.next();
    await setPolicy(node, "a");
    expect(await waiting).toMatchObject([
      {
        id: 2,
        event: "version",
        data: { version: 2, previous: 1, kind: "set-policy", by: "anonymous", reason: "a test" },
      },
    ]);
    for (const bucket of ["b", "c", "b"]) await setPolicy(node, bucket, bucket === "b" ? "fww" : "max");
    const [b, c, again] = await watcher.next();
    expect([b?.id, c?.id, again?.id]).toEqual([3, 4, 5]);
    expect(b?.data.changes).toMatchObject([{ path: ["policies", "b"], after: { policy: { show: "fww" } } }]);
    await watcher.cancel();
  });

  test("goes on after the version that it names, and Last-Event-ID goes before since", async () => {
    const node = makeNode();
    for (const bucket of ["a", "b", "c"]) await setPolicy(node, bucket);
    const ids = async (watcher: Watcher): Promise<number[]> => {
      const found = (await watcher.next()).map(({ id }) => id);
      await watcher.cancel();
      return found;
    };
    expect(await ids(await watch(node, "&since=1"))).toEqual([2, 3, 4]);
    expect(await ids(await watch(node, "&since=1", { "last-event-id": "3" }))).toEqual([4]);
    const bad = await node.call("GET", "/v1/config?watch", { headers: { "last-event-id": "x" } });
    expect(await slugOf(bad)).toBe("bad-parameter");
  });

  test("ahead of this node waits until it is there", async () => {
    const node = makeNode();
    const watcher = await watch(node, "&since=3");
    const waiting = watcher.next();
    for (const bucket of ["a", "b", "c"]) await setPolicy(node, bucket);
    expect((await waiting).map(({ id }) => id)).toEqual([4]);
    await watcher.cancel();
  });

  test("that reads too slowly is told reset, and nothing is kept for it; one that keeps up is not", async () => {
    const node = makeNode();
    const [slow, quick] = [await watch(node, "&since=1"), await watch(node, "&since=1")];
    const first = slow.next();
    const seen: number[] = [];
    const shows = ["siblings", "fww"];
    for (let i = 0; i <= FEED_EVENTS_MAX + 1; i++) {
      await setPolicy(node, "a", shows[i % 2]);
      seen.push(...(await quick.next()).map(({ id }) => id));
    }
    expect(await first).toMatchObject([{ id: 2, event: "version" }]);
    const last = FEED_EVENTS_MAX + 3;
    expect(await slow.next()).toMatchObject([{ id: last, event: "reset", data: { version: last } }]);
    expect(seen).toEqual(Array.from({ length: last - 1 }, (_, i) => i + 2));
    for (const watcher of [slow, quick]) await watcher.cancel();
  });

  test("hears that a quiet stream lives, and leaves nothing behind", async () => {
    const node = makeNode();
    const watcher = await watch(node, "&since=1");
    const waiting = watcher.text();
    expect(node.plane.listeners.size).toBe(1);
    node.advance(15_000);
    expect(await waiting).toBe(": still here\n\n");
    await watcher.cancel();
    expect([node.plane.listeners.size, node.timers]).toEqual([0, 0]);
    await node.call("GET", "/v1/config?watch");
    await node.call("HEAD", "/v1/config?watch");
    expect(node.plane.listeners.size).toBe(0);
  });

  test("is one of 64 at most", async () => {
    const node = makeNode();
    const watchers: Watcher[] = [];
    for (let i = 0; i < 64; i++) watchers.push(await watch(node));
    for (const watcher of watchers) await watcher.next();
    expect(await slugOf(await node.call("GET", "/v1/config?watch"))).toBe("too-many-streams");
    await watchers[0]?.cancel();
    await until(() => node.plane.listeners.size === 63);
    await (await watch(node)).cancel();
  });
});

test("the cluster's events tell leaders and versions", async () => {
  const node = makeNode();
  const response = await node.call("GET", "/cluster/events");
  const reader = response.body?.getReader();
  const next = async (): Promise<string> => new TextDecoder().decode((await reader?.read())?.value);
  expect(await next()).toContain('event: leader\ndata: {"leader":"eu-1","term":3}\n\n');
  await setPolicy(node, "a");
  expect(await next()).toBe(
    'event: config\ndata: {"version":2,"kind":"set-policy","by":"anonymous","reason":"a test"}\n\n',
  );
  node.plane.lead(null);
  node.plane.lead("us-1");
  expect(await next()).toBe(
    'event: leader\ndata: {"leader":null,"term":4}\n\nevent: leader\ndata: {"leader":"us-1","term":5}\n\n',
  );
  node.plane.tell();
  const waiting = next();
  node.plane.machine.restore(node.plane.machine.snapshot());
  await setPolicy(node, "b");
  expect(await waiting).toContain('"version":3');
  await reader?.cancel();
  expect(node.plane.listeners.size).toBe(0);
});
