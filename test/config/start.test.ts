import { describe, expect, test } from "vitest";
import { makeConfig, mayFoundAlone, type OwnCluster } from "../../src/config/config.ts";
import { type Effective, resolveSettings } from "../../src/config/resolve.ts";
import type { Config } from "../../src/config/types.ts";

const OWN: OwnCluster = { id: "own", salt: new Uint8Array(16), name: null, role: "founder", seeds: [] };
const SALT = "00112233445566778899aabbccddeeff";

function resolve(text = "", environment: Record<string, string> = {}): Effective {
  const file = { path: "starling.toml", text };
  return resolveSettings({ file, environment: new Map(Object.entries(environment)), flags: new Map() });
}

function config(...parts: Parameters<typeof resolve>): Config {
  return makeConfig(resolve(...parts).values, OWN);
}

describe("how a node comes to its cluster", () => {
  const named = `[cluster]\nid = "c"\nsalt = "${SALT}"\n`;
  const MEMBER: OwnCluster = { ...OWN, name: "birds", role: "member", seeds: ["10.0.0.1:7002", "10.0.0.2:7002"] };

  test("owners, a number of founders, itself alone", () => {
    expect(config(`${named}owners = ["n1/local", "n2/local"]`).cluster.start).toEqual({ kind: "owners" });
    expect(config(`${named}bootstrap_expect = 3\nseeds = ["10.0.0.1:7002"]`).cluster.start).toEqual({
      kind: "expect",
      count: 3,
    });
    expect(config(`${named}bootstrap_expect = 1\nseeds = ["10.0.0.1:7002"]`).cluster.start).toEqual({ kind: "alone" });
    expect(config(named).cluster.start).toEqual({ kind: "alone" });
    expect(config().cluster.start).toEqual({ kind: "alone" });
    expect(config("", { STARLING_CLUSTER_SEEDS: "10.0.0.1:7002" }).cluster.start).toEqual({ kind: "alone" });
  });

  test("one that joined owns nothing, and asks those first of whom it was told", () => {
    const { values } = resolve("", { STARLING_CLUSTER_SEEDS: "10.0.0.9:7002,10.0.0.2:7002" });
    expect(makeConfig(values, MEMBER).cluster).toMatchObject({
      id: "own",
      name: "birds",
      start: { kind: "joined" },
      owners: [],
      seeds: ["10.0.0.1:7002", "10.0.0.2:7002", "10.0.0.9:7002"],
    });
    const many = Array.from({ length: 64 }, (_, i) => `10.0.1.${i}:7002`).join(",");
    const { seeds } = makeConfig(resolve("", { STARLING_CLUSTER_SEEDS: many }).values, MEMBER).cluster;
    expect([seeds.length, seeds[0]]).toEqual([64, "10.0.0.1:7002"]);
  });

  test("settings that name a cluster win over cluster.json; a name may only say the same", () => {
    expect(makeConfig(resolve(named).values, MEMBER).cluster).toMatchObject({ id: "c", name: "starling", seeds: [] });
    const name = (text: string) => makeConfig(resolve("", { STARLING_CLUSTER_NAME: text }).values, MEMBER).cluster.name;
    expect(name("birds")).toBe("birds");
    expect(() => name("fish")).toThrow("cluster.name is fish, but the data directory is of cluster birds");
  });

  test("with seeds nobody founds by accident", () => {
    const may = (environment: Record<string, string>) => mayFoundAlone(resolve("", environment).values);
    const STARLING_CLUSTER_SEEDS = "10.0.0.1:7002";
    expect(may({})).toBe(true);
    expect(may({ STARLING_CLUSTER_SEEDS })).toBe(false);
    expect(may({ STARLING_CLUSTER_SEEDS, STARLING_CLUSTER_BOOTSTRAP_EXPECT: "1" })).toBe(true);
  });

  test.each([
    ["two who say who founds", 'bootstrap_expect = 3\nowners = ["n1/local"]', "both say who founds"],
    ["nobody who does", 'seeds = ["10.0.0.1:7002"]', "nothing says who founds the cluster"],
    ["no founders", "bootstrap_expect = 0", "expected a whole number from 1 to 128"],
    ["too many founders", "bootstrap_expect = 129", "expected a whole number from 1 to 128"],
    ["a name of nothing", 'name = ""', "cluster.name is empty"],
  ])("%s is refused", (_what, line, message) => {
    expect(() => config(`[cluster]\nid = "c"\nsalt = "${SALT}"\n${line}`)).toThrow(message);
  });

  test("founders who could not know each other are refused", () => {
    expect(() => config("[cluster]\nbootstrap_expect = 3")).toThrow(
      "all 3 nodes need the same cluster.id and cluster.salt",
    );
  });
});
