import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { getRequestListener, RequestError } from "@hono/node-server";
import { bindError, localAddress } from "./real-node.ts";
import { type Address, formatAddress, type HttpHandler, type HttpLimits, type Listener, type Log } from "./world.ts";

/** An idle connection is kept this long. Shorter than a balancer's own (often 60 s), and it sends requests into closing
 *  connections; longer, and idle clients hold places in `limits.connections`. */
const KEEPALIVE_MS = 65_000;
/** A connection on which no byte moves for this long, in the middle of an answer, is dropped: its reader is gone or stuck.
 *  Streams of events must send something more often. */
const STALLED_MS = 300_000;
/** How long `close` lets answers in progress be finished. */
const CLOSE_GRACE_MS = 2_000;
/** How long a refused client may take to read why. */
const REFUSAL_LINGER_MS = 500;
/** Over the limit of connections one line of log per this long, not one per connection. */
const DROP_LOG_MS = 60_000;

export async function serveRealHttp(
  local: Address,
  handler: HttpHandler,
  limits: HttpLimits,
  log: Log,
): Promise<Listener> {
  const listener = getRequestListener((request) => handler(request), {
    errorHandler: (error) => problemResponse(error, log),
  });
  const server = createServer({
    requestTimeout: 0, // of headers below; a body may be a long stream, `watchBody` sees to it that it moves
    headersTimeout: limits.requestTimeoutMs,
    // How late a timeout may be noticed.
    connectionsCheckingInterval: Math.ceil(Math.min(1_000, limits.requestTimeoutMs / 4)),
    maxHeaderSize: limits.headerBytes,
    requireHostHeader: false, // a missing one is refused below, with a body that says so
    keepAliveTimeout: KEEPALIVE_MS,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 30_000,
  });
  server.maxConnections = limits.connections;
  server.setTimeout(STALLED_MS);
  // A client may shut its sending side once it has asked (`nc`, some proxies); without this it gets no answer.
  Object.assign(server, { httpAllowHalfOpen: true });
  const connections = new Connections();
  const answerLater = makeGatherer();
  server.on("connection", (socket) => connections.add(socket));
  server.on("request", (incoming: IncomingMessage, outgoing: ServerResponse) => {
    connections.begin(incoming.socket, outgoing);
    answerLater(() => {
      if (incoming.complete) takeBody(incoming);
      else watchBody(incoming, limits.requestTimeoutMs);
      void listener(incoming, outgoing);
    });
  });
  server.on("clientError", refuse);
  server.on("drop", dropLogger(local, limits, log));
  try {
    server.listen({ host: local.host, port: local.port, exclusive: true });
    await once(server, "listening");
  } catch (error) {
    throw bindError(local, error as NodeJS.ErrnoException);
  }
  server.on("error", (error) => log.warn("http.error", { error: error.message }));
  return { local: localAddress(server.address()), close: () => connections.close(server) };
}

/** Gathers what comes in one turn of the loop and runs it at its end. Answers then leave one after the other, and the
 *  programs that wait for them wake once instead of once for each: half of the system's time per request under load. */
function makeGatherer(): (task: () => void) => void {
  let tasks: (() => void)[] = [];
  const runAll = (): void => {
    const due = tasks;
    tasks = [];
    for (const task of due) task();
  };
  return (task) => {
    if (tasks.push(task) === 1) setImmediate(runAll);
  };
}

const NO_BYTES = Buffer.alloc(0);

/** Most bodies came with their headers: they need no watch, and the listener takes from `rawBody` what it would else wait
 *  for by way of four events. */
function takeBody(incoming: IncomingMessage & { rawBody?: Buffer }): void {
  if (incoming.headers["content-length"] !== undefined) incoming.rawBody = incoming.read() ?? NO_BYTES;
}

/** What a body must bring in each span of `requestTimeoutMs` to count as moving. Less: a drip keeps a connection for as
 *  long as it likes; more: clients on thin lines are cut off. */
const MOVING_BYTES = 65_536;

/** Ends a request whose body doesn't come: within each span it must be complete or have moved, unless it is we who don't
 *  read. A stream of any length (an import) is welcome as long as it flows. */
function watchBody(incoming: IncomingMessage, timeoutMs: number): void {
  const { socket } = incoming;
  let bytesBefore = socket.bytesRead;
  const watch = setInterval(() => {
    const isOurs = incoming.readableLength >= incoming.readableHighWaterMark;
    const moved = socket.bytesRead - bytesBefore;
    bytesBefore = socket.bytesRead;
    if (incoming.complete || incoming.destroyed) clearInterval(watch);
    else if (moved < MOVING_BYTES && !isOurs)
      refuse(Object.assign(new Error("slow"), { code: "ERR_HTTP_REQUEST_TIMEOUT" }), socket);
  }, timeoutMs);
  incoming.once("end", () => clearInterval(watch));
  incoming.once("close", () => clearInterval(watch));
}

/** Which connections are in the middle of an answer; Node counts a new one that asked nothing yet as busy. */
class Connections {
  readonly #answering = new Map<Socket, number>();
  #closing = false;

  add(socket: Socket): void {
    this.#answering.set(socket, 0);
    socket.once("close", () => this.#answering.delete(socket));
  }

  begin(socket: Socket, outgoing: ServerResponse): void {
    this.#change(socket, 1);
    outgoing.shouldKeepAlive &&= !this.#closing;
    outgoing.on("close", () => this.#change(socket, -1)); // comes once
  }

  #change(socket: Socket, by: number): void {
    const answers = this.#answering.get(socket);
    if (answers === undefined) return;
    this.#answering.set(socket, answers + by);
    if (this.#closing && answers + by === 0) socket.destroySoon();
  }

  /** Ends idle connections now, the others when their answer is out or CLOSE_GRACE_MS have passed. */
  async close(server: Server): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    const closed = once(server, "close");
    server.close();
    for (const [socket, answers] of this.#answering) if (answers === 0) socket.destroySoon();
    const grace = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS);
    await closed;
    clearTimeout(grace);
  }
}

/** The answer when there is no request to hand to the handler, or the handler failed. */
function problemResponse(error: unknown, log: Log): Response {
  const isClients = error instanceof RequestError;
  if (!isClients) log.error("http.handler-failed", { error: error instanceof Error ? error.stack : String(error) });
  const problem = isClients ? BAD_REQUEST : { status: 500, type: "internal", detail: "see the log of this node" };
  return new Response(problemBody(problem), { status: problem.status, headers: { "content-type": PROBLEM_TYPE } });
}

interface Problem {
  readonly status: number;
  readonly type: string;
  readonly detail: string;
}

const PROBLEM_TYPE = "application/problem+json";
const BAD_REQUEST: Problem = { status: 400, type: "bad-request", detail: "send a well-formed HTTP/1.1 request" };
const PROBLEMS = new Map<string, Problem>([
  ["ERR_HTTP_REQUEST_TIMEOUT", { status: 408, type: "request-timeout", detail: "send the whole request faster" }],
  ["HPE_HEADER_OVERFLOW", { status: 431, type: "headers-too-large", detail: "send fewer or shorter headers" }],
  ["HPE_CHUNK_EXTENSIONS_OVERFLOW", { status: 413, type: "chunk-extensions-too-large", detail: "send none" }],
]);

function problemBody(problem: Problem): string {
  return JSON.stringify({
    type: problem.type,
    title: STATUS_CODES[problem.status],
    status: problem.status,
    detail: problem.detail,
  });
}

const refused = new WeakSet<Duplex>();

/** What can't be parsed, or didn't come in time, gets its answer straight on the connection, which then ends. */
function refuse(error: NodeJS.ErrnoException, socket: Duplex & { _httpMessage?: ServerResponse }): void {
  if (refused.has(socket)) return; // more of the same garbage; the time to linger is running
  refused.add(socket);
  // Nothing can be said to who is gone, or in the middle of an answer that has begun.
  if (error.code === "ECONNRESET" || !socket.writable || socket._httpMessage?.headersSent) {
    socket.destroy();
    return;
  }
  const problem = PROBLEMS.get(error.code ?? "") ?? BAD_REQUEST;
  const body = problemBody(problem);
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\nContent-Type: ${PROBLEM_TYPE}\r\n` +
      `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
  );
  // A handler that waits for the rest of the request must hear at once. Otherwise read on for a moment: to close with
  // unread bytes resets the connection, and the client would lose the answer.
  if (socket._httpMessage) (socket as Socket).destroySoon();
  else setTimeout(() => socket.destroy(), REFUSAL_LINGER_MS);
}

function dropLogger(local: Address, limits: HttpLimits, log: Log): () => void {
  let dropped = 0;
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  return () => {
    dropped++;
    if (performance.now() - loggedAtMs < DROP_LOG_MS) return;
    loggedAtMs = performance.now();
    log.warn("http.connections-refused", { at: formatAddress(local), limit: limits.connections, dropped });
    dropped = 0;
  };
}
