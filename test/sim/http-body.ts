import { EMPTY_BYTES } from "../../src/kernel/bytes.ts";
import type { Core } from "./life.ts";

/** What of a body travels in one piece: what its source gave in one turn. */
export interface Part {
  readonly chunks: readonly Uint8Array[];
  readonly end: "done" | "failed" | undefined;
}

export function whole(part: Part): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(part.chunks.reduce((total, chunk) => total + chunk.length, 0));
  let at = 0;
  for (const chunk of part.chunks) {
    out.set(chunk, at);
    at += chunk.length;
  }
  return out;
}

/** An answer in one piece, without the cost of a Response. */
export class WholeResponse {
  readonly status: number;
  readonly statusText = "";
  readonly headers: Headers;
  readonly #bytes: Uint8Array<ArrayBuffer>;

  constructor(status: number, headers: Headers, bytes: Uint8Array<ArrayBuffer>) {
    this.status = status;
    this.headers = headers;
    this.#bytes = bytes;
  }

  /** Of a handler's answer: the bytes when they are at hand, or what they come through. */
  static bodyOf(response: Response): Uint8Array | ReadableStream<Uint8Array> | null {
    return response instanceof WholeResponse ? response.#bytes : response.body;
  }

  get ok(): boolean {
    return this.status >= 200 && this.status < 300;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#bytes.length === 0 ? null : new RealResponse(this.#bytes).body;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#bytes.slice().buffer;
  }

  async text(): Promise<string> {
    return decoder.decode(this.#bytes);
  }

  async json(): Promise<unknown> {
    return JSON.parse(await this.text());
  }
}

/** A request whose body is at hand, without the cost of a Request: as much of one as handlers use. */
export class WholeRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly #bytes: Uint8Array<ArrayBuffer> | null;
  readonly #signal: () => AbortSignal;

  constructor(
    line: { readonly method: string; readonly url: string; readonly headers: Headers },
    bytes: Uint8Array<ArrayBuffer> | null,
    signal: () => AbortSignal,
  ) {
    this.method = line.method;
    this.url = line.url;
    this.headers = line.headers;
    this.#bytes = bytes;
    this.#signal = signal;
  }

  get body(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    return this.#bytes && new RealResponse(this.#bytes).body;
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return this.#bytes?.slice().buffer ?? new ArrayBuffer(0);
  }

  /** Made when asked for: few handlers do. */
  get signal(): AbortSignal {
    return this.#signal();
  }
}

const RealResponse = globalThis.Response;

/** Stands for the global Response while a simulation runs, as @hono/node-server's does in production: a body at hand
 *  needs no stream. */
export const QuickResponse: typeof Response = new Proxy(RealResponse, {
  construct(target, [body, init = {}]: ConstructorParameters<typeof Response>) {
    const bytes = typeof body === "string" ? encoder.encode(body) : (body ?? EMPTY_BYTES);
    const isWhole = bytes instanceof Uint8Array && bytes.length < WINDOW_BYTES;
    if (!isWhole || init.statusText) return new target(body, init);
    const headers = new Headers(init.headers);
    if (typeof body === "string" && !headers.has("content-type"))
      headers.set("content-type", "text/plain;charset=UTF-8");
    return new WholeResponse(init.status ?? 200, headers, new Uint8Array(bytes));
  },
});
Object.setPrototypeOf(WholeResponse.prototype, RealResponse.prototype); // an instance of Response, for who asks

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A source is not read further while so much is on its way or unread: a slow reader slows its writer. */
const WINDOW_BYTES = 256 * 1024;

/** Reads a body as fast as it comes and the window allows, and sends what came in a turn at the end of it. */
export class BodyReader {
  readonly #core: Core;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  readonly #send: (part: Part, isFirst: boolean) => void;
  #chunks: Uint8Array[] = [];
  #end: Part["end"];
  #isFirst = true;
  #sentBytes = 0;
  #sending = false;
  #reading = false;

  /** @param send called at least once, at the end of this turn: with the first part of a body, or with an empty one. */
  constructor(
    core: Core,
    body: ReadableStream<Uint8Array> | Uint8Array | null,
    send: (part: Part, isFirst: boolean) => void,
  ) {
    this.#core = core;
    this.#send = send;
    const isWhole = body instanceof Uint8Array;
    if (isWhole && body.length > 0) this.#chunks.push(body);
    this.#reader = isWhole ? undefined : body?.getReader();
    if (this.#reader === undefined) this.#end = "done";
    else void this.#read(this.#reader);
    this.#sendAtTurnEnd();
  }

  async #read(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.#end === undefined && this.#sentBytes < WINDOW_BYTES) {
        const { done, value } = await reader.read();
        if (done) this.#end = "done";
        else {
          this.#chunks.push(value.slice());
          this.#sentBytes += value.length;
        }
        this.#sendAtTurnEnd();
      }
    } catch {
      // The source failed: the other side sees its body break off, as on a real connection.
      this.#end = "failed";
      this.#sendAtTurnEnd();
    }
    this.#reading = false;
  }

  #sendAtTurnEnd(): void {
    if (this.#sending) return;
    this.#sending = true;
    this.#core.atTurnEnd(() => {
      this.#sending = false;
      const part = { chunks: this.#chunks, end: this.#end };
      this.#chunks = [];
      this.#send(part, this.#isFirst);
      this.#isFirst = false;
    });
  }

  /** Waits until the other side has read. */
  get blocked(): boolean {
    return this.#end === undefined && this.#sentBytes >= WINDOW_BYTES;
  }

  /** The other side has read what was sent. */
  resume(): void {
    this.#sentBytes = 0;
    if (this.#reader !== undefined && this.#end === undefined) void this.#read(this.#reader);
  }

  cancel(): void {
    if (this.#end !== undefined) return;
    this.#end = "failed";
    // A source that fails to stop has nobody left to tell.
    this.#reader?.cancel().catch(() => {});
  }
}

/** The body on the other side.
 *  @param onPull the reader has taken all there was @param onCancel it wants no more */
export function bodyStream(
  first: Part,
  onPull: () => void,
  onCancel?: () => void,
): { readonly stream: ReadableStream<Uint8Array>; take(part: Part): void; fail(error: Error): void } {
  let control: ReadableStreamDefaultController<Uint8Array> | undefined;
  let over = false;
  const take = (part: Part): void => {
    if (over) return;
    for (const chunk of part.chunks) control?.enqueue(chunk);
    if (part.end === "done") control?.close();
    if (part.end === "failed") control?.error(new Error("the body broke off"));
    over = part.end !== undefined;
  };
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      control = controller;
      take(first);
    },
    pull: onPull,
    cancel() {
      over = true;
      onCancel?.();
    },
  });
  const fail = (error: Error): void => {
    if (!over) control?.error(error);
    over = true;
  };
  return { stream, take, fail };
}
