import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { seededRng } from "../../src/kernel/rng.ts";

const NAMES = ["n1", "n2", "n3"];
const KILLS = 12;
const WORDS_PER_KILL = 12;

// Node 20 runs no TypeScript: the child is what `npm test` compiled.
const CHILD = join(import.meta.dirname, "../../dist/test/contract/raft-member.child.js");

/** A member in a process of its own. */
class Process {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  #rest = "";
  #wake: () => void = () => {};
  readonly ended: Promise<unknown>;
  isOver = false;

  constructor(node: string, folder: string, ports: readonly number[]) {
    const args = [CHILD, node, join(folder, node), ...ports.map(String)];
    this.child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
    this.child.stdin?.on("error", () => {}); // it was killed before it read: the answer is "unknown"
    this.child.stdout?.on("data", (chunk: Buffer) => {
      const lines = (this.#rest + chunk.toString("utf8")).split("\n");
      this.#rest = lines.pop() ?? "";
      this.#lines.push(...lines);
      this.#wake();
    });
    this.ended = once(this.child, "close").then(() => {
      this.isOver = true;
      this.#wake();
    });
  }

  /** Its next line; null when it ends before. */
  async line(): Promise<string | null> {
    while (this.#lines.length === 0 && !this.isOver)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#lines.shift() ?? null;
  }

  async say(word: string): Promise<string> {
    this.child.stdin?.write(`${word}\n`);
    return (await this.line()) ?? "unknown";
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.ended;
  }
}

async function freePorts(): Promise<number[]> {
  const servers = NAMES.map(() => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => {
    const address = server.address();
    return typeof address === "object" && address ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

describe("three members in processes that are killed", () => {
  let folder = "";
  const processes = new Map<string, Process>();
  beforeAll(async () => {
    if (!existsSync(CHILD)) throw new Error(`${CHILD} is missing: npm test builds it first (node bin/setup.mjs --dev)`);
    folder = await mkdtemp(join(tmpdir(), "starling-raft-kill-"));
  });
  afterAll(async () => {
    for (const one of processes.values()) await one.kill();
    await rm(folder, { recursive: true, force: true });
  });

  it(`have every acknowledged word once, in one order, after ${KILLS} kills`, { timeout: 180_000 }, async () => {
    const ports = await freePorts();
    const rng = seededRng(11);
    const start = async (name: string): Promise<void> => {
      const one = new Process(name, folder, ports);
      processes.set(name, one);
      expect(await one.line()).toBe("up");
    };
    const at = (name: string): Process => processes.get(name) as Process;
    for (const name of NAMES) await start(name);
    const acknowledged: string[] = [];
    const refused: string[] = [];
    let words = 0;
    const sayTo = async (name: string): Promise<void> => {
      const word = `w${words++}`;
      const answer = await at(name).say(word);
      if (answer.startsWith("yes")) acknowledged.push(word);
      if (answer === "no") refused.push(word);
    };
    for (let kill = 0; kill < KILLS; kill++) {
      const victim = NAMES[rng.below(3)] ?? "";
      const saying = NAMES.map(async (name) => {
        for (let i = 0; i < WORDS_PER_KILL && !at(name).isOver; i++) await sayTo(name);
      });
      const enough = words + rng.below(WORDS_PER_KILL);
      while (words < enough) await new Promise((resolve) => setImmediate(resolve));
      await at(victim).kill();
      await Promise.all(saying);
      await start(victim);
    }
    let longest: string[] = [];
    for (const name of NAMES) {
      let answer = "no";
      while (!answer.startsWith("has")) answer = await at(name).say("?");
      const [, , ...found] = answer.split(" ");
      expect(new Set(found).size).toBe(found.length);
      const [shorter, longer] = found.length < longest.length ? [found, longest] : [longest, found];
      expect(longer.slice(0, shorter.length)).toEqual(shorter);
      longest = longer;
      expect(found).toEqual(expect.arrayContaining(acknowledged));
      expect(found.filter((word) => refused.includes(word))).toEqual([]);
    }
    expect(acknowledged.length).toBeGreaterThan(KILLS * WORDS_PER_KILL);
  });
});
