import type { ChildProcess } from "node:child_process";

const START_MS = 20_000;

/** A server that the benchmark runs as a process of its own; it may be killed and started again with the same data. */
export class Member {
  readonly name: string;
  /** Where clients reach it. */
  readonly url: string;
  readonly #spawn: () => ChildProcess;
  #child: ChildProcess;

  constructor(name: string, url: string, spawn: () => ChildProcess) {
    this.name = name;
    this.url = url;
    this.#spawn = spawn;
    this.#child = spawn();
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** At once, as a crash would. Resolves when it is gone. */
  async kill(): Promise<void> {
    await end(this.#child, "SIGKILL");
  }

  startAgain(): void {
    this.#child = this.#spawn();
  }

  async stop(): Promise<void> {
    await end(this.#child);
  }
}

export async function answers(url: string, withinMs = START_MS): Promise<void> {
  const isOk = (): Promise<boolean> =>
    fetch(url).then(
      (response) => response.ok,
      () => false, // nobody listens yet
    );
  await until(`${url} answers`, isOk, withinMs);
}

/** Throws when it doesn't come true in time. */
export async function until(what: string, isSo: () => Promise<boolean>, withinMs = START_MS): Promise<void> {
  for (const endMs = performance.now() + withinMs; performance.now() < endMs; ) {
    if (await isSo()) return;
    await sleep(50);
  }
  throw new Error(`not within ${withinMs} ms: ${what}`);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export async function end(child: ChildProcess, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  await gone;
  clearTimeout(timer);
}
