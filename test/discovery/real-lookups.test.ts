import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, test } from "vitest";
import { makeRealWorld } from "../../src/world/real.ts";
import type { HttpGet, Log, ResolveLimits } from "../../src/world/world.ts";
import { Authority } from "./real-certificates.ts";
import { DnsServer } from "./real-dns-server.ts";
import { answering, Registry } from "./real-registries.ts";

// The World's doors to DNS, to registries and to the platform's files, against servers that speak these protocols.

const silentLog: Log = { info() {}, warn() {}, error() {}, debug() {}, child: () => silentLog };
const { network, disk } = makeRealWorld({ log: silentLog });
const NEVER = new AbortController().signal;

describe("DNS", () => {
  let dns: DnsServer;
  beforeEach(async () => {
    dns = await DnsServer.start();
  });
  afterEach(() => dns.close());

  const limits = (timeoutMs = 3_000, signal = NEVER): ResolveLimits => ({ server: dns.address, timeoutMs, signal });

  it("all A and AAAA records of a name", async () => {
    dns.zone.set("pool.test", [
      { type: "A", address: "10.0.0.1" },
      { type: "A", address: "10.0.0.2" },
      { type: "AAAA", address: "2001:db8::1" },
    ]);
    expect([...(await network.resolve("pool.test", limits()))].sort()).toEqual(["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
    expect(dns.asked.sort()).toEqual(["udp A pool.test", "udp AAAA pool.test"]);
  });

  it("one family is enough", async () => {
    dns.zone.set("four.test", [{ type: "A", address: "10.0.0.1" }]);
    dns.zone.set("six.test", [{ type: "AAAA", address: "2001:db8::1" }]);
    expect(await network.resolve("four.test", limits())).toEqual(["10.0.0.1"]);
    expect(await network.resolve("six.test", limits())).toEqual(["2001:db8::1"]);
  });

  it("SRV records with what they say, and with additional records beside them", async () => {
    dns.zone.set("_g._udp.test", [
      { type: "SRV", target: "a.test", port: 7002, priority: 5 },
      { type: "SRV", target: "b.test", port: 7012 },
    ]);
    dns.zone.set("a.test", [{ type: "A", address: "10.0.0.1" }]);
    const plain = await network.resolveServices("_g._udp.test", limits());
    expect(plain).toHaveLength(2);
    expect(plain).toContainEqual(expect.objectContaining({ name: "a.test", port: 7002, priority: 5 }));
    dns.withAdditional = true;
    expect(await network.resolveServices("_g._udp.test", limits())).toHaveLength(2);
  });

  it("an answer that is too long for UDP is asked for by TCP", async () => {
    const many = Array.from({ length: 60 }, (_, i) => ({ type: "A", address: `10.0.1.${i}` }) as const);
    dns.zone.set("many.test", many);
    expect(await network.resolve("many.test", limits())).toHaveLength(60);
    expect(dns.asked).toContain("tcp A many.test");
  });

  test.each([
    ["NXDOMAIN", "DNS knows no such name"],
    ["SERVFAIL", "the DNS server failed (SERVFAIL)"],
    ["REFUSED", "the DNS server refused to answer (REFUSED)"],
    [[], "the name has no such records in DNS"],
    ["silence", "no answer within 600 ms"],
    ["garbage", "the DNS server's answer makes no sense (EBADRESP)"],
  ] as const)("%j is told in words", async (saying, sentence) => {
    dns.zone.set("x.test", saying);
    await expect(network.resolve("x.test", limits(600))).rejects.toThrow(sentence);
    await expect(network.resolveServices("x.test", limits(600))).rejects.toThrow(sentence);
  });

  it("a server that isn't there is told, too", async () => {
    dns.close();
    await expect(network.resolve("x.test", limits(600))).rejects.toThrow(/nobody listens|no answer within/);
  });

  it("ends early when it is told to, or never begins", async () => {
    dns.silent = true;
    const ending = new AbortController();
    const asked = network.resolve("x.test", limits(30_000, ending.signal));
    setTimeout(() => ending.abort(), 50);
    await expect(asked).rejects.toThrow("given up");
    await expect(network.resolveServices("x.test", limits(30_000, ending.signal))).rejects.toThrow("given up");
  });

  it("without a server of our own the system is asked, which knows its hosts file", async () => {
    const found = await network.resolve("localhost", { timeoutMs: 5_000, signal: NEVER });
    expect(found.some((address) => address === "127.0.0.1" || address === "::1")).toBe(true);
    const unknown = network.resolve("no-such-host.invalid", { timeoutMs: 10_000, signal: NEVER });
    await expect(unknown).rejects.toThrow(/DNS knows no such name|no DNS server answers/);
  });
});

describe("HTTP", () => {
  let registry: Registry;
  beforeEach(async () => {
    registry = await Registry.start(answering(200, "fine"));
  });
  afterEach(() => registry.close());

  const get = (change: Partial<HttpGet> = {}): HttpGet => ({
    secure: false,
    server: registry.address,
    path: "/v1/x?y=z",
    headers: { "x-consul-token": "t" },
    timeoutMs: 3_000,
    bodyBytesMax: 1_000,
    signal: NEVER,
    ...change,
  });

  it("any status is an answer; path and headers arrive", async () => {
    expect(await network.httpGet(get())).toEqual({ status: 200, body: "fine" });
    registry.answer = answering(403, "Permission denied");
    expect(await network.httpGet(get())).toEqual({ status: 403, body: "Permission denied" });
    expect(registry.asked).toEqual(["GET /v1/x?y=z", "GET /v1/x?y=z"]);
    expect(registry.headers[0]).toMatchObject({ "x-consul-token": "t" });
  });

  it("a redirect is an answer like any other: the token goes nowhere else", async () => {
    const other = await Registry.start(answering(200, "stolen"));
    registry.answer = answering(302, "", { location: `http://127.0.0.1:${other.address.port}/` });
    expect((await network.httpGet(get())).status).toBe(302);
    expect(other.asked).toEqual([]);
    await other.close();
  });

  it("a body above the bound is cut off at once, announced or not", async () => {
    registry.answer = answering(200, "x".repeat(1_001));
    await expect(network.httpGet(get())).rejects.toThrow("answered with more than 1000 bytes");
    let sentBytes = 0;
    registry.answer = (_request, response) => {
      const more = (): void => {
        sentBytes += 10_000;
        if (!response.destroyed) response.write("x".repeat(10_000), () => setImmediate(more));
      };
      more();
    };
    await expect(network.httpGet(get())).rejects.toThrow("answered with more than 1000 bytes");
    await new Promise((resolve) => setTimeout(resolve, 50));
    const sentBytesBefore = sentBytes;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(sentBytes).toBe(sentBytesBefore);
  });

  it("a body of just the bound is whole", async () => {
    registry.answer = answering(200, "x".repeat(1_000));
    expect((await network.httpGet(get())).body).toHaveLength(1_000);
  });

  it("one that drips, and one that never answers, end in time", async () => {
    registry.answer = (_request, response) => {
      const drip = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(drip));
    };
    await expect(network.httpGet(get({ timeoutMs: 200 }))).rejects.toThrow("no whole answer within 200 ms");
    registry.answer = () => {};
    await expect(network.httpGet(get({ timeoutMs: 200 }))).rejects.toThrow("no whole answer within 200 ms");
  });

  it("ends early when it is told to", async () => {
    registry.answer = () => {};
    const ending = new AbortController();
    const asked = network.httpGet(get({ signal: ending.signal }));
    setTimeout(() => ending.abort(), 50);
    await expect(asked).rejects.toThrow("given up");
    await expect(network.httpGet(get({ signal: ending.signal }))).rejects.toThrow("given up");
  });

  it("an answer that breaks off, junk instead of HTTP, and nobody there are failures with a reason", async () => {
    registry.answer = (_request, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("half");
      setTimeout(() => response.destroy(), 20);
    };
    await expect(network.httpGet(get())).rejects.toThrow(/broke off|ECONNRESET/);
    const junk = createServer((socket) => socket.end("220 mail.example.com ESMTP\r\n")).listen(0, "127.0.0.1");
    await once(junk, "listening");
    const server = { host: "127.0.0.1", port: (junk.address() as AddressInfo).port };
    await expect(network.httpGet(get({ server }))).rejects.toThrow(/cannot ask .*: HPE_/);
    junk.close();
    await expect(network.httpGet(get({ server }))).rejects.toThrow(/cannot ask .*: ECONNREFUSED/);
  });
});

describe("HTTPS", () => {
  const authority = new Authority();
  let registry: Registry;
  beforeAll(async () => {
    registry = await Registry.start(answering(200, "fine"), authority.identity("127.0.0.1"));
  });
  afterAll(() => registry.close());

  const get = (change: Partial<HttpGet> = {}): HttpGet => ({
    secure: true,
    server: registry.address,
    path: "/",
    headers: {},
    timeoutMs: 3_000,
    bodyBytesMax: 1_000,
    signal: NEVER,
    ca: authority.ca,
    ...change,
  });

  it("a server whose certificate the given authority has signed is asked", async () => {
    expect(await network.httpGet(get())).toEqual({ status: 200, body: "fine" });
  });

  it("one that another authority, or none that we know, has signed is not, and sees no request", async () => {
    const before = registry.asked.length;
    await expect(network.httpGet(get({ ca: new Authority("another").ca }))).rejects.toThrow(
      /cannot ask .*: \w*(CERT|ISSUER|SIGNATURE)/,
    );
    await expect(network.httpGet(get({ ca: undefined }))).rejects.toThrow(/cannot ask .*: \w*(CERT|ISSUER|SIGNATURE)/);
    expect(registry.asked).toHaveLength(before);
  });

  it("nor is one whose certificate is for another address", async () => {
    const stray = await Registry.start(answering(200, "fine"), authority.identity("127.0.0.2"));
    await expect(network.httpGet(get({ server: stray.address }))).rejects.toThrow(/ERR_TLS_CERT_ALTNAME_INVALID/);
    expect(stray.asked).toEqual([]);
    await stray.close();
  });
});

describe("files of the platform", () => {
  const directory = mkdtempSync(join(tmpdir(), "starling-platform-"));
  afterAll(() => rmSync(directory, { recursive: true }));

  it("are read whole, up to a bound, or there is a reason", async () => {
    const path = join(directory, "token");
    writeFileSync(path, "é and more");
    expect(await disk.readText(path, 11)).toBe("é and more");
    await expect(disk.readText(path, 10)).rejects.toThrow("has more than 10 bytes");
    await expect(disk.readText(join(directory, "gone"), 10)).rejects.toThrow(/cannot read .*gone: ENOENT/);
    await expect(disk.readText(directory, 10)).rejects.toThrow();
  });
});
