import { CliError, EXIT } from "./exit.ts";
import type { NodeClient } from "./http-client.ts";

/** Whole lines of NDJSON in one piece. `firstLine` counts from 1 in the source. */
export interface LineBlock {
  readonly bytes: Uint8Array;
  readonly firstLine: number;
  readonly lines: number;
}

export interface RefusedLine {
  /** In the source, from 1. */
  readonly line: number;
  readonly reason: string;
}

export interface ImportSummary {
  written: number;
  refusedCount: number;
  /** The first of them. */
  readonly refused: RefusedLine[];
}

/** Called as the node answers for what it has made durable. */
export type ImportProgress = (lines: number, bytes: number) => void;

// A request is answered when all of it is durable. Longer ones: fewer round trips; shorter ones: progress is known
// sooner, less is in doubt when the connection breaks, and a busy node still takes it in before its time-out for requests
// (limits.request_timeout) strikes. So a request holds what the node took in this time lately.
const REQUEST_TARGET_MS = 2000;
const REQUEST_LINES_FIRST = 1000;
const REQUEST_LINES_MAX = 20_000;
const REQUEST_BYTES_MAX = 16 * 1024 ** 2;
const BLOCK_BYTES = 64 * 1024;
/** A longer line can't be a record under any limit that the configuration allows. */
const LINE_BYTES_MAX = 256 * 1024 ** 2;
const REFUSED_KEPT = 20;

/** Cuts a stream of bytes into blocks of whole lines. */
export async function* lineBlocks(source: AsyncIterable<Uint8Array>): AsyncGenerator<LineBlock> {
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let firstLine = 1;
  const take = (end: Uint8Array): LineBlock => {
    const bytes = Buffer.concat([...held, end]);
    const block = { bytes, firstLine, lines: countLines(bytes) };
    firstLine += block.lines;
    held = [];
    heldBytes = 0;
    return block;
  };
  for await (const piece of source) {
    const cut = piece.lastIndexOf(10) + 1;
    if (cut > 0) yield take(piece.subarray(0, cut));
    if (cut < piece.length) held.push(piece.subarray(cut));
    heldBytes += piece.length - cut;
    if (heldBytes > LINE_BYTES_MAX) throw new CliError(EXIT.failed, `line ${firstLine} is longer than 256 MiB`);
  }
  if (heldBytes > 0) yield take(new Uint8Array(0));
}

function countLines(bytes: Uint8Array): number {
  let lines = 0;
  for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) lines++;
  return bytes.length > 0 && bytes[bytes.length - 1] !== 10 ? lines + 1 : lines;
}

/** Packs ready-made lines into blocks. */
export async function* blocksOfLines(lines: Iterable<string>): AsyncGenerator<LineBlock> {
  let text = "";
  let count = 0;
  let firstLine = 1;
  for (const line of lines) {
    text += `${line}\n`;
    count++;
    if (text.length < BLOCK_BYTES) continue;
    yield { bytes: Buffer.from(text), firstLine, lines: count };
    firstLine += count;
    text = "";
    count = 0;
  }
  if (count > 0) yield { bytes: Buffer.from(text), firstLine, lines: count };
}

/** Sends all blocks to one node over `streams` requests at a time, and goes on after refused lines. */
export async function importBlocks(
  client: NodeClient,
  source: AsyncGenerator<LineBlock>,
  options: { readonly streams: number; readonly onProgress?: ImportProgress },
): Promise<ImportSummary> {
  const summary: ImportSummary = { written: 0, refusedCount: 0, refused: [] };
  let requestLines = REQUEST_LINES_FIRST;
  const worker = async (): Promise<void> => {
    for (let block = await source.next(); !block.done; block = await source.next()) {
      const startedMs = Date.now();
      const sent = await sendRequest(client, block.value, source, requestLines, summary);
      options.onProgress?.(sent.lines, sent.bytes);
      const fits = Math.ceil((sent.lines * REQUEST_TARGET_MS) / Math.max(1, Date.now() - startedMs));
      // At most doubled: one fast answer says little.
      requestLines = Math.min(fits, 2 * requestLines, REQUEST_LINES_MAX);
    }
  };
  const results = await Promise.allSettled(Array.from({ length: options.streams }, worker));
  for (const result of results) if (result.status === "rejected") throw stopped(result.reason, summary);
  summary.refused.sort((a, b) => a.line - b.line);
  return summary;
}

function stopped(reason: unknown, { written }: ImportSummary): unknown {
  if (!(reason instanceof CliError)) return reason;
  return new CliError(
    reason.exitCode,
    `${reason.message}; ${written} records were acknowledged before. The same import can be run again: a record then reads as its line says`,
  );
}

/** `POST /v1/import` answers with it. */
interface ImportAnswer {
  readonly written: number;
  readonly refused: number;
  readonly errors: readonly { readonly line: number; readonly slug: string; readonly detail: string }[];
}

async function sendRequest(
  client: NodeClient,
  first: LineBlock,
  source: AsyncGenerator<LineBlock>,
  maxLines: number,
  summary: ImportSummary,
): Promise<{ lines: number; bytes: number }> {
  const sent: { firstLine: number; lines: number }[] = [];
  let lines = 0;
  let bytes = 0;
  let next: LineBlock | null = first;
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (next === null && lines < maxLines && bytes < REQUEST_BYTES_MAX) {
          const block = await source.next();
          next = block.done ? null : block.value;
        }
        if (next === null) {
          controller.close();
          return;
        }
        sent.push({ firstLine: next.firstLine, lines: next.lines });
        lines += next.lines;
        bytes += next.bytes.length;
        controller.enqueue(next.bytes);
        next = null;
      },
    },
    { highWaterMark: 1 },
  );
  const response = await client.request("POST", "/v1/import", {
    body,
    headers: { "content-type": "application/x-ndjson" },
    timeoutMs: Number.POSITIVE_INFINITY,
  });
  const answer = (await response.json()) as ImportAnswer;
  summary.written += answer.written;
  summary.refusedCount += answer.refused;
  for (const { line, detail } of answer.errors)
    if (summary.refused.length < REFUSED_KEPT) summary.refused.push({ line: sourceLine(sent, line), reason: detail });
  return { lines, bytes };
}

/** A request's line number → the source's: with several streams, a request holds blocks from anywhere in the source. */
function sourceLine(sent: readonly { firstLine: number; lines: number }[], line: number): number {
  let before = 0;
  for (const block of sent) {
    if (line <= before + block.lines) return block.firstLine + (line - before - 1);
    before += block.lines;
  }
  return line;
}
