import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { MAIN, RealCluster } from "./cluster.ts";

// The command line against a real node: what is printed, and the exit codes that scripts rely on.

let cluster: RealCluster;
let url = "";

beforeAll(async () => {
  cluster = await RealCluster.make(["eu"]);
  ({ url } = await cluster.start("eu"));
});
afterAll(() => cluster.stopAll());

function starling(args: readonly string[], input = ""): { code: number | null; stdout: string; stderr: string } {
  const env = { ...process.env, STARLING_NODE: url };
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8", env, input });
  return { code: status, stdout, stderr };
}

function printed(...args: string[]): string {
  const { code, stdout, stderr } = starling(args);
  expect({ code, args, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, args, stderr: "" });
  return stdout;
}

describe("kv", () => {
  test("a value is written from an argument, a file or standard input, and comes back byte by byte", () => {
    printed("kv", "put", "demo", "a", "hello");
    expect(printed("kv", "get", "demo", "a")).toBe("hello");
    const file = join(cluster.dir, "value");
    writeFileSync(file, "ä\n\u0000");
    printed("kv", "put", "demo", "from file", "--file", file, "--type", "application/octet-stream");
    expect(printed("kv", "get", "demo", "from file")).toBe("ä\n\u0000");
    expect(starling(["kv", "put", "demo", "../x", "-"], "piped").code).toBe(0);
    expect(printed("kv", "get", "demo", "../x")).toBe("piped");
    expect(printed("kv", "ls", "demo").split("\n")).toContain("../x\tregister\t5 B\t");
  });

  test("counters, flags, sets and maps answer their new value", () => {
    expect(printed("kv", "incr", "types", "n", "5")).toBe("5\n");
    expect(printed("kv", "decr", "types", "n")).toBe("4\n");
    expect(printed("kv", "reset", "types", "n")).toBe("0\n");
    expect(printed("kv", "enable", "types", "f")).toBe("true\n");
    expect(printed("kv", "disable", "types", "f")).toBe("(absent)\n");
    expect(printed("kv", "add", "types", "s", "b", "a")).toBe('["a","b"]\n');
    expect(printed("kv", "remove", "types", "s", "b")).toBe('["a"]\n');
    expect(printed("kv", "set-field", "types", "m", "age", "36")).toBe('{"age":36}\n');
    expect(printed("kv", "set-field", "types", "m", "name", "Ada")).toBe('{"age":36,"name":"Ada"}\n');
    expect(printed("kv", "remove-field", "types", "m", "age")).toBe('{"name":"Ada"}\n');
    const ops = '[{"op":"update","field":"cart","ops":[{"op":"add","elements":["milk"]}]}]';
    expect(JSON.parse(printed("kv", "ops", "types", "m", ops, "--json"))).toMatchObject({
      value: { cart: ["milk"] },
      type: "map",
    });
  });

  test("a listing goes over pages up to its limit, and says when there is more", () => {
    const lines = Array.from({ length: 1200 }, (_, i) => JSON.stringify({ bucket: "pages", key: `k${i}`, value: i }));
    expect(starling(["import"], lines.join("\n")).stdout).toContain("1,200 records written");
    expect(JSON.parse(printed("kv", "ls", "pages", "--limit", "5000", "--json"))).toMatchObject({ more: false });
    const some = starling(["kv", "ls", "pages", "--limit", "1100", "--values"]);
    expect(some.stdout.trimEnd().split("\n").length).toBe(1101);
    expect(some.stderr).toContain("there are more than 1,100");
    expect(printed("kv", "buckets")).toContain("pages\t1,200");
  });
});

describe("exit codes", () => {
  test.each([
    ["a missing key is 3", ["kv", "get", "demo", "nothing"], 3, "there is no record demo/nothing"],
    ["what the node refuses is 4", ["kv", "incr", "demo", "a", "--context", "forged"], 4, "400 bad-context"],
    ["an unknown option is 2", ["kv", "ls", "demo", "--perfix", "x"], 2, "Did you mean --prefix?"],
    ["a missing argument is 2", ["kv", "get", "demo"], 2, "missing required argument 'key'"],
    ["a number that is none is 2", ["kv", "incr", "demo", "n", "many"], 2, "a whole number"],
    ["nobody at the address is 5", ["status", "--node", "http://127.0.0.1:9"], 5, "cannot reach"],
    ["a conflict that is none is 3", ["conflicts", "show", `c${"A".repeat(32)}`], 3, "404"],
    ["settling without saying how is 2", ["conflicts", "resolve", "x"], 2, "--choose DOT"],
    ["a tour outside of a dev cluster is 1", ["tour"], 1, "starling dev"],
  ])("%s", (_claim, args, code, text) => {
    const result = starling(args);
    expect(result.code).toBe(code);
    expect(result.stderr).toContain(text);
    expect(result.stdout).toBe("");
  });

  test("help is exit code 0 and has examples in every command", () => {
    expect(printed("--help")).toContain("Exit codes: 0 done");
    const paths = [
      ["dev"],
      ["dev", "cut"],
      ["node"],
      ["config", "check"],
      ["status"],
      ["members"],
      ["health"],
      ["sync"],
      ["repair"],
      ["kv"],
    ];
    const more = [
      ["kv", "get"],
      ["kv", "incr"],
      ["import"],
      ["export"],
      ["conflicts"],
      ["conflicts", "resolve"],
      ["explain"],
      ["tour"],
    ];
    for (const path of [...paths, ...more]) expect(printed(...path, "--help")).toContain("Examples:\n  # ");
  });
});

describe("import and export", () => {
  test("what is exported imports again, record by record", () => {
    const values = {
      register: "text",
      counter: 7,
      flag: true,
      set: ["a", "b"],
      map: { x: 1, y: { type: "counter", value: 2 } },
    };
    const lines = Object.entries(values).map(([type, value]) =>
      JSON.stringify({ bucket: "round", key: type, type, value }),
    );
    expect(starling(["import", "-"], lines.join("\n")).code).toBe(0);
    const file = join(cluster.dir, "round.ndjson");
    expect(starling(["export", "round", "--out", file]).stderr).toContain("5 records");
    expect(printed("import", file)).toContain("5 records written");
    expect(printed("export", "round")).toBe(readFileSync(file, "utf8"));
    expect(printed("kv", "get", "round", "counter")).toBe("7");
  });

  test("refused lines are named by their place in the file, whatever the number of streams; the others are written", () => {
    const bad = new Set([3, 7001, 19_999]);
    const lines = Array.from({ length: 20_000 }, (_, i) =>
      bad.has(i + 1) ? `{"bucket":"big","key":"k${i}"}` : JSON.stringify({ bucket: "big", key: `k${i}`, value: i }),
    );
    const file = join(cluster.dir, "big.ndjson");
    writeFileSync(file, lines.join("\n"));
    const result = starling(["import", file, "--streams", "4", "--json"]);
    expect(result.code).toBe(1);
    const summary = JSON.parse(result.stdout) as { written: number; refused: { line: number; reason: string }[] };
    expect(summary.written).toBe(19_997);
    expect(summary.refused.map(({ line }) => line)).toEqual([3, 7001, 19_999]);
    expect(result.stderr).toContain("3 lines were refused");
  });
});

describe("conflicts", () => {
  test("a conflict is listed, shown, settled by a dot, and gone", () => {
    printed("kv", "put", "c", "k", "first");
    const context = JSON.parse(printed("kv", "get", "c", "k", "--json")).context as string;
    printed("kv", "put", "c", "k", "one", "--context", context);
    printed("kv", "put", "c", "k", "two", "--context", context);
    const { conflicts } = JSON.parse(printed("conflicts", "ls", "--bucket", "c", "--json")) as {
      conflicts: { id: string; places: { siblings: { value: string; dots: { dot: string }[] }[] }[] }[];
    };
    const [conflict] = conflicts;
    expect(conflict?.places[0]?.siblings.map(({ value }) => value).sort()).toEqual(["one", "two"]);
    expect(starling(["kv", "get", "c", "k"]).stderr).toContain(`starling conflicts show ${conflict?.id}`);
    const shown = printed("conflicts", "show", String(conflict?.id));
    expect(shown).toContain("one");
    expect(shown).toContain("two");
    expect(printed("explain", "c", "k")).toContain("policy lww shows two");
    const one = conflict?.places[0]?.siblings.find(({ value }) => value === "one")?.dots[0]?.dot ?? "";
    expect(printed("conflicts", "resolve", String(conflict?.id), "--choose", one, "--dry-run")).toContain(
      "would be settled; it shows one",
    );
    expect(printed("conflicts", "resolve", String(conflict?.id), "--choose", one, "--reason", "earlier")).toContain(
      "settled; it shows one",
    );
    expect(JSON.parse(printed("conflicts", "ls", "--bucket", "c", "--json"))).toEqual({ conflicts: [], more: false });
    expect(printed("explain", "c", "k")).toContain("settled by anonymous: earlier");
  });
});

describe("cluster", () => {
  test("status, members, health, sync and repair of a node alone are fine", () => {
    expect(JSON.parse(printed("status", "--json"))).toMatchObject({ state: "healthy", converged: true, node: "eu" });
    expect(printed("members")).toContain("eu (asked)\teu\talive");
    expect(printed("health")).toContain("storage\tyes");
    expect(printed("sync")).toContain("records, digest ");
    expect(printed("repair")).toContain("64 of 64 partitions");
  });

  test("the configuration of this environment is checked and shown with its sources", () => {
    const { stdout } = spawnSync(process.execPath, [MAIN, "config", "check", "--gossip.bind", "127.0.0.2:7946"], {
      encoding: "utf8",
      env: {
        PATH: process.env.PATH,
        STARLING_CLUSTER_ID: "c",
        STARLING_CLUSTER_SALT: "00112233445566778899aabbccddeeff",
      },
    });
    expect(stdout).toContain("gossip.bind\t127.0.0.2:7946\t--gossip.bind");
    expect(stdout).toContain("cluster.salt\t(secret)\tSTARLING_CLUSTER_SALT");
    expect(stdout).toContain("log.level\tinfo\tdefault");
    expect(stdout).not.toContain("0011");
  });
});
