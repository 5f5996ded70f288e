// Plants a bug: copies crdt and the laws to a temporary folder, patches, bundles, and lets the finders look for it.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { rolldown } from "rolldown";
import type { Order } from "./finders.ts";
import type { Finder, Mutant } from "./mutant.ts";
import type { RaftOrder } from "./raft-finder.ts";
import type { SimOrder } from "./sim-finder.ts";
import { redTest } from "./trap-finder.ts";

export interface Outcome {
  readonly mutant: string;
  readonly found: boolean;
  /** Which law or what violation; "never ends" when it had to be stopped. */
  readonly by: string | null;
  /** Ours; tests of traps run in processes of their own. */
  readonly cpuSeconds: number;
}

/** The repository: the folder above this file that holds crdt/, from the sources and from dist alike. */
function findRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, "crdt", "index.ts"))) {
    if (folder === dirname(folder)) throw new Error("run this from a checkout: crdt/index.ts was not found above it");
    folder = dirname(folder);
  }
  return folder;
}

const PARTS = [
  "crdt",
  "src",
  "gossip",
  ...["consensus", "contract", "control", "fuzz", "gossip", "http", "mutants", "plane"].map(inTest),
  ...["property", "replication", "sim", "wire"].map(inTest),
];

function inTest(folder: string): string {
  return `test/${folder}`;
}

export class MutantRunner {
  readonly #folder: string = mkdtempSync(join(tmpdir(), "starling-mutants-"));
  readonly #budgetMs: number;
  #bundles = 0;

  /** @param budgetMs of CPU time for the search of one mutant */
  constructor(budgetMs: number) {
    this.#budgetMs = budgetMs;
    const root = findRoot();
    for (const part of PARTS)
      cpSync(join(root, part), join(this.#folder, part), {
        recursive: true,
        filter: (path) => !path.endsWith(".json"),
      });
    mkdirSync(join(this.#folder, "out"));
    symlinkSync(join(root, "node_modules"), join(this.#folder, "node_modules"));
  }

  close(): void {
    rmSync(this.#folder, { recursive: true });
  }

  /** @param others ask the other finders when the expected one finds nothing */
  async run(mutant: Mutant, others = true): Promise<Outcome> {
    const before = process.cpuUsage();
    const undo = this.#plant(mutant);
    let by: string | null;
    try {
      by = await this.#ask(mutant.finder, others);
    } finally {
      undo();
    }
    const used = process.cpuUsage(before);
    const cpuSeconds = Math.round((used.user + used.system) / 1e4) / 100;
    return { mutant: mutant.name, found: by !== null, by, cpuSeconds };
  }

  async #ask(finder: Finder, others: boolean): Promise<string | null> {
    const budgetMs = this.#budgetMs;
    if ("tests" in finder) return redTest(this.#folder, finder, 4 * budgetMs);
    if ("sim" in finder) return this.#find(await this.#bundle("sim-finder"), { finder, budgetMs });
    if ("raft" in finder) {
      const stories = join(this.#folder, "test/consensus/stories");
      return this.#find(await this.#bundle("raft-finder"), { finder, others, budgetMs, stories });
    }
    return this.#find(await this.#bundle("finders"), { finder, others, budgetMs });
  }

  /** Throws when a text to be replaced doesn't stand exactly once in its file. */
  check(mutant: Mutant): void {
    this.#plant(mutant)();
  }

  #plant({ name, patches }: Mutant): () => void {
    const originals = new Map<string, string>();
    for (const { file, find, replace } of patches) {
      const path = join(this.#folder, file);
      const source = readFileSync(path, "utf8");
      if (!originals.has(path)) originals.set(path, source);
      const times = source.split(find).length - 1;
      if (times !== 1) throw new Error(`mutant ${name}: its text stands ${times} times in ${file}: ${find}`);
      writeFileSync(
        path,
        source.replace(find, () => replace),
      );
    }
    return () => {
      for (const [path, source] of originals) writeFileSync(path, source);
    };
  }

  async #bundle(finder: string): Promise<string> {
    this.#bundles += 1;
    const file = join(this.#folder, "out", `${this.#bundles}.mjs`);
    const input = join(this.#folder, `test/mutants/${finder}.ts`);
    const external = (id: string): boolean => !id.startsWith(".") && !id.startsWith("/");
    const bundle = await rolldown({ input, platform: "node", external, logLevel: "silent" });
    await bundle.write({ file, format: "esm" });
    await bundle.close();
    return file;
  }

  /** A bug that never ends is found, too: it is stopped some time after the budget is spent. */
  #find(file: string, order: Order | SimOrder | RaftOrder): Promise<string | null> {
    return new Promise((resolve, reject) => {
      const worker = new Worker(file, { workerData: order });
      const end = (by: string | null): void => {
        clearTimeout(timer);
        worker.terminate().catch(reject);
        resolve(by);
      };
      const timer = setTimeout(() => end("never ends"), 4 * order.budgetMs + 20_000);
      worker.once("message", end);
      worker.once("error", (error) => end(`crash: ${error.message}`));
    });
  }
}
