import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { json, until } from "./cluster.ts";
import { get, LifeCluster, type LifeNode, put } from "./life.ts";

// No second cluster by accident, and nobody in the first who isn't let in: each waits, or refuses, and says why.

const SALT = "00112233445566778899aabbccddeeff";
const cluster = new LifeCluster();
let eu: LifeNode;

beforeAll(async () => {
  eu = await cluster.found("eu");
  await cluster.autopilot(eu);
}, 60_000);
afterAll(() => cluster.stopAll());

interface Readiness {
  readonly ready: boolean;
  readonly warning?: string;
  readonly waitsFor?: string;
}

async function readiness({ url }: LifeNode): Promise<Readiness> {
  return (await (await fetch(`${url}/health/ready`)).json()) as Readiness;
}

function says(node: LifeNode, event: string, text: RegExp): boolean {
  return node.said.split("\n").some((line) => line.includes(`"event":"${event}"`) && text.test(line));
}

async function versionAt(node: LifeNode): Promise<number> {
  return (await cluster.config(node)).version;
}

describe("a join token", () => {
  test("that is wrong, expired or used, or another cluster's name: refused, and nothing is written", async () => {
    const [once, good] = [await cluster.token(eu), await cluster.token(eu)];
    const elsewhere = await cluster.token(eu, "--region", "sa");
    const us = await cluster.join("us", eu);
    const { dataDir, flags } = await cluster.add("ap");
    cluster.nodes.delete("ap");
    const first = await cluster.add("w1");
    cluster.nodes.delete("w1");
    await cluster.printed(null, "join", us.url, "--token", once, ...first.flags);
    // Whoever makes another one forgets those that have expired.
    const late = await cluster.token(eu, "--ttl", "1s");
    const before = await versionAt(eu);
    const cases: [string[], string][] = [
      [["--token", `${once.split(".")[0]}.wrong`], "403 bad-token"],
      [["--token", late], "403 token-expired"],
      [["--token", once], "403 token-used"],
      [["--token", good, "--cluster.name", "fish"], "409 wrong-cluster"],
      [["--token", elsewhere], "403 token-region"],
    ];
    for (const [args, text] of cases) {
      const refused = await cluster.starling(null, "join", us.url, ...flags, ...args);
      expect(refused).toMatchObject({ code: 4, stdout: "", stderr: expect.stringContaining(text) });
    }
    expect(existsSync(dataDir)).toBe(false);
    expect(await versionAt(eu)).toBe(before);
    expect(Object.keys((await cluster.config(eu)).config.members).sort()).toEqual(["eu", "us", "w1"]);
    await cluster.printed(eu, "leave", "w1", "--cluster", "birds");
  }, 60_000);
});

describe("a node that joined, and reaches nobody", () => {
  test("waits, says so, serves nothing and founds nothing; it comes when the others do", async () => {
    const ap = await cluster.add("ap");
    await cluster.printed(null, "join", eu.url, "--token", await cluster.token(eu), ...ap.flags);
    const { members } = (await cluster.config(eu)).config;
    for (const id of ["eu", "us"]) await cluster.kill(id);
    await cluster.start("ap");
    await until(
      "it says that it waits",
      async () => says(ap, "node.waiting", /waiting to hear of the cluster/),
      20_000,
    );
    expect(await readiness(ap)).toMatchObject({ ready: false, waitsFor: expect.stringMatching(/waiting to hear/) });
    expect(await put(ap, "k", "v")).toBe(503);
    expect((await fetch(`${ap.url}/v1/config`)).status).toBe(404);
    await cluster.start("us");
    await cluster.start("eu");
    await cluster.isActive("ap", ap);
    await until("it is ready", () => cluster.isReady(ap), 20_000);
    const { cluster: of, members: now } = (await cluster.config(ap)).config;
    expect(of).toMatchObject((await cluster.config(eu)).config.cluster);
    expect(Object.keys(now).sort()).toEqual(Object.keys(members).sort());
  }, 90_000);
});

describe("the directory of a node that was removed", () => {
  test("started again serves nothing, says why, and changes nothing", async () => {
    await cluster.join("us2", eu);
    const us2 = cluster.node("us2");
    expect(await put(us2, "of-us2", "v")).toBe(204);
    await until("it is elsewhere", async () => (await get(eu, "of-us2")) !== null, 10_000);
    await cluster.kill("us2");
    await until(
      "it is dead",
      async () => (await cluster.starling(eu, "cluster", "remove", "us2", "--cluster", "birds")).code === 0,
      30_000,
    );
    await put(eu, "later", "v");
    const before = await Promise.all(["eu", "us", "ap"].map((id) => versionAt(cluster.node(id))));
    // It can't know before it has heard of it: then it stops, and from its next start on it knows.
    const child = (await cluster.start("us2")).process;
    await until("it has ended", async () => child?.exitCode !== null, 30_000);
    expect(child?.exitCode).toBe(0);
    expect(says(us2, "node.stopping", /us2 is no member of birds any more \(removed, by /)).toBe(true);
    await cluster.start("us2");
    await until("it says why", async () => says(us2, "node.waiting", /us2 is no member of birds/), 30_000);
    expect(await readiness(us2)).toMatchObject({
      ready: false,
      warning: "us2 is no member of birds: send requests to others",
    });
    expect(await get(us2, "of-us2")).toBeNull();
    expect(await put(us2, "of-us2", "other")).toBe(503);
    expect(await put(us2, "new", "other")).toBe(503);
    expect(await get(us2, "later")).toBeNull();
    expect((await fetch(`${us2.url}/v1/policies/carts`, json("PUT", { show: "siblings" }))).status).toBe(503);
    expect(await Promise.all(["eu", "us", "ap"].map((id) => versionAt(cluster.node(id))))).toEqual(before);
    for (const id of ["eu", "us", "ap"]) expect(await get(cluster.node(id), "of-us2")).toBe('"v"');
    await cluster.kill("us2");
    cluster.nodes.delete("us2");
  }, 90_000);
});

describe("another cluster's node", () => {
  const fish = new LifeCluster();
  afterAll(() => fish.stopAll());

  test("that is given our seeds keeps to its own cluster, and we to ours", async () => {
    const eel = await fish.found("eel", "fish");
    await fish.kill("eel");
    const before = await versionAt(eu);
    await fish.start("eel", ["--cluster.seeds", eu.gossip]);
    await until("they meet in gossip", async () => says(eu, "gossip.member-up", /"eel"/), 20_000);
    const of = await fish.config(eel);
    expect(of.config.cluster.id).not.toBe((await cluster.config(eu)).config.cluster.id);
    expect(Object.keys(of.config.members)).toEqual(["eel"]);
    expect(await versionAt(eu)).toBe(before);
    await fish.kill("eel");
  }, 60_000);

  test.each([
    ["under another id", "--cluster.id", "pond", /this node belongs to cluster .*, not to pond/],
    ["under our id, without our salt", "--cluster.id", "", /the cluster's salt differs/],
  ])(
    "%s: our peers refuse it, and both sides say so",
    async (_case, flag, id, sentence) => {
      const ours = (await cluster.config(eu)).config.cluster.id;
      const pike = await fish.add("pike");
      const peer = eu.flags[eu.flags.indexOf("--peer.bind") + 1];
      const owners = `pike/pike,eu/eu@${peer}`;
      const named = [flag, id === "" ? ours : id, "--cluster.salt", SALT, "--cluster.owners", owners];
      await fish.start("pike", [...named, "--cluster.seeds", eu.gossip]);
      await until("it says that it was refused", async () => says(pike, "peer.link", sentence), 20_000);
      await until("eu says it too", async () => says(eu, "peer.refused", sentence), 20_000);
      expect(await fish.config(pike)).toMatchObject({ version: 0 });
      expect((await cluster.config(eu)).config.members).not.toHaveProperty("pike");
      await fish.kill("pike");
    },
    60_000,
  );

  test("a directory that took part in another cluster isn't taken for this one's", async () => {
    const named = ["--cluster.id", "pond", "--cluster.salt", SALT];
    const started = await fish.starling(null, "node", ...fish.node("eel").flags, ...named);
    expect(started).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/eel of .*, not of eel of pond|another cluster/),
    });
    await fish.start("eel");
    await until("it leads its own cluster as before", async () => (await fish.leader()).id === "eel", 20_000);
    expect(Object.keys((await fish.config(fish.node("eel"))).config.members)).toEqual(["eel"]);
  }, 60_000);
});

describe("cluster.bootstrap_expect", () => {
  test("three that know each other's addresses found one cluster, in whatever order they start", async () => {
    const three = new LifeCluster();
    try {
      const ids = ["a", "b", "c"];
      const named = ["--cluster.id", "flock", "--cluster.name", "flock", "--cluster.salt", SALT];
      for (const id of ids) await three.add(id);
      const seeds = ids.map((id) => three.node(id).gossip).join(",");
      const flags = [...named, "--cluster.seeds", seeds, "--cluster.bootstrap_expect", "3"];
      await three.start("c", flags);
      await three.start("b", flags);
      const b = three.node("b");
      await until(
        "it says whom it waits for",
        async () => says(b, "node.waiting", /waiting for 3 nodes.*2 are there/),
        30_000,
      );
      expect(await put(b, "k", "v")).toBe(503);
      await three.start("a", flags);
      expect((await three.voters(3)).sort()).toEqual(ids);
      const founded = [...three.nodes.values()].filter((node) => says(node, "cluster.founded", /./));
      expect(founded).toHaveLength(1);
      for (const node of three.living) await until(`${node.id} is ready`, () => three.isReady(node), 20_000);
      expect(await put(b, "k", "v")).toBe(204);
    } finally {
      await three.stopAll();
    }
  }, 90_000);
});
