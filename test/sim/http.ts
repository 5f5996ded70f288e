import { type Address, formatAddress, type HttpHandler, type HttpLimits, type Timer } from "../../src/world/world.ts";
import { BodyReader, bodyStream, type Part, WholeRequest, WholeResponse, whole } from "./http-body.ts";
import type { Core, Death, Life } from "./life.ts";
import type { Links, Place } from "./links.ts";
import type { Machine } from "./machine.ts";
import { PHASE_IO, PHASE_TIMERS } from "./scheduler.ts";
import { hashBytes, hashText } from "./trace.ts";

/** How long a closing listener lets answers in progress be finished: the real one's. */
const CLOSE_GRACE_MS = 2_000;

/** A handler on a port. Of the limits only `connections` shows here; the others are about bytes that no client of a
 *  simulation sends. */
export class HttpService {
  readonly kind = "http";
  readonly life: Life;
  readonly handler: HttpHandler;
  readonly #limits: HttpLimits;
  readonly #exchanges = new Set<HttpExchange>();
  #onIdle: (() => void) | undefined;

  constructor(life: Life, handler: HttpHandler, limits: HttpLimits) {
    this.life = life;
    this.handler = handler;
    this.#limits = limits;
  }

  begin(exchange: HttpExchange): boolean {
    if (this.#exchanges.size >= this.#limits.connections) return false;
    this.#exchanges.add(exchange);
    return true;
  }

  end(exchange: HttpExchange): void {
    this.#exchanges.delete(exchange);
    if (this.#exchanges.size === 0) this.#onIdle?.();
  }

  /** Resolves when all answers are out; those that take longer than a while are broken off. */
  idle(): Promise<void> {
    return this.life.promise((resolve) => {
      if (this.#exchanges.size === 0) {
        resolve();
        return;
      }
      this.#onIdle = resolve;
      this.life.later(CLOSE_GRACE_MS, PHASE_TIMERS, "timer", () => {
        for (const exchange of [...this.#exchanges]) exchange.breakOff("process");
      });
    });
  }
}

/** A request as plain data: an undici Request costs more than all the rest of an exchange. */
export interface PlainRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
}

/** What a client sees of an answer. */
export type ClientResponse = Pick<Response, "status" | "ok" | "headers" | "body" | "text" | "json" | "arrayBuffer">;

/** One direction between client and server: in order, each after its delay. What meets a cut is lost, and all after it. */
class Wire {
  readonly #core: Core;
  readonly #links: Links;
  readonly #from: Place;
  readonly #to: Place;
  #lastArrivalMs = 0;
  #broken = false;

  constructor(core: Core, links: Links, from: Place, to: Place) {
    this.#core = core;
    this.#links = links;
    this.#from = from;
    this.#to = to;
  }

  send(arrive: () => boolean): void {
    const { scheduler } = this.#core;
    this.#lastArrivalMs = Math.max(
      this.#lastArrivalMs,
      scheduler.nowMs + this.#links.segmentDelayMs(this.#from, this.#to),
    );
    scheduler.at(this.#lastArrivalMs, PHASE_IO, () => {
      this.#broken ||= this.#links.isCut(this.#from, this.#to);
      return this.#broken ? false : arrive();
    });
  }
}

/** One request of a client and its answer. The client belongs to nobody's life: it learns of crashes as clients do. */
export class HttpExchange {
  readonly #core: Core;
  readonly #target: Machine;
  readonly #to: Address;
  readonly #up: Wire;
  readonly #down: Wire;
  readonly #timeoutMs: number;
  #abort: AbortController | undefined;
  #isAborted = false;
  #timeout: Timer | undefined;
  #service: HttpService | undefined;
  #requestReader: BodyReader | undefined;
  #responseReader: BodyReader | undefined;
  #requestSink: ReturnType<typeof bodyStream> | undefined;
  #responseSink: ReturnType<typeof bodyStream> | undefined;
  #settle: { resolve: (response: ClientResponse) => void; reject: (error: Error) => void } | undefined;
  #over = false;

  constructor(core: Core, links: Links, from: Place, target: Machine, to: Address, timeoutMs: number) {
    this.#core = core;
    this.#target = target;
    this.#to = to;
    this.#up = new Wire(core, links, from, target);
    this.#down = new Wire(core, links, target, from);
    this.#timeoutMs = timeoutMs;
  }

  start(request: Request | PlainRequest): Promise<ClientResponse> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#progress();
      if ("path" in request) {
        this.#up.send(() => this.#accept(request));
        return;
      }
      request.signal.addEventListener("abort", () => this.#giveUp("aborted by the client"));
      this.#requestReader = new BodyReader(this.#core, request.body, (part, isFirst) => {
        if (!this.#over) this.#up.send(() => this.#atServer(request, part, isFirst));
      });
    });
  }

  /** The client hears that the connection is gone; when the machine is off, it hears nothing. */
  breakOff(how: Death): void {
    this.#serverDone();
    if (how === "process") this.#down.send(() => this.#client("closed", 0, () => this.#failed("connection reset")));
  }

  // ---- on the server's side

  #atServer(request: Request, part: Part, isFirst: boolean): boolean {
    if (isFirst) return this.#accept(request, part);
    return this.#server("request", hashPart(part), () => this.#requestSink?.take(part));
  }

  #server(kind: "request" | "closed", hash: number, call: () => void): boolean {
    return this.#service?.life.enter(PHASE_IO, kind, hash, call) ?? false;
  }

  #accept(request: Request | PlainRequest, part?: Part): boolean {
    if (!this.#target.isUp) return false;
    const service = this.#target.tcp.get(this.#to.port);
    if (service?.kind !== "http" || !service.begin(this)) {
      const why = service === undefined ? "ECONNREFUSED" : "connection reset";
      this.#down.send(() => this.#client("refused", 0, () => this.#failed(why)));
      return false;
    }
    this.#service = service;
    service.life.onDeath.add(this.#serverDied);
    const url = "path" in request ? `http://${formatAddress(this.#to)}${request.path}` : request.url;
    const line = `${request.method} ${url}`;
    const hash = hashText(line) ^ (part === undefined ? hashText(String(request.body)) : hashPart(part));
    const handle = (): void => void this.#handle(service, this.#serverRequest(url, request, part));
    return service.life.enter(PHASE_IO, "request", hash, handle, line);
  }

  async #handle(service: HttpService, request: Request): Promise<void> {
    // Whether the client still waits is nothing that a server knows: what was asked is done.
    const response = await answerOf(service, request);
    if (!service.life.alive) return;
    const { status, headers } = response;
    this.#responseReader = new BodyReader(this.#core, WholeResponse.bodyOf(response), (part, isFirst) => {
      if (!service.life.alive) return;
      if (part.end) this.#serverDone();
      const hash = hashPart(part) ^ (isFirst ? status : 0);
      this.#down.send(() => this.#client("response", hash, () => this.#atClient(status, headers, part, isFirst)));
    });
  }

  #serverRequest(url: string, request: Request | PlainRequest, part: Part | undefined): Request {
    const headers = new Headers(request.headers);
    if (!headers.has("host")) headers.set("host", formatAddress(this.#to));
    if (part === undefined) {
      const { method, body = null } = request as PlainRequest;
      const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
      if (bytes && !headers.has("content-length")) headers.set("content-length", String(bytes.length));
      // What handlers use of a Request; one that uses more fails loudly.
      return new WholeRequest({ method, url, headers }, bytes, () => this.#signal()) as unknown as Request;
    }
    const init: RequestInit = { method: request.method, headers };
    if (part.end !== "done") {
      init.body = this.#streamUp(part);
      init.duplex = "half";
    } else if (part.chunks.length > 0) init.body = whole(part);
    const served = new Request(url, init);
    // Made when asked for: few handlers do.
    Object.defineProperty(served, "signal", { get: () => this.#signal() });
    return served;
  }

  #streamUp(first: Part): ReadableStream<Uint8Array> {
    const reader = this.#requestReader;
    this.#requestSink = bodyStream(first, () => {
      if (reader?.blocked) this.#down.send(() => this.#client("response", 0, () => reader.resume()));
    });
    return this.#requestSink.stream;
  }

  #signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#isAborted) this.#abort.abort();
    return this.#abort.signal;
  }

  readonly #serverDied = (how: Death): void => this.breakOff(how);

  #serverDone(): void {
    this.#service?.life.onDeath.delete(this.#serverDied);
    this.#service?.end(this);
  }

  // ---- on the client's side

  #client(kind: "response" | "refused" | "closed", hash: number, call: () => void): boolean {
    return this.#core.call(undefined, kind, hash, call, formatAddress(this.#to));
  }

  #atClient(status: number, headers: Headers, part: Part, isFirst: boolean): void {
    if (this.#over) return;
    this.#progress();
    if (!isFirst) this.#responseSink?.take(part);
    else this.#settle?.resolve(this.#clientResponse(status, headers, part));
    if (part.end !== undefined) this.#finish();
  }

  #clientResponse(status: number, headers: Headers, part: Part): ClientResponse {
    if (part.end === "done") return new WholeResponse(status, headers, whole(part));
    const reader = this.#responseReader;
    const pull = (): void => {
      if (reader?.blocked) this.#up.send(() => this.#server("request", 0, () => reader.resume()));
    };
    this.#responseSink = bodyStream(part, pull, () => this.#giveUp("cancelled by the client"));
    return new Response(this.#responseSink.stream, { status, headers });
  }

  /** Something was heard: the client's patience begins anew. */
  #progress(): void {
    this.#timeout?.cancel();
    const { scheduler } = this.#core;
    const giveUp = (): boolean =>
      this.#client("refused", 0, () => this.#giveUp(`no answer within ${this.#timeoutMs} ms`));
    const event = scheduler.at(scheduler.nowMs + this.#timeoutMs, PHASE_TIMERS, giveUp);
    this.#timeout = { cancel: () => scheduler.cancel(event) };
  }

  #giveUp(why: string): void {
    if (this.#over) return;
    this.#failed(why);
    this.#up.send(() => {
      this.#serverDone();
      return this.#server("closed", 0, () => {
        this.#isAborted = true;
        this.#abort?.abort();
        this.#responseReader?.cancel();
      });
    });
  }

  #failed(why: string): void {
    if (this.#over) return;
    const error = new Error(`request to ${formatAddress(this.#to)} failed: ${why}`);
    this.#finish();
    this.#settle?.reject(error);
    this.#responseSink?.fail(error);
  }

  #finish(): void {
    this.#over = true;
    this.#timeout?.cancel();
    this.#requestReader?.cancel();
  }
}

/** As the real server: what a handler throws is a 500, and a line in the log. */
async function answerOf(service: HttpService, request: Request): Promise<Response> {
  try {
    return await service.handler(request);
  } catch (error) {
    const { core, index } = service.life;
    core.trace.record(core.scheduler.nowMs, index, "log", 0, `http.handler-failed ${String(error)}`);
    return new Response(null, { status: 500 });
  }
}

function hashPart(part: Part): number {
  return part.chunks.reduce((hash, chunk) => Math.imul(hash, 31) ^ hashBytes(chunk), part.end === undefined ? 1 : 2);
}
