import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { freePorts, MAIN, RealCluster, until } from "./cluster.ts";

// The commands of a cluster's life, against a real node that is its own quorum.

let cluster: RealCluster;
let url = "";
let folders = 0;

beforeAll(async () => {
  cluster = await RealCluster.make(["eu"]);
  ({ url } = await cluster.start("eu"));
});
afterAll(() => cluster.stopAll());

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Not the event loop's end: a server of this process may have to answer. */
async function starlingWith(env: Record<string, string>, ...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...process.env, STARLING_NODE: url, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    timeout: 30_000,
    killSignal: "SIGKILL",
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (bytes: Buffer) => {
    stdout += bytes.toString();
  });
  child.stderr.on("data", (bytes: Buffer) => {
    stderr += bytes.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stdout, stderr };
}

const starling = (...args: string[]): Promise<Ended> => starlingWith({}, ...args);

async function printed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await starling(...args);
  expect({ args, code, stderr: code === 0 ? "" : stderr }).toEqual({ args, code: 0, stderr: "" });
  return stdout;
}

function freshFolder(): string {
  folders += 1;
  return join(cluster.dir, `fresh-${folders}`);
}

const kept = (dataDir: string): unknown => JSON.parse(readFileSync(join(dataDir, "cluster.json"), "utf8"));

async function newToken(...more: string[]): Promise<string> {
  return (await printed("token", "create", "--join", ...more)).trim();
}

/** Flags of a node to be, at addresses that nobody else has. */
async function flagsOf(id: string, dataDir: string): Promise<string[]> {
  const ports = await freePorts(3);
  const binds = ["client", "gossip", "peer"].flatMap((name, i) => [`--${name}.bind`, `127.0.0.1:${ports[i]}`]);
  return ["--node.id", id, "--node.region", id, "--node.data_dir", dataDir, ...binds];
}

async function forget(id: string): Promise<void> {
  await printed("cluster", "remove", id, "--cluster", "e2e");
}

describe("init", () => {
  test("founds a cluster once, with a name, for its owner's eyes only", async () => {
    const dataDir = freshFolder();
    const made = await starling("init", "--node.data_dir", dataDir, "--cluster.name", "birds");
    expect(made).toMatchObject({ code: 0, stdout: expect.stringContaining("of a new cluster, birds (") });
    expect(made.stderr).toContain(`starling node --node.data_dir ${dataDir} --cluster.name birds`);
    expect(kept(dataDir)).toMatchObject({
      name: "birds",
      role: "founder",
      salt: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
    expect(statSync(join(dataDir, "cluster.json")).mode & 0o777).toBe(0o600);
    const before = readFileSync(join(dataDir, "cluster.json"), "utf8");
    const again = await starling("init", "--node.data_dir", dataDir);
    expect(again).toMatchObject({ code: 1, stdout: "" });
    expect(again.stderr).toContain("founded a cluster already (birds)");
    expect(readFileSync(join(dataDir, "cluster.json"), "utf8")).toBe(before);
    const answer = await printed("init", "--node.data_dir", freshFolder(), "--json");
    expect(JSON.parse(answer)).toMatchObject({ cluster: { name: "starling" } });
    expect(answer).not.toContain("salt");
  });

  test("is refused on data, and where the configuration names the cluster", async () => {
    const dataDir = freshFolder();
    mkdirSync(dataDir);
    writeFileSync(join(dataDir, "data.db"), "");
    expect((await starling("init", "--node.data_dir", dataDir)).stderr).toContain("data.db is there");
    const named = ["--cluster.id", "c", "--cluster.salt", "00112233445566778899aabbccddeeff"];
    const refused = await starling("init", "--node.data_dir", freshFolder(), ...named);
    expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining("cluster.id is set") });
    expect(existsSync(join(dataDir, "cluster.json"))).toBe(false);
  });
});

describe("join", () => {
  test("keeps what the member tells; the same again, elsewhere, while it has not begun", async () => {
    const dataDir = freshFolder();
    const flags = await flagsOf("us", dataDir);
    const token = await newToken();
    const joined = await starling("join", url, "--token", token, "--reason", "more room", ...flags);
    expect(joined).toMatchObject({ code: 0, stdout: expect.stringMatching(/^us may join e2e \(version \d+\)/) });
    expect(joined.stderr).toContain(`starling node ${flags.join(" ")}`);
    const gossip = cluster.node("eu").ports.gossip;
    const file = {
      id: "e2e",
      salt: "000102030405060708090a0b0c0d0e0f",
      name: "e2e",
      role: "member",
      seeds: [`127.0.0.1:${gossip}`],
    };
    expect(kept(dataDir)).toEqual(file);
    expect(statSync(join(dataDir, "cluster.json")).mode & 0o777).toBe(0o600);
    expect(await printed("cluster", "peers")).toContain("us\tus\tjoining\tnone\t");
    const { stderr } = await starling("join", url, "--token", token, ...flags);
    expect(stderr).toContain("joined a cluster already (e2e): to join, take an empty data directory");
    const other = freshFolder();
    const moved = [...flags, "--node.data_dir", other];
    const answer = await starlingWith({ STARLING_JOIN_TOKEN: token }, "join", url.slice(7), ...moved, "--json");
    expect(JSON.parse(answer.stdout)).toMatchObject({ node: "us", cluster: { id: "e2e", name: "e2e" } });
    expect(answer.stdout).not.toContain(file.salt);
    expect(kept(other)).toEqual(file);
    await forget("us");
  });

  test("takes the token from a file, and instead of a node that is dead", async () => {
    const tokenFile = join(cluster.dir, "token");
    writeFileSync(tokenFile, `${await newToken()}\n`);
    const flags = await flagsOf("ap", freshFolder());
    // Its own token is no match for one that the environment names: the file was asked for.
    const env = { STARLING_JOIN_TOKEN: "xxxx.yyyy" };
    const replace = [...flags, "--token-file", tokenFile, "--replace", "nobody"];
    expect(await starlingWith(env, "join", url, ...replace)).toMatchObject({
      code: 3,
      stderr: expect.stringContaining("there is no nobody to replace"),
    });
    const under = ["--cluster.name", "e2e"];
    expect(
      await starlingWith(env, "cluster", "join", url, ...under, ...flags, "--token-file", tokenFile),
    ).toMatchObject({
      code: 0,
    });
    await forget("ap");
  });

  test("refused, keeps nothing and says why", async () => {
    const token = await newToken();
    const dataDir = freshFolder();
    const flags = await flagsOf("sa", dataDir);
    const cases: [string[], number, string][] = [
      [["join", url, ...flags], 2, "a join token is needed"],
      [["join", url, "--token", "secret", ...flags], 2, "that is no join token"],
      [["join", url, "--token-file", join(dataDir, "none"), ...flags], 2, "there is no file"],
      [["join", url, "--token", token, "--token-file", MAIN, ...flags], 2, "leave one of them out"],
      [["join", url, "--token", "none.none", ...flags], 4, "403 bad-token"],
      [["join", url, "--token", token, ...flags, "--node.id", "eu"], 4, "409 node-exists"],
      [["join", url, "--token", token, ...flags, "--cluster.name", "other"], 4, "409 wrong-cluster"],
      [["join", url, "--token", token, ...flags, "--replace", "eu"], 4, "409 node-lives"],
      [["join", "127.0.0.1:9", "--token", token, ...flags], 5, "cannot reach http://127.0.0.1:9"],
      [["join", "a b", "--token", token, ...flags], 2, "is no node address"],
      [["join", "--token", token, ...flags], 2, "missing required argument"],
    ];
    for (const [args, code, text] of cases) {
      const refused = await starling(...args);
      expect(refused).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(text) });
      expect(refused.stderr).not.toContain(token);
    }
    expect(existsSync(dataDir)).toBe(false);
  });
});

describe("leaving", () => {
  test("a lonely node stays, and hears why", async () => {
    const dry = await starling("drain", "eu", "--dry-run");
    expect(dry).toMatchObject({ code: 1, stderr: expect.stringContaining("eu may not go now") });
    expect(dry.stdout).toMatch(/^obstacle\twhat to do\nlast-node\t/);
    expect(await starling("leave", "eu", "--cluster", "e2e")).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/409/),
    });
    const lost = await starling("cluster", "remove", "eu", "--cluster", "e2e", "--dry-run", "--json");
    expect(lost.code).toBe(1);
    const { obstacles } = JSON.parse(lost.stdout) as { obstacles: { slug: string }[] };
    expect(obstacles.map(({ slug }) => slug)).toEqual(["last-node", "last-voter", "node-lives"]);
  });

  test("a node that has not begun leaves at once, or is removed with a word on what may be lost", async () => {
    for (const id of ["w1", "w2"]) {
      const flags = await flagsOf(id, freshFolder());
      expect((await starling("join", url, "--token", await newToken(), ...flags)).code).toBe(0);
    }
    expect(await printed("leave", "w1", "--cluster", "e2e")).toMatch(/^w1 left \(version \d+\)\n$/);
    expect(await printed("cluster", "remove", "w2", "--cluster", "e2e", "--dry-run")).toMatch(
      /^nothing speaks against it that w2 goes\neu can't tell .*w2.* are lost with it/,
    );
    expect(await printed("cluster", "peers")).toContain("w2\tw2\tjoining");
    const removed = await printed("cluster", "remove", "w2", "--cluster", "e2e", "--reason", "fire");
    expect(removed).toMatch(/^w2 is removed \(version \d+\)\neu can't tell/);
    expect(await printed("cluster", "peers")).not.toContain("w2\t");
  });

  test.each([
    ["a drain of nobody is 3", ["drain", "nobody"], 3, "404 unknown-node"],
    ["a drain that isn't there can't be cancelled: 4", ["drain", "eu", "--cancel"], 4, "409 wrong-state"],
    ["another cluster's node is 4", ["decommission", "eu", "--cluster", "other"], 4, "409 wrong-cluster"],
    ["a decommission without a cluster is 2", ["decommission", "eu"], 2, "--cluster"],
    ["leave without a cluster is 2", ["leave", "eu"], 2, "--cluster"],
    ["remove without a cluster is 2", ["cluster", "remove", "eu"], 2, "--cluster"],
    ["a wait of no duration is 2", ["drain", "eu", "--wait", "--timeout", "soon"], 2, "a duration with its unit"],
  ])("%s", async (_claim, args, code, text) => {
    expect(await starling(...args)).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(text) });
  });

  test("every command has examples, under cluster too", async () => {
    const alone = [
      ["init"],
      ...["join", "leave", "drain", "decommission"].flatMap((name) => [[name], ["cluster", name]]),
    ];
    const others = [
      ["cluster", "remove"],
      ["cluster", "maintenance", "on"],
    ];
    for (const line of [...alone, ...others]) {
      const help = await printed(...line, "--help");
      expect(help).toContain("Examples:\n  # ");
      expect(help).toContain(`$ starling ${line.join(" ")} `);
    }
  });
});

// Nobody hands over here yet, so what a node would answer meanwhile is told by a server of the test's.
describe("--wait", () => {
  let server: Server | null = null;
  afterEach(() => void server?.close());

  const running = { id: "drain-us", state: "running", version: 7, problems: [] };

  /** Answers the POST with `running`, then each GET with the next of `later`, the last one for ever. */
  async function nodeThat(...later: readonly [number, object][]): Promise<string> {
    let asked = 0;
    server = createServer((request, response) => {
      const [status, view] =
        request.method === "POST" ? [202, running] : (later[Math.min(asked++, later.length - 1)] as [number, object]);
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(view));
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server?.once("listening", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const wait = (node: string, ...more: string[]): Promise<Ended> =>
    starling("drain", "us", "--wait", "--node", node, ...more);

  test("ends when the member is gone", async () => {
    const node = await nodeThat([200, running], [200, { ...running, state: "done" }]);
    expect(await wait(node)).toMatchObject({ code: 0, stdout: "us has handed over and is no member any more\n" });
  });

  test("fails when it was removed, when it stays, and when it takes too long", async () => {
    const removed = await nodeThat([200, { ...running, state: "failed", problems: ["us was removed by bob"] }]);
    expect(await wait(removed)).toMatchObject({ code: 1, stderr: expect.stringContaining("us was removed by bob") });
    server?.close();
    const stays = await nodeThat([404, { type: "not-found", title: "not found" }]);
    expect(await wait(stays)).toMatchObject({ code: 1, stderr: expect.stringContaining("cancelled its drain") });
    server?.close();
    const slow = await nodeThat([200, running]);
    expect(await wait(slow, "--timeout", "1ms")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("has not handed over yet"),
    });
  });

  test("and who answers a join with something else is no member", async () => {
    const node = await nodeThat([200, {}]);
    const dataDir = freshFolder();
    const flags = ["--node.data_dir", dataDir, "--token", "abcd.efgh"];
    expect(await starling("join", node, ...flags)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("is it one?"),
    });
    expect(existsSync(dataDir)).toBe(false);
  });
});

describe("a node with seeds and no cluster", () => {
  const children: ChildProcess[] = [];
  afterEach(() => {
    for (const child of children.splice(0)) child.kill("SIGKILL");
  });

  async function start(
    dataDir: string,
    ...more: string[]
  ): Promise<{ child: ChildProcess; said: () => string; url: string }> {
    const flags = await flagsOf("solo", dataDir);
    const seeds = ["--cluster.seeds", "127.0.0.1:9"];
    const child = spawn(process.execPath, [MAIN, "node", ...flags, ...seeds, ...more], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    children.push(child);
    let text = "";
    child.stdout?.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
    return { child, said: () => text, url: `http://${flags[flags.indexOf("--client.bind") + 1]}` };
  }

  const lives = (at: string): Promise<boolean> => fetch(`${at}/health/live`).then(({ ok }) => ok);

  test("waits and says what to do, founds nothing, and goes on when it is told", async () => {
    const dataDir = freshFolder();
    const node = await start(dataDir);
    await until("it says that it waits", async () => node.said().includes("node.waiting"), 20_000);
    expect(node.said()).toMatch(/"level":"warn".*starling join.*starling init.*cluster\.bootstrap_expect = 1/);
    expect(existsSync(dataDir)).toBe(false);
    await expect(lives(node.url)).rejects.toThrow();
    expect((await starling("init", "--node.data_dir", dataDir)).code).toBe(0);
    await until("it runs", () => lives(node.url), 20_000);
    expect(node.said().match(/node\.waiting/g)).toHaveLength(1);
  });

  test.each(["SIGTERM", "SIGINT"] as const)("ends with 0 on %s", async (signal) => {
    const { child, said } = await start(freshFolder());
    await until("it says that it waits", async () => said().includes("node.waiting"), 20_000);
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    expect(await ended).toBe(0);
  });

  test("founds at once where it is the one to", async () => {
    const node = await start(freshFolder(), "--cluster.bootstrap_expect", "1");
    await until("it runs", () => lives(node.url), 20_000);
    expect(node.said()).not.toContain("node.waiting");
  });
});
