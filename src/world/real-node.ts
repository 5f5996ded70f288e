import type { AddressInfo, Socket } from "node:net";
import { InputError, InternalError } from "../kernel/assert.ts";
import { type Address, formatAddress } from "./world.ts";

/** A Buffer is a Uint8Array whose `slice` shares instead of copying: nobody outside these files should have to know. */
export function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** A port that something can be sent to. Addresses come from the network too, so a bad one is an ordinary failure. */
export function isPort(port: number): boolean {
  return Number.isInteger(port) && port > 0 && port < 65_536;
}

export function localAddress(info: AddressInfo | string | null): Address {
  if (info === null || typeof info === "string") throw new InternalError("a bound socket has an IP address");
  return { host: info.address, port: info.port };
}

/** Where a connection comes from or goes to; `host` is empty when it is gone already. */
export function remoteAddress(socket: Socket): Address {
  return { host: unmapped(socket.remoteAddress ?? ""), port: socket.remotePort ?? 0 };
}

/** An IPv4 peer on a socket that takes both kinds shows as `::ffff:192.0.2.1`; its address is the IPv4 one. */
export function unmapped(host: string): string {
  return host.startsWith("::ffff:") && host.includes(".") ? host.slice(7) : host;
}

/** Says what an operator can do about an address that can't be bound. */
export function bindError(local: Address, error: NodeJS.ErrnoException): InputError {
  return new InputError("cannot-bind", `cannot listen on ${formatAddress(local)}: ${advice(error)}`);
}

function advice(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "EADDRINUSE":
      return "the address is in use; stop what listens there or choose another port";
    case "EACCES":
      return "no permission; choose a port above 1023";
    case "EADDRNOTAVAIL":
      return "this machine has no such address; choose one that it has";
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return "the name has no address; give an IP address";
    default:
      return error.code ?? error.message;
  }
}
