import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { simulate } from "../sim/simulate.ts";

const ROOT = join(import.meta.dirname, "../..");

describe("a seed", () => {
  it("gives the same trace in another process, and by the program", async () => {
    const { traceHash, events, virtualMs, operations } = await simulate({ seed: 3 });
    const node = (...args: string[]): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
    // Nothing to do where npm test has just built everything; an older dist/ would give another trace.
    node("node_modules/typescript/bin/tsc", "-b", "test");
    const { status, stdout, stderr } = node("dist/test/sim/main.js", "--seeds", "3..3", "--json");
    const [line = "{}"] = String(stdout).split("\n");
    expect(JSON.parse(line), String(stderr)).toEqual({ seed: 3, ok: true, traceHash, events, virtualMs, operations });
    expect(status).toBe(0);
  });
});
