import { InputError } from "../../src/kernel/assert.ts";
import { type Address, formatAddress, type Stream } from "../../src/world/world.ts";
import type { HttpService } from "./http.ts";
import type { Death, Life, NodeClock } from "./life.ts";
import type { Place } from "./links.ts";

/** Who answers on a TCP port. */
export type TcpService = HttpService | StreamService;

export interface StreamService {
  readonly kind: "streams";
  readonly life: Life;
  readonly onStream: (stream: Stream) => void;
  /** Nothing to wait for: streams outlive their listener. */
  idle(): Promise<void>;
}

export interface DatagramPort {
  readonly life: Life;
  receive(bytes: Uint8Array, hash: number, from: Address): boolean;
}

const ANY_HOST = new Set(["0.0.0.0", "::", "127.0.0.1", "::1", "localhost"]);
const FIRST_FREE_PORT = 49_152;

/** What outlives a process: the machine with its address, ports and clock. Its disk is in disk.ts. */
export class Machine implements Place {
  readonly name: string;
  readonly region: string;
  readonly host: string;
  readonly index: number;
  readonly clock: NodeClock;
  /** Off: packets to it vanish and nobody answers. */
  isUp = true;
  life: Life | undefined;
  readonly datagrams = new Map<number, DatagramPort>();
  readonly tcp = new Map<number, TcpService>();
  #nextPort = FIRST_FREE_PORT;

  constructor(place: Place & { readonly host: string; readonly index: number; readonly clock: NodeClock }) {
    this.name = place.name;
    this.region = place.region;
    this.host = place.host;
    this.index = place.index;
    this.clock = place.clock;
  }

  /** A name for this machine that only it understands, or its own address. */
  isSelf(host: string): boolean {
    return host === this.host || host === this.name || ANY_HOST.has(host);
  }

  /** Takes a port for as long as the life lasts or `ports` holds it. */
  bind<T extends { readonly life: Life }>(ports: Map<number, T>, local: Address, service: T): Address {
    if (!this.isSelf(local.host)) {
      throw new InputError("cannot-bind", `cannot listen on ${formatAddress(local)}: ${this.name} has no such address`);
    }
    let { port } = local;
    if (port === 0) {
      while (ports.has(this.#nextPort)) this.#nextPort++;
      port = this.#nextPort++;
    }
    if (ports.has(port)) {
      throw new InputError("cannot-bind", `cannot listen on ${formatAddress(local)}: the address is in use`);
    }
    ports.set(port, service);
    return { host: local.host, port };
  }

  /** The port of an outgoing connection. */
  clientPort(): number {
    return this.#nextPort++;
  }

  crash(how: Death): void {
    this.isUp = how === "process";
    const { life } = this;
    this.life = undefined;
    this.datagrams.clear();
    this.tcp.clear();
    life?.die(how);
  }
}
