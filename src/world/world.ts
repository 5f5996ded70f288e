import type { Aead } from "../kernel/aead.ts";
import { InputError } from "../kernel/assert.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import { splitHostPort } from "../kernel/host-port.ts";
import type { Rng } from "../kernel/rng.ts";
import type { RaftStore } from "../storage/raft-store.ts";
import type { Store } from "../storage/store.ts";

/** Everything a node may not have by itself: time, chance, network and disk. `node.ts` runs unchanged on the real
 *  World and on a simulated one; whatever else a node called would break replay (architecture.md, rule 3). */
export interface World {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly rng: Rng;
  readonly network: Network;
  readonly disk: Disk;
  readonly sha256: Sha256;
  readonly aead: Aead;
  /** Bytes that nobody can guess, for secrets: `rng` is not made for those. */
  secretBytes(length: number): Uint8Array;
  readonly log: Log;
}

export interface Clock {
  /** Wall time in ms since 1970, for people and HLCs. May jump. */
  wallMs(): number;
  /** Never goes back; for time-outs and rates. */
  monotonicMs(): number;
}

export interface Timer {
  cancel(): void;
}

export interface Timers {
  /** Calls once, at least `delayMs` from now. */
  after(delayMs: number, call: () => void): Timer;
  /** Calls when what has arrived by now was handled: lets I/O in between parts of long work. */
  soon(call: () => void): void;
}

/** `host` is a literal IP or a name; `port` 0 asks for any when listening. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A reliable, ordered stream of bytes. Handlers are set once, by `open`, before anything is delivered. */
export interface Stream {
  readonly remote: Address;
  open(handlers: StreamHandlers): void;
  /** Queues bytes. The stream holds what can't be sent yet: look at `queuedBytes`. A no-op after close. */
  write(bytes: Uint8Array): void;
  readonly queuedBytes: number;
  /** Stops (or goes on) reading: back-pressure to the sender. */
  pause(paused: boolean): void;
  /** Closes at once; `onClose` follows once. */
  close(): void;
}

export interface StreamHandlers {
  onData(bytes: Uint8Array): void;
  /** `queuedBytes` fell back to zero. */
  onDrain?(): void;
  onClose(reason: string): void;
}

export interface DatagramSocket {
  readonly local: Address;
  /** Best effort: may be lost without a word. At most 65,507 bytes. */
  send(to: Address, bytes: Uint8Array): void;
  /** The receive buffer the kernel granted. */
  readonly receiveBufferBytes: number;
  close(): void;
}

export interface Listener {
  readonly local: Address;
  close(): Promise<void>;
}

export type HttpHandler = (request: Request) => Response | Promise<Response>;

export interface Network {
  /** Rejects when the address can't be bound. */
  bindDatagrams(local: Address, onPacket: (bytes: Uint8Array, from: Address) => void): Promise<DatagramSocket>;
  listen(local: Address, onStream: (stream: Stream) => void): Promise<Listener>;
  /** Rejects when nobody answers within `timeoutMs`. */
  connect(to: Address, timeoutMs: number): Promise<Stream>;
  serveHttp(local: Address, handler: HttpHandler, limits: HttpLimits): Promise<Listener>;
  /** All IPv4 and IPv6 addresses of a name. Rejects with an Error that says why when there are none. */
  resolve(name: string, limits: ResolveLimits): Promise<readonly string[]>;
  /** The SRV records of a name, as DNS gives them: unchecked. Rejects like `resolve`. */
  resolveServices(name: string, limits: ResolveLimits): Promise<readonly unknown[]>;
  /** Asks a server of another system. Rejects, with an Error that says why, when there is no whole answer; any status is
   *  an answer. Redirects are not followed: the headers may hold a secret. */
  httpGet(request: HttpGet): Promise<HttpAnswer>;
}

export interface LookupLimits {
  readonly timeoutMs: number;
  /** Ends it early; it rejects then. */
  readonly signal: AbortSignal;
}

export interface ResolveLimits extends LookupLimits {
  /** Ask this DNS server; without, as the system is set up (hosts file and search list included). */
  readonly server?: Address | undefined;
}

export interface HttpGet extends LookupLimits {
  readonly secure: boolean;
  readonly server: Address;
  /** Path and query, escaped. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Certificates (PEM) that are trusted instead of the system's. */
  readonly ca?: string | undefined;
  /** A longer answer is a failure. */
  readonly bodyBytesMax: number;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

export interface HttpLimits {
  /** A request whose headers are not complete by then is ended with 408, and one whose body brings less than 64 KiB in
   *  such a span (a stream may be of any length). */
  readonly requestTimeoutMs: number;
  readonly headerBytes: number;
  readonly connections: number;
}

export interface Disk {
  /** Opens (or makes) the store in a data directory; rejects with an InputError that says what to do. */
  openStore(dataDir: string): Promise<Store>;
  /** Opens a member's Raft state in a data directory (and makes nothing there yet); rejects with an InputError that says
   *  what to do. */
  openRaftStore(dataDir: string): Promise<RaftStore>;
  /** A small file that the platform provides (a token, a certificate). Rejects with an Error that says why. */
  readText(path: string, bytesMax: number): Promise<string>;
}

export interface Log {
  info(event: string, fields?: Record<string, unknown>): void;
  warn(event: string, fields?: Record<string, unknown>): void;
  error(event: string, fields?: Record<string, unknown>): void;
  debug(event: string, fields?: Record<string, unknown>): void;
  child(fields: Record<string, unknown>): Log;
}

export function formatAddress(address: Address): string {
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** `host:port` or `[v6]:port`. Throws InputError `bad-address`. */
export function parseAddress(text: string): Address {
  const address = splitHostPort(text);
  if (!address)
    throw new InputError("bad-address", `${JSON.stringify(text)} is no address: write host:port, or [v6]:port`);
  return address;
}
