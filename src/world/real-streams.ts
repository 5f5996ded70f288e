import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { assert } from "../kernel/assert.ts";
import { bindError, isPort, localAddress, plainBytes, remoteAddress } from "./real-node.ts";
import { type Address, formatAddress, type Listener, type Log, type Stream, type StreamHandlers } from "./world.ts";

/** How long a closed stream may still hand over what was written before: the reason for a refusal, for example.
 *  Longer: a peer that doesn't read holds a socket for longer. */
const LINGER_MS = 1_000;
/** TCP asks a silent peer after this, so that one that vanished without a word is noticed at all. */
const KEEPALIVE_MS = 30_000;

export async function listenReal(local: Address, onStream: (stream: Stream) => void, log: Log): Promise<Listener> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS }, (socket) =>
    onStream(new RealStream(socket)),
  );
  try {
    server.listen({ host: local.host, port: local.port, exclusive: true });
    await once(server, "listening");
  } catch (error) {
    throw bindError(local, error as NodeJS.ErrnoException);
  }
  server.on("error", (error) => log.warn("listener.error", { error: error.message }));
  return {
    local: localAddress(server.address()),
    // The port is free at once; the callback of `server.close` would wait for every stream to end.
    close: async () => {
      server.close();
    },
  };
}

export function connectReal(to: Address, timeoutMs: number): Promise<Stream> {
  const name = formatAddress(to);
  return new Promise((resolve, reject) => {
    if (!isPort(to.port) || to.host === "") return reject(new Error(`cannot connect to ${name}: not an address`));
    const socket = connect({ ...to, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS });
    const timeout = setTimeout(() => {
      socket.destroy();
      reject(new Error(`cannot connect to ${name}: no answer within ${timeoutMs} ms`));
    }, timeoutMs);
    const failed = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timeout);
      reject(new Error(`cannot connect to ${name}: ${error.code ?? error.message}`, { cause: error }));
    };
    socket.once("error", failed);
    socket.once("connect", () => {
      clearTimeout(timeout);
      socket.off("error", failed);
      resolve(new RealStream(socket));
    });
  });
}

class RealStream implements Stream {
  readonly remote: Address;
  readonly #socket: Socket;
  #handlers: StreamHandlers | undefined;
  /** Written in this turn of the loop: goes out as one system call. One per write is ten times as slow. */
  #corked: Uint8Array[] = [];
  #corkedBytes = 0;
  /** Why it ended. Set once. */
  #reason: string | undefined;
  /** The reason was told, or will be. */
  #told = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.remote = remoteAddress(socket);
    socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#end(`connection failed: ${error.code ?? error.message}`),
    );
    socket.on("end", () => {
      if (this.#reason !== undefined) return; // our own FIN was first: let it be delivered
      this.#end("closed by the other side");
      socket.destroy(); // nobody reads what is still queued
    });
    socket.on("close", () => {
      this.#end("connection closed");
      this.#tell();
    });
  }

  open(handlers: StreamHandlers): void {
    assert(this.#handlers === undefined, "a stream is opened once");
    this.#handlers = handlers;
    // Nothing flows before somebody listens for `data`; an error that came meanwhile is told now.
    this.#socket.on("data", (bytes) => {
      if (this.#reason === undefined) handlers.onData(plainBytes(bytes as Buffer));
    });
    if (this.#socket.closed) setImmediate(() => this.#tell());
  }

  write(bytes: Uint8Array): void {
    if (this.#reason !== undefined || bytes.length === 0) return;
    if (this.#corked.push(bytes) === 1) process.nextTick(() => this.#flush());
    this.#corkedBytes += bytes.length;
  }

  get queuedBytes(): number {
    return this.#corkedBytes + this.#socket.writableLength;
  }

  pause(paused: boolean): void {
    if (this.#reason !== undefined) return; // a closed one only drains
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  close(): void {
    if (this.#reason !== undefined) return;
    this.#flush();
    this.#end("closed here");
    setImmediate(() => this.#tell());
    // Bytes left unread would make the kernel reset the connection and lose what we wrote last: read them away.
    this.#socket.resume();
    this.#socket.end();
    const linger = setTimeout(() => this.#socket.destroy(), LINGER_MS);
    this.#socket.once("close", () => clearTimeout(linger));
  }

  #flush(): void {
    const chunks = this.#corked;
    if (chunks.length === 0) return;
    this.#corked = [];
    this.#corkedBytes = 0;
    if (this.#socket.destroyed) return;
    this.#socket.cork();
    const last = chunks.length - 1;
    for (let i = 0; i < last; i++) this.#socket.write(chunks[i] as Uint8Array);
    this.#socket.write(chunks[last] as Uint8Array, () => {
      if (this.#reason === undefined && this.queuedBytes === 0) this.#handlers?.onDrain?.();
    });
    this.#socket.uncork();
  }

  #end(reason: string): void {
    this.#reason ??= reason;
  }

  #tell(): void {
    if (this.#told || this.#handlers === undefined) return;
    this.#told = true;
    this.#handlers.onClose(this.#reason ?? "connection closed");
  }
}
