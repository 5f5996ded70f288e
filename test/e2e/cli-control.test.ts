import { spawn, spawnSync } from "node:child_process";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MAIN, RealCluster } from "./cluster.ts";

// The commands about what a cluster agrees on, against a real node that is its own quorum.

let cluster: RealCluster;
let url = "";

beforeAll(async () => {
  cluster = await RealCluster.make(["eu"]);
  ({ url } = await cluster.start("eu"));
});
afterAll(() => cluster.stopAll());

function starling(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, STARLING_NODE: url };
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", env });
  return { code: status, stdout, stderr };
}

function printed(...args: string[]): string {
  const { code, stdout, stderr } = starling(...args);
  expect({ args, code, stderr: code === 0 ? "" : stderr }).toEqual({ args, code: 0, stderr: "" });
  return stdout;
}

function json<T>(...args: string[]): T {
  return JSON.parse(printed(...args, "--json")) as T;
}

describe("the group", () => {
  test("its status, leader and Raft's state", () => {
    expect(json("cluster", "status")).toMatchObject({ leader: "eu", quorum: { voters: 1, needed: 1, reached: true } });
    expect(printed("cluster", "status")).toContain("eu (asked)\teu\talive\tleader");
    expect(printed("cluster", "peers")).toBe("node\tregion\tmember\trole\tgossip\tclient\trtt\n");
    expect(printed("cluster", "leader")).toMatch(/^leader\tterm\tregion\tclient\neu\t\d+\teu\t127\.0\.0\.1:\d+\n$/);
    expect(printed("cluster", "consensus")).toMatch(/\neu\tleader\t\d+\teu\teu\t/);
    expect(printed("cluster", "snapshot")).toMatch(/^eu: (up to entry \d+, |nothing new)/);
  });

  test("maintenance goes on and off", () => {
    expect(printed("maintenance", "on", "eu", "--reason", "new disk")).toMatch(/^eu is maintenance \(version \d+\)\n$/);
    expect(json("cluster", "status")).toMatchObject({ nodes: [{ memberState: "maintenance" }] });
    expect(printed("maintenance", "off", "eu")).toContain("eu is active");
  });
});

describe("policies", () => {
  test("are set with a reason, listed, shown with their history, and taken back", () => {
    expect(printed("policy", "get", "carts")).toContain("carts\tlww\t0\t");
    expect(printed("policy", "set", "carts", "siblings", "--reason", "to see them")).toContain("has policy siblings");
    expect(printed("policy", "set", "carts", "region-order", "--regions", "eu,us")).toContain("region-order eu us");
    expect(printed("policy", "ls")).toContain("carts\tregion-order eu us\t");
    expect(printed("policy", "set", "carts", "default")).toContain("default");
    const { history } = json<{ history: { policy: { show: string } | null; reason: string | null }[] }>(
      "policy",
      "history",
      "carts",
    );
    expect(history.map(({ policy }) => policy?.show)).toEqual([undefined, "region-order", "siblings"]);
    expect(history[2]?.reason).toBe("to see them");
  });
});

describe("tokens", () => {
  test("are made, listed without their secret, and revoked", () => {
    const made = starling("token", "create", "--join", "--region", "us", "--uses", "3", "--ttl", "30m");
    expect(made.code).toBe(0);
    const [id = "", key = ""] = made.stdout.trim().split(".");
    expect([id.length, key.length]).toEqual([16, 43]);
    expect(made.stderr).toContain(`starling token revoke ${id}`);
    const listed = printed("token", "ls");
    expect(listed).toContain(`${id}\topen\t3 of 3\tus\t`);
    expect(listed).not.toContain(key);
    expect(printed("token", "revoke", id)).toContain("lets nobody in");
    expect(printed("token", "ls")).not.toContain(id);
  });
});

describe("the configuration", () => {
  test("is printed, and read through the leader", () => {
    expect(json("config", "get", "--consistent")).toMatchObject({
      consistent: true,
      config: { cluster: { id: "e2e" } },
    });
    expect(starling("config", "get").stderr).toMatch(/^version \d+, hash [0-9a-f]{64}\n$/);
  });

  test("is watched: all that came since a version, and what comes while it watches", async () => {
    const { version } = json<{ version: number }>("config", "get");
    printed("policy", "set", "watched", "max", "--reason", "before");
    const env = { ...process.env, STARLING_NODE: url };
    const args = [MAIN, "config", "get", "--watch", "--since", String(version), "--events", "2"];
    const child = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "inherit"] });
    let text = "";
    const first = new Promise<void>((resolve) => {
      child.stdout.on("data", (bytes: Buffer) => {
        text += bytes.toString();
        resolve();
      });
    });
    const ended = new Promise<number | null>((resolve) => child.on("close", resolve));
    await first;
    printed("policy", "set", "watched", "min");
    expect(await ended).toBe(0);
    expect(text).toMatch(/^\d+ {2}\S+Z {2}set-policy by anonymous: before\n {4}policies\.watched: nothing → \{/);
    expect(text).toContain('policies.watched.policy.show: "max" → "min"');
    const again = printed("config", "get", "--watch", "--since", String(version), "--events", "2", "--json");
    const events = again
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { event: string; data: { reason: string } });
    expect(events.map(({ event, data }) => [event, data.reason])).toEqual([
      ["version", "before"],
      ["version", null],
    ]);
  });
});

describe("exit codes and help", () => {
  test.each([
    ["no such member is 3", ["maintenance", "on", "nobody"], 3, "404 unknown-node"],
    ["no such token is 3", ["token", "revoke", "none"], 3, "404 no-such-token"],
    ["a policy that there isn't is 4", ["policy", "set", "b", "newest"], 4, "400 bad-policy"],
    ["a version that has passed is 4", ["policy", "set", "b", "max", "--if-version", "99"], 4, "412 version-mismatch"],
    ["a token of no kind is 2", ["token", "create"], 2, "--join"],
    ["a duration that is none is 2", ["token", "create", "--join", "--ttl", "soon"], 2, "a duration with its unit"],
    ["a number that is none is 2", ["token", "create", "--join", "--uses", "many"], 2, "--uses takes a whole number"],
    ["watching with --consistent is 2", ["config", "get", "--watch", "--consistent"], 2, "leave --consistent out"],
    ["nobody at the address is 5", ["cluster", "leader", "--node", "http://127.0.0.1:9"], 5, "cannot reach"],
  ])("%s", (_claim, args, code, text) => {
    const result = starling(...args);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr).toContain(text);
  });

  test("every command has examples", () => {
    const groups: Record<string, string[]> = {
      cluster: ["status", "peers", "leader", "consensus", "snapshot"],
      policy: ["ls", "get", "set", "history"],
      token: ["create", "ls", "revoke"],
      maintenance: ["on", "off"],
      config: ["get"],
    };
    for (const [group, names] of Object.entries(groups))
      for (const name of names) expect(printed(group, name, "--help")).toContain("Examples:\n  # ");
  });
});
