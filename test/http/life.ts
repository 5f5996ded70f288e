import { expect } from "vitest";
import type { Wish } from "../../src/plane/api.ts";
import { type Json, makeNode, type Node, slugOf } from "./harness.ts";

// What tests of a cluster's life have in common.

export const body = (data: unknown, headers: Record<string, string> = {}): RequestInit => ({
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(data),
});

/** A node to be. */
export const AP = { id: "ap-1", region: "ap", addresses: { gossip: "10.0.0.3:7002" } };

export async function tokenOf(node: Node, more: Json = {}): Promise<string> {
  return (await node.json("POST", "/cluster/tokens", more)).secret;
}

/** As somebody with access to the log would. */
export async function agreed(node: Node, wish: Json): Promise<void> {
  const result = await node.plane.propose({ by: "test", reason: null, ifVersion: null, ...wish } as Wish);
  expect(result).toMatchObject({ ok: true });
}

/** Two owners, of which one may go. */
export async function makeSpare(): Promise<Node> {
  const node = makeNode();
  await agreed(node, { kind: "set-placement", minOwners: 1 });
  return node;
}

/** Asks, and answers status and slug, after checking that nothing has changed. */
export async function refused(node: Node, method: string, path: string, data?: unknown): Promise<[number, string]> {
  const before = node.plane.hash;
  const response = await node.call(method, path, data === undefined ? {} : body(data));
  expect(node.plane.hash).toBe(before);
  return [response.status, await slugOf(response)];
}

export function join(node: Node, data: Json, headers: Record<string, string> = {}): Promise<Response> {
  return node.call("POST", "/cluster/join", body(data, headers));
}
