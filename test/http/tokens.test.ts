import { createHmac } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { VersionVector } from "../../crdt/index.ts";
import { MAX_TOKEN_CHARS, Tokens } from "../../src/http/tokens.ts";
import { fromHex, toHex, utf8 } from "../../src/kernel/bytes.ts";
import { equalMacs, makeHmac } from "../../src/kernel/hmac.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import { makeNode, slugOf } from "./harness.ts";
import { makeTestWorld } from "./test-world.ts";

const { sha256 } = makeTestWorld().world;
const tokensOf = (salt: number, clusterId: string): Tokens =>
  new Tokens({ sha256, salt: new Uint8Array(16).fill(salt), clusterId });

describe("HMAC-SHA256", () => {
  // RFC 4231, test cases 1 to 4, 6 and 7.
  test.each([
    ["0b".repeat(20), toHex(utf8("Hi There")), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
    [
      toHex(utf8("Jefe")),
      toHex(utf8("what do ya want for nothing?")),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    ["aa".repeat(20), "dd".repeat(50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"],
    [
      "0102030405060708090a0b0c0d0e0f10111213141516171819",
      "cd".repeat(50),
      "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ],
    [
      "aa".repeat(131),
      toHex(utf8("Test Using Larger Than Block-Size Key - Hash Key First")),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ],
    [
      "aa".repeat(131),
      toHex(
        utf8(
          "This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.",
        ),
      ),
      "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ],
  ])("key %s agrees with RFC 4231", (key, message, mac) => {
    expect(toHex(makeHmac(sha256, fromHex(key))(fromHex(message)))).toBe(mac);
  });

  test("it agrees with Node's on any key and message", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 300 }), (key, message) => {
        expect(toHex(makeHmac(sha256, key)(message))).toBe(createHmac("sha256", key).update(message).digest("hex"));
      }),
    );
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
