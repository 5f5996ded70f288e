import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { parseSeed } from "../../gossip/discovery/notation.ts";
import { type LookupConfig, SeedFinder } from "../../gossip/drivers/seed-finder.ts";
import { makeRealWorld } from "../../src/world/real.ts";
import { type Address, formatAddress, type Log, type World } from "../../src/world/world.ts";
import { Authority } from "./real-certificates.ts";
import { DnsServer } from "./real-dns-server.ts";
import { answering, fixture, Registry } from "./real-registries.ts";

// The finder of seeds on the real World against servers that speak the protocols.

/** Pauses of up to 30 s are looked at in a tenth of a second. */
const HASTE = 300;
const CONSUL_TOKEN = "b1gs33cr-3t00-4000-8000-000000000000";
const POD_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJwb2QifQ.c2lnbmF0dXJl";

interface Line {
  readonly level: string;
  readonly event: string;
  readonly fields: Record<string, unknown>;
}

let cleanups: (() => unknown)[];
let lines: Line[];
let credentials: string;
beforeEach(() => {
  lines = [];
  credentials = mkdtempSync(join(tmpdir(), "starling-pod-"));
  cleanups = [() => rmSync(credentials, { recursive: true })];
});
afterEach(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

function recordingLog(): Log {
  const line =
    (level: string) =>
    (event: string, fields: Record<string, unknown> = {}): void =>
      void lines.push({ level, event, fields });
  const log: Log = {
    ...{ info: line("info"), warn: line("warn") },
    error: line("error"),
    debug: line("debug"),
    child: () => log,
  };
  return log;
}

/** A finder, and the lists of seeds that it has told. */
class Finding {
  readonly lists: string[][] = [];
  readonly finder: SeedFinder;

  constructor(sources: readonly string[], lookups: Partial<LookupConfig> = {}) {
    const real = makeRealWorld({ log: recordingLog() });
    const world: World = {
      ...real,
      timers: { ...real.timers, after: (ms, call) => real.timers.after(ms / HASTE, call) },
    };
    const parsed = sources.map(parseSeed);
    this.finder = new SeedFinder({
      world,
      lookups: {
        dnsServer: null,
        consulToken: "",
        kubernetesApi: { host: "127.0.0.1", port: 1 },
        kubernetesCredentials: credentials,
        ...lookups,
      },
      fixed: parsed.flatMap((source) => (source.kind === "static" ? [source.address] : [])),
      sources: parsed.flatMap((source) => (source.kind === "static" ? [] : [source])),
      onSeeds: (seeds: readonly Address[]) => void this.lists.push(seeds.map(formatAddress)),
    });
    cleanups.push(() => this.finder.close());
    this.finder.start();
  }

  async seeds(isThere: (seeds: readonly string[]) => boolean = () => true): Promise<readonly string[]> {
    await until(() => this.lists.length > 0 && isThere(this.lists.at(-1) ?? []));
    return this.lists.at(-1) ?? [];
  }

  async error(): Promise<string> {
    await until(() => this.finder.views().some(({ lastError }) => lastError !== null));
    return this.finder.views().find(({ lastError }) => lastError !== null)?.lastError ?? "";
  }
}

async function until(holds: () => boolean): Promise<void> {
  const endMs = performance.now() + 15_000;
  while (!holds()) {
    if (performance.now() > endMs) throw new Error(`not in time: ${String(holds)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

const warnings = (): unknown[] => lines.filter(({ level }) => level === "warn").map(({ fields }) => fields.reason);

describe("DNS", () => {
  let dns: DnsServer;
  beforeEach(async () => {
    dns = await DnsServer.start();
    cleanups.push(() => dns.close());
  });
  const finding = (...sources: string[]): Finding => new Finding(sources, { dnsServer: dns.address });

  it("a name with several addresses gives all of them, beside what is written down", async () => {
    dns.zone.set("pool.test", [
      { type: "A", address: "10.0.0.2" },
      { type: "A", address: "10.0.0.1" },
      { type: "AAAA", address: "2001:db8::1" },
    ]);
    const wanted = ["192.0.2.9:1", "10.0.0.1:7002", "10.0.0.2:7002", "[2001:db8::1]:7002"];
    expect(await finding("192.0.2.9:1", "dns://pool.test:7002").seeds()).toEqual(wanted);
    expect(await finding("192.0.2.9:1", "pool.test:7002").seeds()).toEqual(wanted);
  });

  it.each([false, true])(
    "SRV records lead to their targets' addresses and ports (additional records: %s)",
    async (additional) => {
      dns.withAdditional = additional;
      dns.zone.set("_g._udp.test", [
        { type: "SRV", target: "a.test", port: 7002 },
        { type: "SRV", target: "b.test", port: 7012 },
        { type: "SRV", target: "gone.test", port: 7022 },
      ]);
      dns.zone.set("a.test", [{ type: "A", address: "10.0.0.1" }]);
      dns.zone.set("b.test", [{ type: "AAAA", address: "2001:db8::2" }]);
      expect(await finding("dns+srv://_g._udp.test").seeds()).toEqual(["10.0.0.1:7002", "[2001:db8::2]:7012"]);
    },
  );

  it("SRV records without any address behind them say which name is missing", async () => {
    dns.zone.set("_g._udp.test", [{ type: "SRV", target: "gone.test", port: 7022 }]);
    expect(await finding("dns+srv://_g._udp.test").error()).toBe(
      "none of its targets has an address; gone.test: DNS knows no such name",
    );
  });

  it("answers that change are followed; while the server fails the last ones stay", async () => {
    dns.zone.set("pool.test", [{ type: "A", address: "10.0.0.1" }]);
    const found = finding("dns://pool.test:7002");
    expect(await found.seeds()).toEqual(["10.0.0.1:7002"]);
    dns.zone.set("pool.test", "SERVFAIL");
    await until(() => found.finder.views()[0]?.state === "failed");
    expect(found.finder.views()[0]).toMatchObject({ addresses: [{ host: "10.0.0.1", port: 7002 }] });
    dns.zone.set("pool.test", "NXDOMAIN");
    await until(() => warnings().length === 2);
    dns.zone.set("pool.test", [{ type: "A", address: "10.0.0.2" }]);
    expect(await found.seeds((seeds) => !seeds.includes("10.0.0.1:7002"))).toEqual(["10.0.0.2:7002"]);
    expect(found.lists).toHaveLength(2);
    expect(warnings()).toEqual(["the DNS server failed (SERVFAIL)", "DNS knows no such name"]);
  });

  it("a server that keeps the same answer is asked again and again, and nobody is told", async () => {
    dns.zone.set("pool.test", [
      { type: "A", address: "10.0.0.1" },
      { type: "A", address: "10.0.0.2" },
    ]);
    const found = finding("dns://pool.test:7002");
    await until(() => (found.finder.views()[0]?.answers ?? 0) >= 5);
    expect(found.lists).toHaveLength(1);
    expect(lines).toHaveLength(1);
  });

  it("a silent server is asked for ever, complained of once, and found when it speaks", async () => {
    dns.silent = true;
    dns.zone.set("pool.test", [{ type: "A", address: "10.0.0.1" }]);
    const found = finding("dns://pool.test:7002");
    await until(() => (found.finder.views()[0]?.failures ?? 0) >= 2);
    dns.silent = false;
    expect(await found.seeds()).toEqual(["10.0.0.1:7002"]);
    expect(warnings()).toEqual(["no answer within 5000 ms"]);
  });
});

describe("Consul", () => {
  let consul: Registry;
  beforeEach(async () => {
    consul = await Registry.start(answering(200, fixture("consul-instances.json")));
    cleanups.push(() => consul.close());
  });
  const finding = (query = "", lookups: Partial<LookupConfig> = {}): Finding =>
    new Finding([`consul://127.0.0.1:${consul.address.port}/starling-gossip${query}`], lookups);

  it("the instances of a service are found, with the token, tags and data centre that were asked for", async () => {
    const found = finding("?tag=eu&dc=dc1", { consulToken: CONSUL_TOKEN });
    const wanted = ["10.1.10.13:7012", "10.1.20.31:7002", "[2001:db8::14]:7002", "ap.starling.example.com:7002"];
    expect(await found.seeds()).toEqual(wanted);
    expect(consul.asked[0]).toBe("GET /v1/health/service/starling-gossip?stale&tag=eu&dc=dc1");
    expect(consul.headers[0]).toMatchObject({ "x-consul-token": CONSUL_TOKEN });
  });

  it("without a token none is sent", async () => {
    await finding().seeds();
    expect(consul.headers[0]).not.toHaveProperty("x-consul-token");
  });

  it("a wrong token is told in Consul's words, without the token, even when the answer repeats it", async () => {
    consul.answer = answering(403, `rpc error making call: Permission denied: token ${CONSUL_TOKEN} lacks permission`);
    expect(await finding("", { consulToken: CONSUL_TOKEN }).error()).toBe(
      "Consul answered 403: rpc error making call: Permission denied: token (secret) lacks permission",
    );
    expect(JSON.stringify(lines)).not.toContain(CONSUL_TOKEN);
  });

  it("a token at the edge of what is kept of an answer is not shown in part either", async () => {
    consul.answer = answering(500, `${"x".repeat(290)}${CONSUL_TOKEN}`);
    expect(await finding("", { consulToken: CONSUL_TOKEN }).error()).toMatch(/x\(secret\)?$|x\(secret$/);
    expect(JSON.stringify(lines)).not.toContain(CONSUL_TOKEN.slice(0, 8));
  });

  it("of a long answer the first 300 characters are kept", async () => {
    consul.answer = answering(500, "x".repeat(1000));
    expect(await finding().error()).toBe(`Consul answered 500: ${"x".repeat(300)}`);
  });

  test.each([
    ["500", answering(500, "No cluster leader\n"), "Consul answered 500: No cluster leader"],
    ["a redirect", answering(301, "", { location: "http://192.0.2.1/" }), "Consul answered 301"],
    ["an empty list", answering(200, "[]"), "it names nobody"],
    ["junk", answering(200, "<html>it works</html>"), "it is no JSON"],
    ["another document", answering(200, '{"Node":"x"}'), "it is no list of instances"],
    ["a huge answer", answering(200, `[${" ".repeat(1024 * 1024)}]`), "answered with more than 1048576 bytes"],
  ])("%s is a failure with a reason", async (_what, answer, sentence) => {
    consul.answer = answer;
    const found = finding();
    expect(await found.error()).toContain(sentence);
    expect(found.lists).toEqual([]);
  });

  it("a close ends the question that is under way, and nothing is asked or told after it", async () => {
    let isGone = false;
    consul.answer = (_request, response) => void response.on("close", () => (isGone = true));
    const found = finding();
    await until(() => consul.asked.length === 1);
    found.finder.close();
    await until(() => isGone);
    await new Promise((resolve) => setTimeout(resolve, 200)); // two pauses of thirty seconds, in haste
    expect([found.lists, lines, consul.asked.length]).toEqual([[], [], 1]);
  });

  it("a failure in between loses nobody", async () => {
    const found = finding();
    await found.seeds();
    consul.answer = answering(500, "No cluster leader");
    await until(() => (found.finder.views()[0]?.failures ?? 0) >= 2);
    consul.answer = answering(200, "[]");
    await until(() => warnings().includes("it names nobody"));
    expect(found.finder.views()[0]?.addresses).toHaveLength(4);
    expect(found.lists).toHaveLength(1);
  });
});

describe("Kubernetes", () => {
  const authority = new Authority();
  let api: Registry;
  beforeEach(async () => {
    writeFileSync(join(credentials, "token"), `${POD_TOKEN}\n`);
    writeFileSync(join(credentials, "ca.crt"), authority.ca);
    api = await Registry.start(answering(200, fixture("kubernetes-slices.json")), authority.identity("127.0.0.1"));
    cleanups.push(() => api.close());
  });
  const finding = (seed = "kubernetes://prod/starling?port=gossip"): Finding =>
    new Finding([seed], { kubernetesApi: api.address });

  it("the pods of a service are found, ready or not, IPv4 and IPv6, in all slices", async () => {
    const wanted = ["10.244.1.7:7002", "10.244.2.9:7002", "10.244.3.4:7002", "[fd00:10:244:1::7]:7002"];
    expect(await finding().seeds()).toEqual(wanted);
    expect(api.asked[0]).toMatch(/^GET \/apis\/discovery.k8s.io\/v1\/namespaces\/prod\/endpointslices\?labelSelector=/);
    expect(api.headers[0]).toMatchObject({ authorization: `Bearer ${POD_TOKEN}` });
  });

  it("a token that was replaced is used from the next question on", async () => {
    const found = finding();
    await found.seeds();
    writeFileSync(join(credentials, "token"), "another.pod.token");
    await until(() => api.headers.some(({ authorization }) => authorization === "Bearer another.pod.token"));
  });

  test.each([
    [
      "401",
      answering(401, '{"kind":"Status","message":"Unauthorized","code":401}'),
      "Kubernetes answered 401: Unauthorized",
    ],
    [
      "403",
      answering(403, fixture("kubernetes-forbidden.json")),
      'Kubernetes answered 403: endpointslices.discovery.k8s.io is forbidden: User "system:serviceaccount:prod:default" cannot list',
    ],
    ["404", answering(404, "404 page not found\n", { "content-type": "text/plain" }), "Kubernetes answered 404"],
    [
      "a token that is repeated",
      answering(401, JSON.stringify({ message: `bad: ${POD_TOKEN}` })),
      "401: bad: (secret)",
    ],
    ["no slices", answering(200, '{"kind":"EndpointSliceList","items":[]}'), "it names nobody"],
  ])("%s is a failure with a reason", async (_what, answer, sentence) => {
    api.answer = answer;
    expect(await finding().error()).toContain(sentence);
    expect(JSON.stringify(lines)).not.toContain(POD_TOKEN);
  });

  it("a server that our authority has not signed gets no token", async () => {
    writeFileSync(join(credentials, "ca.crt"), new Authority("another").ca);
    expect(await finding().error()).toContain("cannot ask https://127.0.0.1");
    expect(api.asked).toEqual([]);
  });

  it("outside a pod it says which file is missing", async () => {
    rmSync(join(credentials, "token"));
    expect(await finding().error()).toMatch(/^cannot read .*\/token: ENOENT$/);
  });
});
