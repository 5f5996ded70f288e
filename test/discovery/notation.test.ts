import { describe, expect, test } from "vitest";
import { parseSeed } from "../../gossip/discovery/notation.ts";
import { InputError } from "../../src/kernel/assert.ts";

function refusal(text: string): string {
  try {
    parseSeed(text);
  } catch (error) {
    expect(error).toBeInstanceOf(InputError);
    return error instanceof Error ? error.message : "";
  }
  return "accepted";
}

describe("how seeds are written", () => {
  test.each([
    ["10.0.0.1:7002", { kind: "static", address: { host: "10.0.0.1", port: 7002 } }],
    ["[2001:DB8::0:1]:7002", { kind: "static", text: "[2001:db8::1]:7002" }],
    ["Seed.Example.com:7002", { kind: "dns", name: "seed.example.com", port: 7002, text: "seed.example.com:7002" }],
    ["localhost:1", { kind: "dns", name: "localhost", port: 1 }],
    ["dns://starling:7002", { kind: "dns", name: "starling", port: 7002 }],
    ["dns+srv://_starling-gossip._udp.example.com", { kind: "srv", name: "_starling-gossip._udp.example.com" }],
    [
      "consul://127.0.0.1:8500/starling-gossip",
      {
        kind: "consul",
        secure: false,
        server: { host: "127.0.0.1", port: 8500 },
        service: "starling-gossip",
        passing: false,
      },
    ],
    [
      "consul+https://consul.example.com:8501/gossip?tag=eu&tag=blue%20green&dc=dc1&passing",
      { kind: "consul", secure: true, tags: ["eu", "blue green"], dc: "dc1", passing: true },
    ],
    ["consul://127.0.0.1:8500/a%40b?tag=c%40d", { kind: "consul", service: "a@b", tags: ["c@d"] }],
    ["consul://[::1]:8500/s?passing=false", { kind: "consul", server: { host: "::1", port: 8500 }, passing: false }],
    [
      "kubernetes://default/starling",
      { kind: "kubernetes", namespace: "default", service: "starling", port: "gossip" },
    ],
    ["kubernetes://prod/starling?port=7002", { kind: "kubernetes", namespace: "prod", port: "7002" }],
  ])("%s is understood", (text, wanted) => {
    const source = parseSeed(text);
    expect(source).toMatchObject(wanted);
    // What is shown can be written again, and means the same.
    expect(parseSeed(source.text)).toEqual(source);
    expect(source.text).not.toContain(","); // it may stand in a list
  });

  test.each([
    ["etcd://127.0.0.1:2379/x", "is no way to find members: write host:port, dns://name:port"],
    ["CONSUL://127.0.0.1:8500/x", "is no way to find members"],
    ["provider=k8s label_selector=app=x", "is no way to find members"],
    ["dns+thanos.example.com:7002", "write dns://thanos.example.com:7002"],
    ["dnssrv+_a._tcp.example.com", "write dns+srv://_a._tcp.example.com"],
    ["example.com", "must look like host:port"],
    ["10.0.0.1", "must look like host:port"],
    ["10.0.0.1:0", "must look like host:port"],
    ["10.0.0.1:65536", "must look like host:port"],
    ["10.0.0.300:7002", "must look like host:port"],
    ["[::g]:1", "must look like host:port"],
    ["a b:1", "must look like host:port"],
    ["", "must look like host:port"],
    ["dns://starling", "must name a host and the members' gossip port"],
    ["dns://10.0.0.1:7002", "must name a host and the members' gossip port"],
    ["dns+srv://_a._udp.example.com:7002", "without a port (its records have them)"],
    ["dns+srv://example.com", "must name a service"],
    ["consul://127.0.0.1/x", "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500", "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500/", "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500/a/b", "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500/a%0d%0ab", "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500/%e0", "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500/x?near=a", "stand tag, dc, passing and their values"],
    ["consul://127.0.0.1:8500/x?passing=maybe", "passing is true or false"],
    [`consul://127.0.0.1:8500/${"x".repeat(256)}`, "must name Consul's HTTP address and a service"],
    ["consul://127.0.0.1:8500/\ud800", "must name Consul's HTTP address and a service"],
    [`dns://${"a.".repeat(127)}:1`, "must name a host"],
    ["kubernetes://starling", "must name a namespace and a service"],
    ["kubernetes://10.0.0.1:6443/ns/svc", "where the API is, cluster.kubernetes_api says"],
    ["kubernetes://ns/svc?port=Gossip", "port is the name of one of the service's ports"],
    ["kubernetes://ns/svc?port=99999", "port is the name of one of the service's ports"],
  ])("%s is refused with what to do", (text, sentence) => {
    expect(refusal(text)).toContain(sentence);
  });

  test("what is long is repeated in part", () => {
    expect(refusal("x".repeat(1000))).toBe(`gossip seed "${"x".repeat(200)}…" must look like host:port or [ipv6]:port`);
    expect(parseSeed(`dns://${"a.".repeat(126)}b:1`).kind).toBe("dns"); // 253 characters, DNS's bound
  });

  test.each([
    "consul://user:hunter2@127.0.0.1:8500/x",
    "consul://hunter2@127.0.0.1:8500/x",
    "me:hunter2@10.0.0.1:7002",
    "hunter2@example.com:7002",
    "kubernetes://me:hunter2@ns/svc",
    // A password that should have been escaped, and wasn't.
    "consul://me:hunter2/x@127.0.0.1:8500/x",
    "consul://me:hunter2#x@127.0.0.1:8500/x",
    "consul://me:hunter2?x@127.0.0.1:8500/x",
    "dns://me:x/hunter2@example.com:1",
    "dns://me:hunter2@example.com:1",
    "consul://127.0.0.1:8500/x?token=hunter2",
    "consul://127.0.0.1:8500/x?tag=a&X-Consul-Token=hunter2",
    "kubernetes://ns/svc?auth=hunter2",
  ])("what may be a secret is refused, without repeating it", (text) => {
    const sentence = refusal(text);
    expect(sentence).toContain("cluster.consul_token");
    expect(sentence).not.toContain("hunter2");
  });
});
