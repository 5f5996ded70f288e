import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { makeApp } from "../../src/http/app.ts";
import type { GossipKeyReport, MemberView } from "../../src/http/deps.ts";
import { type Json, makeNode } from "./harness.ts";

describe("gossip keys", () => {
  const KEY = Buffer.alloc(32, 1).toString("base64");

  test("are offered only where gossip is encrypted, and wrong requests are refused", async () => {
    const node = makeNode();
    expect(await node.json("GET", "/cluster/gossip/keys")).toMatchObject({ type: "gossip-not-encrypted", status: 409 });
    const change = (body: unknown): Promise<Json> => node.json("POST", "/cluster/gossip/keys", body);
    expect(await change({ operation: "burn", key: KEY })).toMatchObject({ type: "bad-gossip-keys" });
    expect(await change({ operation: "use", key: "short" })).toMatchObject({ status: 400 });
    expect(await change({ operation: "use", key: KEY })).toMatchObject({ type: "gossip-not-encrypted" });
  });

  const OTHER = Buffer.alloc(32, 2).toString("base64");
  const print = (key: string): string =>
    createHash("sha256").update(Buffer.from(key, "base64")).digest("hex").slice(0, 16);
  const holding = (primaryKey: string, ...keys: string[]) => ({ ok: true, message: "", keys, primaryKey });
  const refusing = { ok: false, message: "no such key", keys: [], primaryKey: "" };

  async function asked(report: GossipKeyReport, path = "GET", body?: unknown): Promise<Json> {
    const { deps } = makeNode();
    const gossip = { ...deps.config.gossip, keys: [new Uint8Array(32).fill(1)] };
    const suspected = (member: MemberView): MemberView => ({ ...member, state: "suspect" });
    const members = () => deps.members().map((one) => (one.id === "us-1" ? suspected(one) : one));
    const app = makeApp({ ...deps, members, config: { ...deps.config, gossip }, gossipKeys: async () => report });
    const init = { method: path, headers: { "content-type": "application/json" } };
    const request = new Request("http://localhost/cluster/gossip/keys", {
      ...init,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    return (await app.fetch(request)).json();
  }

  test("are listed by fingerprint, with how many hold each and how many use it", async () => {
    const answers = new Map([
      ["eu-1", holding(KEY, KEY, OTHER)],
      ["us-1", holding(OTHER, OTHER, KEY)],
    ]);
    expect(await asked({ members: 2, answers })).toEqual({
      complete: true,
      members: 2,
      answered: 2,
      silent: [],
      refused: [],
      keys: [
        { key: print(KEY), members: 2, using: 1 },
        { key: print(OTHER), members: 2, using: 1 },
      ],
    });
  });

  test("a change is complete when all have answered and none refused; a suspect is asked too", async () => {
    const change = (answers: [string, ReturnType<typeof holding>][]): Promise<Json> =>
      asked({ members: 2, answers: new Map(answers) }, "POST", { operation: "use", key: KEY });
    const done = holding("");
    expect(await change([["eu-1", done]])).toMatchObject({
      key: print(KEY),
      complete: false,
      answered: 1,
      silent: ["us-1"],
    });
    const refused = await change([
      ["eu-1", done],
      ["us-1", refusing],
    ]);
    expect(refused).toMatchObject({
      complete: false,
      silent: [],
      refused: [{ node: "us-1", reason: "no such key" }],
    });
    expect(
      await change([
        ["eu-1", done],
        ["us-1", done],
      ]),
    ).toMatchObject({ complete: true });
  });

  test("a request of more than 4 KiB is none about keys", async () => {
    const body = { operation: "use", key: KEY, more: "x".repeat(4096) };
    expect(await asked({ members: 1, answers: new Map() }, "POST", body)).toMatchObject({ status: 413 });
  });

  test("what a member calls a key and isn't one is shown as unreadable", async () => {
    const answers = new Map([["eu-1", holding("?", "?")]]);
    expect((await asked({ members: 1, answers })).keys).toEqual([{ key: "unreadable", members: 1, using: 1 }]);
  });

  test("while too many changes are open, another is told to come again", async () => {
    expect(await asked({ members: 0, answers: new Map() })).toMatchObject({ type: "gossip-busy", status: 503 });
  });
});
