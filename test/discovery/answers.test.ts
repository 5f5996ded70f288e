import { describe, expect, it, test } from "vitest";
import { consulAddresses, consulPath } from "../../gossip/discovery/consul.ts";
import { fieldOf } from "../../gossip/discovery/json.ts";
import { sliceAddresses, slicesPath, statusMessage } from "../../gossip/discovery/kubernetes.ts";
import { type ConsulSource, type KubernetesSource, parseSeed } from "../../gossip/discovery/notation.ts";
import { srvTargets } from "../../gossip/discovery/srv.ts";
import { fixture } from "./real-registries.ts";

const at = (host: string, port: number): { host: string; port: number } => ({ host, port });

describe("Consul's answer", () => {
  it("gives the service's address, or its node's, those first whose checks pass", () => {
    expect(consulAddresses(fixture("consul-instances.json"))).toEqual([
      [at("10.1.20.31", 7002), at("10.1.10.13", 7012), at("2001:db8::14", 7002)],
      [at("ap.starling.example.com", 7002)],
    ]);
  });

  it("of nobody is empty, and null entries and such are left out", () => {
    expect(consulAddresses("[]").flat()).toEqual([]);
    const odd = [null, 1, {}, { Service: null }, { Service: { Port: "7002", Address: "10.0.0.1" } }];
    const fine = { Node: { Address: "10.0.0.2" }, Service: { Address: "", Port: 7002 }, Checks: null };
    expect(consulAddresses(JSON.stringify([...odd, fine])).flat()).toEqual([at("10.0.0.2", 7002)]);
  });

  test.each([
    ["", "no JSON"],
    ["<html>", "no JSON"],
    ["null", "no list of instances"],
    ['{"Service":{}}', "no list of instances"],
    ["[1,2]", "none of its instances has an address and a port"],
    ['[{"Service":{"Port":0,"Address":"10.0.0.1"}}]', "none of its instances"],
    ['[{"Service":{"Port":7002,"Address":"a b\\r\\nX: y"}}]', "none of its instances"],
    ["[".repeat(100_000), "no JSON"],
  ])("that is %j is refused", (body, sentence) => {
    expect(() => consulAddresses(body)).toThrow(sentence);
  });

  it("is asked for with what the seed says, whichever server has it", () => {
    const path = (text: string): string => consulPath(parseSeed(text) as ConsulSource);
    expect(path("consul://c:8500/starling")).toBe("/v1/health/service/starling?stale");
    expect(path("consul://c:8500/a%20b?tag=x&tag=%26y&dc=dc1&passing")).toBe(
      "/v1/health/service/a%20b?stale&passing&tag=x&tag=%26y&dc=dc1",
    );
  });
});

describe("Kubernetes' answer", () => {
  it("gives the ready pods, then those that are not, then those that go, of all slices", () => {
    const wanted = [
      [at("10.244.1.7", 7002), at("fd00:10:244:1::7", 7002)],
      [at("10.244.2.9", 7002)],
      [at("10.244.3.4", 7002)],
    ];
    expect(sliceAddresses(fixture("kubernetes-slices.json"), "gossip")).toEqual(wanted);
  });

  it("with a port's number takes that, whatever ports the service has", () => {
    const ports = sliceAddresses(fixture("kubernetes-slices.json"), "9000")
      .flat()
      .map(({ port }) => port);
    expect(ports).toEqual([9000, 9000, 9000, 9000]);
  });

  it("without such a port says which ones there are", () => {
    expect(() => sliceAddresses(fixture("kubernetes-slices.json"), "serf")).toThrow(
      "the service has no port called serf; it has http, gossip, gossip-tcp, peer",
    );
  });

  it("but no more than eight of them", () => {
    const ports = Array.from({ length: 20 }, (_, i) => ({ name: `p${i}`, port: 1 + i }));
    expect(() => sliceAddresses(JSON.stringify({ items: [{ endpoints: [], ports }] }), "serf")).toThrow(
      /; it has p0.*p7$/,
    );
  });

  it("of a service without pods, or without slices, is empty", () => {
    expect(sliceAddresses('{"items":[]}', "gossip").flat()).toEqual([]);
    expect(sliceAddresses('{"items":[{"endpoints":null,"ports":null}]}', "gossip").flat()).toEqual([]);
  });

  it("leaves out names, and whatever has no address", () => {
    const endpoints = [
      { addresses: ["a.example.com"] },
      { addresses: [] },
      {},
      null,
      { addresses: ["10.0.0.1", "10.0.0.2"] },
    ];
    const items = [{ addressType: "IPv4", endpoints, ports: [{ name: "gossip", port: 7002 }] }, null, 5];
    expect(sliceAddresses(JSON.stringify({ items }), "gossip")).toEqual([[at("10.0.0.1", 7002)], [], []]);
  });

  test.each([
    ["", "no JSON"],
    ["[]", "no EndpointSliceList"],
    ['{"kind":"Status","status":"Failure"}', "no EndpointSliceList"],
    ['{"items":{}}', "no EndpointSliceList"],
  ])("that is %j is refused", (body, sentence) => {
    expect(() => sliceAddresses(body, "gossip")).toThrow(sentence);
  });

  it("that is a refusal says why", () => {
    expect(statusMessage(fixture("kubernetes-forbidden.json"))).toMatch(/^endpointslices.* is forbidden: User/);
    expect(statusMessage("<html>")).toBe("");
  });

  it("is asked for by the service's label, in bounded pieces", () => {
    expect(slicesPath(parseSeed("kubernetes://prod/starling") as KubernetesSource)).toBe(
      "/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dstarling&limit=16",
    );
  });
});

describe("SRV records", () => {
  const record = (name: unknown, port: unknown, priority: unknown = 0): unknown => ({
    name,
    port,
    priority,
    weight: 1,
  });

  it("are taken by priority, each place once, in an order that is not the answer's", () => {
    const records = [
      record("b.example", 2, 10),
      record("c.example", 1),
      record("A.example.", 1),
      record("a.example", 1, 20),
    ];
    const wanted = ["a.example 1", "c.example 1", "b.example 2"];
    expect(srvTargets(records).map(({ name, port }) => `${name} ${port}`)).toEqual(wanted);
    expect(srvTargets([...records].reverse())).toEqual(srvTargets(records));
  });

  it("that lead nowhere are left out, and there are at most 64", () => {
    const nowhere = [
      record("", 0),
      record(".", 1),
      record("x", 0),
      record("x", 70_000),
      record(5, 1),
      null,
      record("x", 1, "0"),
    ];
    expect(srvTargets(nowhere)).toEqual([]);
    expect(srvTargets(Array.from({ length: 3000 }, (_, i) => record(`n${i}`, 1)))).toHaveLength(64);
  });
});

it("what a field is called that all objects have is a field only where it is written", () => {
  expect([fieldOf({}, "constructor"), fieldOf(JSON.parse('{"constructor":1}'), "constructor")]).toEqual([undefined, 1]);
});
