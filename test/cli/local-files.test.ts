import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { parseLatency } from "../../src/cli/dev-command.ts";
import { ensurePlan, nodeToml, readPlan } from "../../src/cli/dev-plan.ts";
import { keepOwnCluster, makeOwnCluster, mustBeFresh, ownCluster, readOwnCluster } from "../../src/cli/own-cluster.ts";
import { checkPortsFree } from "../../src/cli/ports.ts";
import { makeConfig } from "../../src/config/config.ts";
import { resolveSettings } from "../../src/config/resolve.ts";

const SALT = "00112233445566778899aabbccddeeff";
let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "starling-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a single node's own cluster", () => {
  test("is made once, and only the owner may read it", () => {
    const data = join(folder, "data");
    const made = ownCluster(data);
    expect(made.salt.length).toBe(16);
    expect(ownCluster(data)).toEqual(made);
    expect(statSync(join(data, "cluster.json")).mode & 0o777).toBe(0o600);
    expect(ownCluster(join(folder, "other")).id).not.toBe(made.id);
  });

  test("reads back as it was kept: a founder's, a member's, and one of an earlier version", () => {
    const member = { ...makeOwnCluster("birds"), role: "member", seeds: ["10.0.0.1:7002"] } as const;
    expect(readOwnCluster(folder)).toBeNull();
    for (const own of [makeOwnCluster(), makeOwnCluster("birds"), member]) {
      keepOwnCluster(folder, own);
      expect(readOwnCluster(folder)).toEqual(own);
    }
    writeFileSync(join(folder, "cluster.json"), `{"id":"old","salt":"${SALT}"}`);
    expect(readOwnCluster(folder)).toMatchObject({ id: "old", name: null, role: "founder", seeds: [] });
  });

  test("is made or joined only where no node has lived", () => {
    expect(() => mustBeFresh(join(folder, "none"), "take another")).not.toThrow();
    writeFileSync(join(folder, "starling.toml"), "");
    expect(() => mustBeFresh(folder, "take another")).not.toThrow();
    writeFileSync(join(folder, "data.db"), "");
    expect(() => mustBeFresh(folder, "take another")).toThrow(/data\.db is there: .* Take another/);
    keepOwnCluster(folder, makeOwnCluster("birds"));
    expect(() => mustBeFresh(folder, "take another")).toThrow(/founded a cluster already \(birds\): take another/);
  });

  test("that is damaged is refused, never replaced", () => {
    ownCluster(folder);
    const path = join(folder, "cluster.json");
    const odd = ['"role":"guest"', '"name":""', '"name":7', '"seeds":"here"', '"seeds":[7]', '"seeds":["nowhere"]'];
    const others = odd.map((field) => `{"id":"x","salt":"${SALT}",${field}}`);
    const texts = ["", "{}", "[]", "null", '{"id":"x","salt":"00"}', `{"id":"","salt":"${SALT}"}`, ...others];
    for (const text of texts) {
      writeFileSync(path, text);
      expect(() => ownCluster(folder)).toThrow(/is damaged.*restore it from a backup/);
      expect(readFileSync(path, "utf8")).toBe(text);
    }
  });
});

describe("the plan of a dev cluster", () => {
  test("keeps cluster, salt and ports from start to start", () => {
    expect(readPlan(folder)).toBeNull();
    const plan = ensurePlan(folder, 7101);
    expect(
      plan.nodes.map(({ id, clientPort, gossipPort, peerPort }) => [id, clientPort, gossipPort, peerPort]),
    ).toEqual([
      ["eu", 7101, 7102, 7103],
      ["us", 7111, 7112, 7113],
      ["ap", 7121, 7122, 7123],
    ]);
    expect(ensurePlan(folder, null)).toEqual(plan);
    const moved = ensurePlan(folder, 7201);
    expect(moved).toMatchObject({ clusterId: plan.clusterId, salt: plan.salt, basePort: 7201 });
    expect(ensurePlan(folder, null).basePort).toBe(7201);
    expect(statSync(join(folder, "dev.json")).mode & 0o777).toBe(0o600);
  });

  test("gives each node a configuration that is accepted and that agrees on the cluster", () => {
    const plan = ensurePlan(folder, null);
    const configs = plan.nodes.map((node) => {
      const file = { path: "node.toml", text: nodeToml(plan, node) };
      const { values } = resolveSettings({ file, environment: new Map(), flags: new Map() });
      return makeConfig(values, null);
    });
    expect(configs.map(({ node }) => node.region)).toEqual(["eu", "us", "ap"]);
    expect(configs.every((config) => config.dev)).toBe(true);
    expect(new Set(configs.map(({ cluster }) => JSON.stringify(cluster))).size).toBe(1);
    expect(configs[0]?.cluster.owners.map(({ peer }) => peer?.port)).toEqual([7003, 7013, 7023]);
    expect(configs[0]?.cluster.seeds).toEqual(["127.0.0.1:7002", "127.0.0.1:7012", "127.0.0.1:7022"]);
    expect(configs[1]?.node.dataDir).toBe(join(folder, "us"));
  });

  test("a folder with quotes and backslashes in its name is still one folder", () => {
    const odd = join(folder, 'a "b" \\c');
    const plan = ensurePlan(odd, null);
    const [node] = plan.nodes;
    const file = { path: "node.toml", text: node ? nodeToml(plan, node) : "" };
    const { values } = resolveSettings({ file, environment: new Map(), flags: new Map() });
    expect(values["node.data_dir"]).toBe(join(odd, "eu"));
  });

  test("a damaged plan is refused with the way out", () => {
    writeFileSync(join(folder, "dev.json"), "{");
    expect(() => ensurePlan(folder, null)).toThrow(/dev.json is damaged: .*--fresh/);
  });

  test.each([0, 80, 65_514, Number.NaN, 7001.5])("base port %d is refused", (port) => {
    expect(() => ensurePlan(folder, port)).toThrow(/--ports takes the first port/);
  });
});

describe("what dev is told", () => {
  test("latencies are pairs of regions with milliseconds", () => {
    expect(parseLatency("eu-us=80, eu-ap=160ms")).toEqual({ "eu-us": 80, "eu-ap": 160 });
    for (const text of ["", "eu=80", "eu-us", "eu-us=-1", "eu-us=80;us-ap=1"])
      expect(() => parseLatency(text)).toThrow(/--latency takes pairs/);
  });

  test("a port in use is named, with whose it would have been and what to do", async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const wanted = [{ host: "127.0.0.1", port, udp: true, what: "eu's client port" }];
    await expect(checkPortsFree(wanted, "Take others.")).rejects.toThrow(
      `TCP port ${port} on 127.0.0.1, eu's client port, is in use. Take others.`,
    );
    await new Promise((resolve) => server.close(resolve));
    await expect(checkPortsFree(wanted, "")).resolves.toBeUndefined();
  });
});
