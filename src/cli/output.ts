import Table from "cli-table3";
import pc from "picocolors";

/** Where a command's text goes; `process.stdout` is one. */
export interface TextStream {
  write(text: string | Uint8Array): unknown;
  readonly isTTY?: boolean;
}

export interface OutputOptions {
  readonly json: boolean;
  readonly out?: TextStream;
  readonly err?: TextStream;
  readonly color?: boolean;
  readonly indent?: string;
}

type Cell = string | number | boolean | null | undefined;

/** What a command says. Tables and colour on a terminal, tab-separated lines elsewhere, JSON on request. */
export class Output {
  readonly json: boolean;
  /** Standard output is a terminal. */
  readonly terminal: boolean;
  readonly color: ReturnType<typeof pc.createColors>;
  readonly #options: OutputOptions;
  readonly #out: TextStream;
  readonly #err: TextStream;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.json = options.json;
    this.#out = options.out ?? process.stdout;
    this.#err = options.err ?? process.stderr;
    this.terminal = this.#out.isTTY === true;
    this.color = pc.createColors(options.color ?? (this.terminal && pc.isColorSupported));
  }

  /** The same, with `indent` before every line. */
  indented(indent: string): Output {
    return new Output({ ...this.#options, indent });
  }

  line(text = ""): void {
    this.#out.write(`${this.#options.indent ?? ""}${text}\n`);
  }

  bytes(bytes: Uint8Array): void {
    this.#out.write(bytes);
  }

  /** For people beside the result: standard error. */
  note(text: string): void {
    this.#err.write(`${text}\n`);
  }

  /** The whole answer as JSON when that was asked for; else what `human` prints. */
  result(data: unknown, human: () => void): void {
    if (this.json) this.line(JSON.stringify(data, null, this.terminal ? 2 : undefined));
    else human();
  }

  table(head: readonly string[], rows: readonly (readonly Cell[])[]): void {
    const texts = rows.map((row) => row.map((cell) => (cell === null || cell === undefined ? "–" : String(cell))));
    if (!this.terminal) {
      for (const row of [head, ...texts]) this.line(row.map(plain).join("\t"));
      return;
    }
    const table = new Table({
      head: head.map((title) => this.color.bold(title)),
      style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
      chars: BORDERLESS,
    });
    table.push(...texts.map((row) => row.map(printable)));
    for (const row of table.toString().split("\n")) this.line(row.trimEnd());
  }
}

const BORDERLESS = Object.fromEntries(
  [
    "top",
    "top-mid",
    "top-left",
    "top-right",
    "bottom",
    "bottom-mid",
    "bottom-left",
    "bottom-right",
    "left",
    "left-mid",
    "mid",
    "mid-mid",
    "right",
    "right-mid",
    "middle",
  ].map((place) => [place, ""]),
);

/** Keys and values are users' bytes: no control character of theirs reaches a terminal (escape sequences could rewrite
 *  what stands there). Our own colour codes stay. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/\u001b(?!\[\d+m)|[\u0000-\u001a\u001c-\u001f\u007f-\u009f]/g, (char) => escapeChar(char));
}

function plain(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (char) => escapeChar(char));
}

function escapeChar(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`;
}

/** One line of a user's text, cut to `width` characters, without control characters. */
export function preview(text: string, width = 60): string {
  const line = plain(text);
  return line.length > width ? `${line.slice(0, width - 1)}…` : line;
}

/** Green, red or yellow, by what a state means. */
export function stateText(out: Output, state: string): string {
  if (["alive", "healthy", "up", "reachable"].includes(state)) return out.color.green(state);
  if (["dead", "unavailable", "refused", "unreachable"].includes(state)) return out.color.red(state);
  return out.color.yellow(state);
}
