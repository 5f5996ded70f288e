import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VersionVector } from "../../crdt/index.ts";
import { MAX_TOKEN_CHARS, Tokens } from "../../src/http/tokens.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { equalMacs, makeMac } from "../../src/kernel/mac.ts";
import { makeNode, slugOf } from "./harness.ts";
import { makeTestWorld } from "./test-world.ts";

const { sha256 } = makeTestWorld().world;
const tokensOf = (salt: number, clusterId: string): Tokens =>
  new Tokens({ sha256, salt: new Uint8Array(16).fill(salt), clusterId });

describe("MACs", () => {
  test("one is the first half of SHA-256 over key and message, whatever they are", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.uint8Array({ maxLength: 300, size: "max" }),
        (key, message) => {
          const whole = createHash("sha256").update(key).update(message).digest();
          expect(makeMac(sha256, key)((out) => out.raw(message))).toEqual(new Uint8Array(whole.subarray(0, 16)));
        },
      ),
    );
  });

  test("a key of another length is refused", () => {
    expect(() => makeMac(sha256, new Uint8Array(31))).toThrow("32 bytes");
  });

  test("MACs are compared whole", () => {
    expect(equalMacs(Uint8Array.of(1, 2), Uint8Array.of(1, 2))).toBe(true);
    expect(equalMacs(Uint8Array.of(1, 2), Uint8Array.of(1, 3))).toBe(false);
    expect(equalMacs(Uint8Array.of(1, 2), Uint8Array.of(1))).toBe(false);
  });
});

describe("tokens", () => {
  const actor = (n: number): ReturnType<typeof makeActorId> =>
    makeActorId(parseNodeId(`node-${n}`), 1_700_000_000_000 + n, n * 7919);
  const seenArbitrary = fc
    .uniqueArray(fc.nat(63), { minLength: 1, maxLength: 8 })
    .chain((partitions) =>
      fc.tuple(
        ...partitions.map((partition) =>
          fc
            .uniqueArray(fc.nat(2), { maxLength: 3 })
            .map((actors) => ({ partition, vector: new VersionVector(actors.sort().map((n) => [actor(n), n + 5])) })),
        ),
      ),
    );

  test("a session says again what it was made of", () => {
    const tokens = tokensOf(1, "c");
    fc.assert(
      fc.property(seenArbitrary, (seen) => {
        const token = tokens.session(seen);
        const read = tokens.openSession(token ?? "");
        expect(read.map(({ partition, vector }) => [partition, vector.entries()])).toEqual(
          seen.map(({ partition, vector }) => [partition, vector.entries()]),
        );
      }),
    );
  });

  test("a token with any character changed, cut off or appended to is refused", () => {
    const tokens = tokensOf(1, "c");
    const token = tokens.session([{ partition: 3, vector: new VersionVector([[actor(1), 9]]) }]) ?? "";
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(..."AZaz09-_!="), (at, char) => {
        fc.pre(token[at] !== char);
        const forged = token.slice(0, at) + char + token.slice(at + 1);
        expect(() => tokens.openSession(forged)).toThrow(/Starling-Session/);
        expect(() => tokens.openSession(token.slice(0, at))).toThrow(/Starling-Session/);
        expect(() => tokens.openSession(token + char)).toThrow(/Starling-Session/);
      }),
    );
  });

  test("another salt, another cluster, another purpose, another key: refused", () => {
    const tokens = tokensOf(1, "c");
    const key = { bucket: "b", key: "k" };
    const context = tokens.context(key, { cells: new Map(), stubs: new Map() }) ?? "";
    expect(tokens.openContext(key, context)).toEqual({ dots: [] });
    for (const other of [tokensOf(2, "c"), tokensOf(1, "d")]) expect(() => other.openContext(key, context)).toThrow();
    expect(() => tokens.openContext({ bucket: "b", key: "l" }, context)).toThrow();
    expect(() => tokens.openContext({ bucket: "bk", key: "" }, context)).toThrow();
    expect(() => tokens.openSession(context)).toThrow();
    expect(() => tokens.openCursor("", context)).toThrow();
  });

  test("a context of one key is refused for another over HTTP, and nothing is written", async () => {
    const node = makeNode();
    const context = (await node.call("PUT", "/v1/kv/b/k", { body: "x" })).headers.get("starling-context") ?? "";
    const response = await node.call("PUT", "/v1/kv/b/l", { headers: { "starling-context": context }, body: "x" });
    expect(await slugOf(response)).toBe("bad-context");
    expect(node.replica.log.length).toBe(1);
  });

  test("tokens of many actors stay within their bound or are left out", () => {
    const tokens = tokensOf(1, "c");
    const vectors = (actors: number): VersionVector =>
      new VersionVector(Array.from({ length: actors }, (_, n) => [actor(n), 1e9]));
    expect(tokens.session([{ partition: 0, vector: vectors(10) }])?.length).toBeLessThanOrEqual(MAX_TOKEN_CHARS);
    expect(tokens.session([{ partition: 0, vector: vectors(40) }])).toBeNull();
  });
});
