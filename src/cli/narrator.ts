import { CliError, EXIT } from "./exit.ts";
import { formatSpan } from "./format.ts";
import type { Output } from "./output.ts";

const INDENT = "   ";

export interface Claim {
  readonly claim: string;
  readonly tookMs: number | null;
}

/** Tells a story step by step, and stops at the first thing that is not as told. */
export class Narrator {
  readonly out: Output;
  readonly claims: Claim[] = [];
  readonly #startedMs = Date.now();
  #step = 0;

  constructor(out: Output) {
    this.out = out;
  }

  get tookMs(): number {
    return Date.now() - this.#startedMs;
  }

  step(title: string): void {
    this.#step++;
    this.#print(
      `\n${this.out.color.bold(`${this.#step}. ${title}`)}  ${this.out.color.dim(`(${formatSpan(this.tookMs)})`)}`,
    );
  }

  say(text: string): void {
    this.#print(`${INDENT}${text}`);
  }

  /** The command that does by hand what is done now. */
  command(line: string): void {
    this.#print(`${INDENT}${this.out.color.cyan(`$ ${line}`)}`);
  }

  /** What a command would print. */
  show(print: (out: Output) => void): void {
    if (!this.out.json) print(this.out.indented(INDENT));
  }

  /** @param seen what was found instead, should the claim not hold */
  claim(claim: string, holds: boolean, seen: unknown, tookMs: number | null = null): void {
    const after = tookMs === null ? "" : `  (after ${formatSpan(tookMs)})`;
    if (!holds) {
      this.#print(`${INDENT}${this.out.color.red("✗")} ${claim}`);
      throw new CliError(
        EXIT.failed,
        `not as claimed: ${claim}. Seen: ${typeof seen === "string" ? seen : JSON.stringify(seen)}`,
      );
    }
    this.claims.push({ claim, tookMs });
    this.#print(`${INDENT}${this.out.color.green("✓")} ${claim}${after}`);
  }

  #print(text: string): void {
    if (!this.out.json) this.out.line(text);
  }
}
