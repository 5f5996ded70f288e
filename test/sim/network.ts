import { assert } from "../../src/kernel/assert.ts";
import { copyBytes } from "../../src/kernel/bytes.ts";
import {
  type Address,
  type DatagramSocket,
  formatAddress,
  type HttpHandler,
  type HttpLimits,
  type Listener,
  type Network,
  type Stream,
  type Timer,
} from "../../src/world/world.ts";
import { HttpService } from "./http.ts";
import type { Life } from "./life.ts";
import type { Links } from "./links.ts";
import type { Machine, TcpService } from "./machine.ts";
import { PHASE_IO, PHASE_TIMERS, TURN_MS } from "./scheduler.ts";
import { StreamEnd } from "./streams.ts";
import { hashBytes } from "./trace.ts";

const DATAGRAM_BYTES_MAX = 65_507;
/** What Linux grants by default; a stalled node loses what comes above it. */
const RECEIVE_BUFFER_BYTES = 212_992;
/** What a small datagram takes of the receive buffer besides its bytes (Linux's sk_buff). */
const DATAGRAM_OVERHEAD_BYTES = 768;

/** All machines, by address and by name. */
export class Machines {
  readonly #byHost = new Map<string, Machine>();

  add(machine: Machine): void {
    assert(
      !this.#byHost.has(machine.host) && !this.#byHost.has(machine.name),
      "machines have names and addresses of their own",
    );
    this.#byHost.set(machine.host, machine);
    this.#byHost.set(machine.name, machine);
  }

  find(host: string): Machine | undefined {
    return this.#byHost.get(host);
  }
}

/** The network as one life on one machine sees it. */
export class LifeNetwork implements Network {
  readonly #life: Life;
  readonly #machine: Machine;
  readonly #machines: Machines;
  readonly #links: Links;

  constructor(life: Life, machine: Machine, machines: Machines, links: Links) {
    this.#life = life;
    this.#machine = machine;
    this.#machines = machines;
    this.#links = links;
  }

  bindDatagrams(local: Address, onPacket: (bytes: Uint8Array, from: Address) => void): Promise<DatagramSocket> {
    return this.#bound(() => {
      const port = new SimDatagramSocket(this.#life, onPacket, (from, to, bytes) =>
        this.#sendDatagram(from, to, bytes),
      );
      const { datagrams } = this.#machine;
      port.bound(this.#machine.bind(datagrams, local, port), () => datagrams.delete(port.local.port));
      return port;
    });
  }

  listen(local: Address, onStream: (stream: Stream) => void): Promise<Listener> {
    const life = this.#life;
    return this.#bound(() => this.#serve(local, { kind: "streams", life, onStream, idle: async () => {} }));
  }

  serveHttp(local: Address, handler: HttpHandler, limits: HttpLimits): Promise<Listener> {
    return this.#bound(() => this.#serve(local, new HttpService(this.#life, handler, limits)));
  }

  connect(to: Address, timeoutMs: number): Promise<Stream> {
    return this.#life.promise((resolve, reject) => {
      const attempt = new ConnectAttempt(this.#life, this.#machine, this.#links, to, resolve, reject);
      attempt.start(this.#target(to.host), timeoutMs);
    });
  }

  /** Machines have their names in the hosts file, so to speak. */
  resolve(name: string): Promise<readonly string[]> {
    return this.#bound(() => {
      const target = this.#target(name);
      if (target === undefined) throw new Error("DNS knows no such name");
      return [target.host];
    });
  }

  resolveServices(): Promise<never> {
    return Promise.reject(new Error("there is no DNS in the simulation"));
  }

  httpGet(): Promise<never> {
    return Promise.reject(new Error("there are no other systems in the simulation"));
  }

  /** Binding is quick, but never done within the call; so is finding a name. */
  #bound<T>(bind: () => T): Promise<T> {
    return this.#life.promise((resolve, reject) => {
      this.#life.later(TURN_MS, PHASE_IO, "network", () => {
        try {
          resolve(bind());
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  #serve(local: Address, service: TcpService): Listener {
    const { tcp } = this.#machine;
    const bound = this.#machine.bind(tcp, local, service);
    const close = async (): Promise<void> => {
      if (tcp.get(bound.port) === service) tcp.delete(bound.port);
      await service.idle();
    };
    return { local: bound, close };
  }

  #target(host: string): Machine | undefined {
    return this.#machine.isSelf(host) ? this.#machine : this.#machines.find(host);
  }

  #sendDatagram(fromPort: number, to: Address, bytes: Uint8Array): void {
    assert(bytes.length <= DATAGRAM_BYTES_MAX, "a datagram has at most 65,507 bytes");
    const { scheduler, trace } = this.#life.core;
    const hash = hashBytes(bytes);
    const target = this.#target(to.host);
    trace.record(scheduler.nowMs, this.#life.index, "send", hash, target?.name);
    if (target === undefined || this.#links.isCut(this.#machine, target)) return;
    const from = { host: this.#machine.host, port: fromPort };
    for (const delayMs of this.#links.datagramDelaysMs(this.#machine, target)) {
      scheduler.at(scheduler.nowMs + delayMs, PHASE_IO, () => {
        assert(hashBytes(bytes) === hash, `bytes changed after ${this.#life.name} had sent them`);
        if (this.#links.isCut(this.#machine, target)) return false;
        return target.datagrams.get(to.port)?.receive(copyBytes(bytes), hash, from) ?? false;
      });
    }
  }
}

class SimDatagramSocket implements DatagramSocket {
  readonly life: Life;
  readonly receiveBufferBytes: number = RECEIVE_BUFFER_BYTES;
  local: Address = { host: "", port: 0 };
  readonly #onPacket: (bytes: Uint8Array, from: Address) => void;
  readonly #sendFrom: (port: number, to: Address, bytes: Uint8Array) => void;
  #release: (() => void) | undefined;
  /** Taken of the receive buffer by what waits for the end of a stall. */
  #bufferedBytes = 0;

  constructor(
    life: Life,
    onPacket: (bytes: Uint8Array, from: Address) => void,
    sendFrom: (port: number, to: Address, bytes: Uint8Array) => void,
  ) {
    this.life = life;
    this.#onPacket = onPacket;
    this.#sendFrom = sendFrom;
  }

  bound(local: Address, release: () => void): void {
    this.local = local;
    this.#release = release;
  }

  send(to: Address, bytes: Uint8Array): void {
    if (this.#release !== undefined && this.life.alive) this.#sendFrom(this.local.port, to, bytes);
  }

  receive(bytes: Uint8Array, hash: number, from: Address): boolean {
    const takesBytes = bytes.length + DATAGRAM_OVERHEAD_BYTES;
    if (this.#bufferedBytes + takesBytes > RECEIVE_BUFFER_BYTES) return false;
    this.#bufferedBytes += takesBytes;
    return this.life.enter(PHASE_IO, "datagram", hash, () => {
      this.#bufferedBytes -= takesBytes;
      if (this.#release !== undefined) this.#onPacket(bytes, from);
    });
  }

  close(): void {
    this.#release?.();
    this.#release = undefined;
  }
}

/** A connect under way: it ends once, by an answer, a refusal or the time-out. */
class ConnectAttempt {
  readonly #life: Life;
  readonly #machine: Machine;
  readonly #links: Links;
  readonly #to: Address;
  readonly #resolve: (stream: Stream) => void;
  readonly #reject: (error: Error) => void;
  #timeout: Timer | undefined;
  #over = false;

  constructor(
    life: Life,
    machine: Machine,
    links: Links,
    to: Address,
    resolve: (stream: Stream) => void,
    reject: (error: Error) => void,
  ) {
    this.#life = life;
    this.#machine = machine;
    this.#links = links;
    this.#to = to;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  start(target: Machine | undefined, timeoutMs: number): void {
    const { scheduler } = this.#life.core;
    const timeoutAfterMs = this.#life.clock.simulatedMs(timeoutMs);
    const giveUp = (): void => this.#fail(`no answer within ${timeoutMs} ms`);
    this.#timeout = this.#life.later(timeoutAfterMs, PHASE_TIMERS, "refused", giveUp);
    if (target === undefined) return;
    const arriveAtMs = scheduler.nowMs + this.#links.delayMs(this.#machine, target);
    scheduler.at(arriveAtMs, PHASE_IO, () => this.#arrive(target));
  }

  #arrive(target: Machine): boolean {
    if (!target.isUp || this.#links.isCut(this.#machine, target)) return false;
    const service = target.tcp.get(this.#to.port);
    if (service?.kind !== "streams") return this.#answer(target, "refused", () => this.#fail("ECONNREFUSED"));
    const address = { host: this.#machine.host, port: this.#machine.clientPort() };
    const [near, far] = StreamEnd.pair(
      { life: this.#life, machine: this.#machine, address },
      { life: service.life, machine: target, address: this.#to },
      this.#links,
    );
    this.#answer(target, "connected", () => this.#succeed(near));
    return service.life.enter(PHASE_IO, "accept", 0, () => service.onStream(far), formatAddress(address));
  }

  /** Sends the answer back; it may get lost in a cut. */
  #answer(target: Machine, kind: "connected" | "refused", call: () => void): boolean {
    const { scheduler } = this.#life.core;
    scheduler.at(scheduler.nowMs + this.#links.delayMs(target, this.#machine), PHASE_IO, () => {
      if (this.#links.isCut(target, this.#machine)) return false;
      return this.#life.enter(PHASE_IO, kind, 0, call, formatAddress(this.#to));
    });
    return false;
  }

  #succeed(stream: StreamEnd): void {
    if (this.#over) {
      stream.abort(); // the other side has a connection that nobody wants any more
      return;
    }
    this.#over = true;
    this.#timeout?.cancel();
    this.#resolve(stream);
  }

  #fail(why: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#timeout?.cancel();
    this.#reject(new Error(`cannot connect to ${formatAddress(this.#to)}: ${why}`));
  }
}
