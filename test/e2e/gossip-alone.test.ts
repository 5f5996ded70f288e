import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { freePorts } from "./cluster.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const PAGE = readFileSync(join(ROOT, "docs/swim.md"), "utf8");

/** A program of somebody else's who has installed the package. */
let folder = "";
const members: Member[] = [];

class Member {
  readonly process: ChildProcess;
  printed = "";

  constructor(...args: string[]) {
    this.process = spawn(process.execPath, ["member.mjs", ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [this.process.stdout, this.process.stderr])
      stream?.on("data", (bytes: Buffer) => {
        this.printed += bytes.toString();
      });
    members.push(this);
  }

  async prints(line: string): Promise<void> {
    await expect.poll(() => this.printed.split("\n"), { timeout: 20_000 }).toContain(line);
  }
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "starling-alone-"));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(ROOT, join(folder, "node_modules/starling"));
  writeFileSync(join(folder, "member.mjs"), /```js\n([\s\S]*?)```/.exec(PAGE)?.[1] ?? "");
});

afterAll(() => {
  for (const member of members) member.process.kill("SIGKILL");
  rmSync(folder, { recursive: true });
});

test("the example of docs/swim.md is shorter than 30 lines and does what the page says", async () => {
  expect(readFileSync(join(folder, "member.mjs"), "utf8").trim().split("\n").length).toBeLessThan(30);
  const [a = "", b = "", c = ""] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const first = new Member("a", a);
  await first.prints(`a listens on ${a}`);
  const second = new Member("b", b, a);
  await first.prints("b is here, a worker");
  const third = new Member("c", c, a);
  await first.prints("c is here, a worker");
  await second.prints("c is here, a worker");
  second.process.kill("SIGINT");
  await first.prints("member-left: b");
  await expect.poll(() => second.process.exitCode, { timeout: 10_000 }).toBe(0);
  third.process.kill("SIGKILL");
  await first.prints("member-suspect: c");
  await first.prints("c is dead, says a");
}, 60_000);
