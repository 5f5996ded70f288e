import { describe, expect, test } from "vitest";
import { CliError } from "../../src/cli/exit.ts";
import { keyPath, NodeClient } from "../../src/cli/http-client.ts";
import { fromBase64Url, fromUtf8 } from "../../src/kernel/bytes.ts";

describe("paths of keys", () => {
  test("slashes stay, everything else is encoded", () => {
    expect(keyPath("/v1/kv", "b", "AT/02/Bleiburg/Pliberk@46.59,14.79889")).toBe(
      "/v1/kv/b/AT/02/Bleiburg/Pliberk%4046.59%2C14.79889",
    );
    expect(keyPath("/v1/kv", "b", "a b?c#d%e")).toBe("/v1/kv/b/a%20b%3Fc%23d%25e");
    expect(keyPath("/v1/ops", "b", "ä", { w: "all" })).toBe("/v1/ops/b/%C3%A4?w=all");
  });

  test.each(["", ".", "..", "a/../b", "./a", "a/."])("key %j, which a URL would change, travels as key64", (key) => {
    const url = new URL(`http://x${keyPath("/v1/kv", "b", key)}`);
    expect(url.pathname).toBe("/v1/kv/b");
    expect(fromUtf8(fromBase64Url(url.searchParams.get("key64") ?? "!"))).toBe(key);
  });

  test("any other key survives URL parsing", () => {
    for (const key of ["//", "a//b", "/a", "a/", "...", "%2e%2e", "\u0000", "🐦"]) {
      const { pathname } = new URL(`http://x${keyPath("/v1/kv", "b", key)}`);
      expect(decodeURIComponent(pathname.slice("/v1/kv/b/".length))).toBe(key);
    }
  });
});

describe("a node that is not there", () => {
  test("nobody at the address is exit code 5, with a hint", async () => {
    const failure = await new NodeClient("http://127.0.0.1:1/").get("/cluster/status").catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(CliError);
    expect(failure).toMatchObject({ exitCode: 5, message: expect.stringContaining("cannot reach http://127.0.0.1:1") });
  });

  test.each(["127.0.0.1:7001", "ftp://x", "", "http://"])("%j is no address: exit code 2", (url) => {
    expect(() => new NodeClient(url)).toThrow(/is no node address/);
  });
});
