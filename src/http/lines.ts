import { concatBytes } from "../kernel/bytes.ts";
import { arrived } from "./body.ts";

export interface Line {
  /** From 1; empty lines count too. */
  readonly number: number;
  /** Null for a line over the limit: its bytes were dropped as they came. Of the piece they came in: good until the next
   *  lines are asked for. */
  readonly bytes: Uint8Array | null;
}

const NEWLINE = 10;

/** Cuts a body into lines, as many at a time as came in one piece. Holds one piece and at most `maxLineBytes` of a line
 *  that is not complete yet; reads on only when asked, so a slow consumer slows the sender. */
export async function* linesOf(body: ReadableStream<Uint8Array>, maxLineBytes: number): AsyncGenerator<Line[]> {
  const reader = body.getReader();
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let number = 1;
  const take = (end: Uint8Array): Line[] => {
    const whole = held.length === 0 ? end : concatBytes([...held, end]);
    const bytes = heldBytes + end.length > maxLineBytes ? null : withoutReturn(whole);
    held = [];
    heldBytes = 0;
    const line = { number: number++, bytes };
    return bytes?.length === 0 ? [] : [line];
  };
  try {
    for (;;) {
      const { done, value } = await arrived(reader.read());
      if (done) break;
      const lines: Line[] = [];
      let from = 0;
      for (let at = value.indexOf(NEWLINE); at >= 0; at = value.indexOf(NEWLINE, from)) {
        lines.push(...take(value.subarray(from, at)));
        from = at + 1;
      }
      const rest = value.subarray(from);
      heldBytes += rest.length;
      if (heldBytes > maxLineBytes) held = [];
      else if (rest.length > 0) held.push(rest.slice());
      yield lines;
    }
    if (heldBytes > 0) yield take(new Uint8Array(0));
  } finally {
    await reader.cancel().catch(() => undefined); // over already, or its sender is gone: nothing is left to read
  }
}

/** Some write their lines with CR LF. */
function withoutReturn(line: Uint8Array): Uint8Array {
  return line.at(-1) === 13 ? line.subarray(0, -1) : line;
}
