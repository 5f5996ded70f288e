import { consulAddresses } from "../../gossip/discovery/consul.ts";
import { sliceAddresses } from "../../gossip/discovery/kubernetes.ts";
import { isHost, isPort, parseSeed } from "../../gossip/discovery/notation.ts";
import { srvTargets } from "../../gossip/discovery/srv.ts";
import { ipToBytes } from "../../gossip/wire/address.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { pick } from "./mutate.ts";
import { claim, type Target, unlessRefused } from "./target.ts";
import { mutated, toJsonText, treeOf } from "./tree.ts";

const CHECKS = [{ Status: "passing" }, { Status: "critical" }];
const INSTANCES = [
  [{ Node: { Address: "10.0.0.1" }, Service: { Address: "", Port: 7002, Tags: ["eu"] }, Checks: CHECKS }],
  [{ Node: { Address: "::1" }, Service: { Address: "a.example.com", Port: 7002 }, Checks: null }, { Service: null }],
];
const CONDITIONS = { ready: false, serving: true, terminating: true };
const PORTS = [
  { name: "gossip", port: 7002, protocol: "UDP" },
  { name: "http", port: 7001 },
];
const SLICES = [
  { items: [{ addressType: "IPv4", endpoints: [{ addresses: ["10.0.0.1"], conditions: CONDITIONS }], ports: PORTS }] },
  {
    items: [
      { endpoints: [{ addresses: ["fd00::1", "x"] }, {}], ports: PORTS },
      { endpoints: null, ports: null },
    ],
  },
];
const RECORDS = [
  [{ name: "a.example.com", port: 7002, priority: 1, weight: 5, ttl: 30 }],
  [
    { name: "b", port: 1, priority: 0 },
    { name: ".", port: 0, priority: 0 },
    { name: "A.Example.COM.", port: 7002, priority: 9 },
  ],
];
const SEEDS = [
  "10.0.0.1:7002",
  "[2001:db8::1]:7002",
  "seed.example.com:7002",
  "dns://starling:7002",
  "dns+srv://_g._udp.example.com",
  "consul://127.0.0.1:8500/starling?tag=a%2C%C3%A9&dc=dc1&passing=true",
  "consul+https://c:8501/a%20b?passing",
  "kubernetes://default/starling?port=gossip",
];

const textOf = (input: Uint8Array): string => Buffer.from(input).toString("utf8");

/** JSON that is right but for a place or two. */
function jsonOf(documents: readonly unknown[]): (rng: Rng) => Uint8Array {
  return (rng) => utf8(toJsonText(mutated(rng, [treeOf(pick(rng, documents))])));
}

/** Some words of two seeds, in another order. */
function seedOf(rng: Rng): Uint8Array {
  const words = [...pick(rng, SEEDS).split(/(?<=[:/?&=@.])/), ...pick(rng, SEEDS).split(/(?<=[:/?&=@.])/)];
  return utf8(Array.from({ length: 1 + rng.below(8) }, () => pick(rng, words)).join(""));
}

function parseInstances(input: Uint8Array): boolean {
  const ranks = unlessRefused(() => consulAddresses(textOf(input)));
  if (!ranks) return false;
  for (const { host, port } of ranks.flat()) claim(isHost(host) && isPort(port), "names no address");
  return true;
}

function parseSlices(input: Uint8Array): boolean {
  const ranks = unlessRefused(() => sliceAddresses(textOf(input), "gossip"));
  if (!ranks) return false;
  for (const { host, port } of ranks.flat()) claim(ipToBytes(host) !== undefined && isPort(port), "names no address");
  return true;
}

/** The resolver hands records over as objects: what no JSON array says, it can't say. */
function parseRecords(input: Uint8Array): boolean {
  let records: unknown;
  try {
    records = JSON.parse(textOf(input));
  } catch {
    return false;
  }
  if (!Array.isArray(records)) return false;
  const targets = srvTargets(records);
  claim(targets.length <= 64, "has too many targets");
  for (const { name, port } of targets) claim(isHost(name) && isPort(port), "leads to no address");
  return true;
}

function parseNotation(input: Uint8Array): boolean {
  const source = unlessRefused(() => parseSeed(textOf(input)));
  if (!source) return false;
  claim(!source.text.includes(","), "can't stand in a list");
  claim(JSON.stringify(parseSeed(source.text)) === JSON.stringify(source), "means something else when written again");
  return true;
}

export const DISCOVERY_TARGETS: readonly Target[] = [
  {
    name: "discovery-consul",
    seeds: () => INSTANCES.map((one) => utf8(JSON.stringify(one))),
    structured: jsonOf(INSTANCES),
    parse: parseInstances,
  },
  {
    name: "discovery-kubernetes",
    seeds: () => SLICES.map((one) => utf8(JSON.stringify(one))),
    structured: jsonOf(SLICES),
    parse: parseSlices,
  },
  {
    name: "discovery-srv",
    seeds: () => RECORDS.map((one) => utf8(JSON.stringify(one))),
    structured: jsonOf(RECORDS),
    parse: parseRecords,
  },
  { name: "discovery-seeds", seeds: () => SEEDS.map(utf8), structured: seedOf, parse: parseNotation },
];
