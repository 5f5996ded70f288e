import type { Op } from "../../../crdt/index.ts";
import { InputError } from "../../kernel/assert.ts";
import { fromUtf8 } from "../../kernel/bytes.ts";
import { Unavailable, type WriteRequest, type WriteResult } from "../../replication/api.ts";
import { ANONYMOUS, type Api, jsonResponse } from "../api.ts";
import { checkEncoding, checkType } from "../body.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { parseJson, type View } from "../json.ts";
import { type Line, linesOf } from "../lines.ts";
import { ProblemError } from "../problem.ts";
import { type ImportedRecord, recordFrom } from "../records.ts";
import { reasonOf, refuseIdempotencyKey } from "../writes.ts";

export const NDJSON_TYPES = ["application/x-ndjson", "application/ndjson", "application/jsonl"];

/** More lines share a commit; fewer wait for one. Bounded in bytes too: with the batches in flight and one line, that is
 *  what an import may hold. */
const BATCH_LINES = 256;
const BATCH_BYTES = 2 ** 20;
/** One forms while one commits. More gains nothing (measured), and what waits is copied by each collection of garbage. */
const BATCHES_IN_FLIGHT = 2;
const ERRORS_KEPT = 100;
/** While the node can't write now, a batch is tried again: 0.1 s, 0.2 s … 6.4 s, 12.7 s in all. */
const RETRIES = 7;
const RETRY_MS = 100;

/** `POST /v1/import`: a record a line; refused lines are counted and named, and the rest goes on. */
export async function importRecords(api: Api, call: Call): Promise<Response> {
  checkParameters(parseQuery(call.search), []);
  refuseIdempotencyKey(call);
  checkType(call, NDJSON_TYPES);
  checkEncoding(call.request);
  if (api.replica.status().disk.level !== "ample")
    throw new Unavailable("disk-low", "this node's disk has little room left and takes no imports: use another node");
  const run = new ImportRun(api, reasonOf(call.request.headers.get("starling-reason")));
  const { body } = call.request;
  if (body !== null)
    for await (const lines of linesOf(body, api.config.limits.lineBytes))
      for (const line of lines) {
        await run.take(line);
        if (run.failure) throw run.stopped();
      }
  await run.finish();
  if (run.failure) throw run.stopped();
  return jsonResponse(api, call, run.summary());
}

interface Held {
  readonly line: number;
  readonly record: ImportedRecord;
}

class ImportRun {
  readonly #api: Api;
  readonly #reason: string | undefined;
  readonly #inFlight = new Set<Promise<void>>();
  #batch: Held[] = [];
  #batchBytes = 0;
  #written = 0;
  #refused = 0;
  readonly #errors: { line: number; slug: string; detail: string }[] = [];
  /** Why it can't go on. */
  failure: Unavailable | Error | null = null;

  constructor(api: Api, reason: string | undefined) {
    this.#api = api;
    this.#reason = reason;
  }

  async take({ number, bytes }: Line): Promise<void> {
    try {
      if (bytes === null) {
        const limit = this.#api.config.limits.lineBytes;
        throw new InputError("line-too-large", `the line is longer than ${limit} bytes (limits.line_bytes)`);
      }
      this.#batch.push({ line: number, record: recordFrom(parseJson(fromUtf8(bytes))) });
      this.#batchBytes += bytes.length;
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#refuse(number, error);
    }
    if (this.#batch.length >= BATCH_LINES || this.#batchBytes >= BATCH_BYTES) await this.#send();
  }

  async finish(): Promise<void> {
    await this.#send();
    await Promise.all(this.#inFlight);
  }

  async #send(): Promise<void> {
    const batch = this.#batch;
    if (batch.length === 0) return;
    this.#batch = [];
    this.#batchBytes = 0;
    while (this.#inFlight.size >= BATCHES_IN_FLIGHT) await Promise.race(this.#inFlight);
    const sent: Promise<void> = this.#write(batch).finally(() => this.#inFlight.delete(sent));
    this.#inFlight.add(sent);
  }

  /** Never rejects: what stops the import stands in `failure`. */
  async #write(batch: readonly Held[]): Promise<void> {
    let left = batch;
    for (let attempt = 0; left.length > 0 && !this.failure; attempt++) {
      if (attempt > 0) await this.#pause(RETRY_MS * 2 ** (attempt - 1));
      left = await this.#tryWrite(left, attempt === RETRIES);
    }
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resume) => {
      this.#api.world.timers.after(delayMs, resume);
    });
  }

  /** Returns what the node could not take now. */
  async #tryWrite(batch: readonly Held[], isLast: boolean): Promise<readonly Held[]> {
    const requests = batch.map(({ record }) => requestsOf(record, this.#reason));
    let results: (WriteResult | Error)[];
    try {
      results = await this.#api.replica.writeAll(requests.flat());
    } catch (error) {
      if (error instanceof Unavailable && !isLast) return batch;
      this.failure = error instanceof Error ? error : new Error(String(error));
      return [];
    }
    const waiting: Held[] = [];
    let at = 0;
    for (const [i, held] of batch.entries()) {
      const from = at;
      at += requests[i]?.length ?? 0;
      const error = errorAmong(results, from, at);
      if (!error) this.#written += 1;
      else if (error instanceof Unavailable && !isLast) waiting.push(held);
      else if (error instanceof InputError) this.#refuse(held.line, error);
      else this.failure = error;
    }
    return waiting;
  }

  #refuse(line: number, error: InputError): void {
    this.#refused += 1;
    if (this.#errors.length < ERRORS_KEPT) this.#errors.push({ line, slug: error.slug, detail: error.message });
  }

  summary(): { readonly [name: string]: View } {
    const errors = this.#errors.sort((a, b) => a.line - b.line);
    return { written: this.#written, refused: this.#refused, errors };
  }

  /** What went in before stays, and is told. */
  stopped(): Error {
    if (!(this.failure instanceof Unavailable)) return this.failure ?? new Error("an import stopped without a reason");
    return new ProblemError("import-stopped", `${this.failure.message}; ${this.#written} records were written before`, {
      members: { ...this.summary() },
    });
  }
}

/** The first of results[from … to). */
function errorAmong(results: readonly (WriteResult | Error)[], from: number, to: number): Error | null {
  for (let i = from; i < to; i++) {
    const result = results[i];
    if (result instanceof Error) return result;
  }
  return null;
}

function requestsOf(record: ImportedRecord, reason: string | undefined): WriteRequest[] {
  const { bucket, key, ops, siblings } = record;
  const requestOf = (of: readonly Op[], seen: WriteRequest["seen"]): WriteRequest =>
    reason === undefined
      ? { bucket, key, ops: of, seen, author: ANONYMOUS }
      : { bucket, key, ops: of, seen, author: ANONYMOUS, reason };
  return [requestOf(ops, "blind"), ...siblings.map((sibling) => requestOf(sibling, { dots: [] }))];
}
