import { isLoopbackHost } from "../../src/kernel/host-port.ts";

/** Where a member listens: `host` is a literal IP in its canonical text form once it has been on the wire. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** One text per endpoint, for Maps. */
export function endpointKey(endpoint: Endpoint): string {
  return `${endpoint.host} ${endpoint.port}`;
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && a.host === b.host;
}

/** 4 or 16 bytes, or undefined when the text is no literal IP. An IPv4 address mapped into IPv6 gives 4 bytes. */
export function ipToBytes(text: string): Uint8Array | undefined {
  if (!text.includes(":")) return ipv4ToBytes(text);
  const bytes = ipv6ToBytes(text);
  return bytes && isMappedIpv4(bytes) ? bytes.slice(12) : bytes;
}

/** The canonical text (RFC 5952 for IPv6) of 4 or 16 bytes, undefined for any other length. */
export function ipToText(bytes: Uint8Array): string | undefined {
  if (bytes.length === 4) return bytes.join(".");
  if (bytes.length !== 16) return undefined;
  return isMappedIpv4(bytes) ? bytes.slice(12).join(".") : ipv6ToText(bytes);
}

/** Two spellings of one IP become one; a name is only lower-cased. */
export function canonicalHost(host: string): string {
  const bytes = ipToBytes(host);
  return (bytes && ipToText(bytes)) ?? host.toLowerCase();
}

export function isLoopback(host: string): boolean {
  return isLoopbackHost(canonicalHost(host));
}

/** True for an address that only a listener can have (0.0.0.0 and ::): nobody can be told to send there. */
export function isWildcard(host: string): boolean {
  const bytes = ipToBytes(host);
  return bytes?.every((byte) => byte === 0) === true;
}

function ipv4ToBytes(text: string): Uint8Array | undefined {
  const match = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/.exec(text);
  if (!match) return undefined;
  const bytes = new Uint8Array(4);
  for (let at = 0; at < 4; at++) {
    const part = Number(match[at + 1]);
    if (part > 255) return undefined;
    bytes[at] = part;
  }
  return bytes;
}

function ipv6ToBytes(text: string): Uint8Array | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupsToBytes(halves[0] ?? "");
  const tail = groupsToBytes(halves[1] ?? "");
  if (!head || !tail) return undefined;
  const given = head.length + tail.length;
  // "::" stands for at least one group of zeros; without it all eight groups must be there.
  if (halves.length === 2 ? given > 14 : given !== 16) return undefined;
  const bytes = new Uint8Array(16);
  bytes.set(head, 0);
  bytes.set(tail, 16 - tail.length);
  return bytes;
}

function groupsToBytes(text: string): number[] | undefined {
  if (text === "") return [];
  const groups = text.split(":");
  if (groups.length > 8) return undefined;
  const bytes: number[] = [];
  for (const [at, group] of groups.entries()) {
    const last = at === groups.length - 1;
    const embedded = last && group.includes(".") ? ipv4ToBytes(group) : undefined;
    if (embedded) bytes.push(...embedded);
    else if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 255);
    } else return undefined;
  }
  return bytes;
}

function isMappedIpv4(bytes: Uint8Array): boolean {
  return bytes.every((byte, at) => at >= 12 || byte === (at >= 10 ? 255 : 0));
}

function ipv6ToText(bytes: Uint8Array): string {
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)).toString(16));
  const { start, length } = longestZeroRun(groups);
  if (length < 2) return groups.join(":");
  return `${groups.slice(0, start).join(":")}::${groups.slice(start + length).join(":")}`;
}

function longestZeroRun(groups: readonly string[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let start = 0;
  for (let at = 0; at <= groups.length; at++) {
    if (groups[at] === "0") continue;
    if (at - start > best.length) best = { start, length: at - start };
    start = at + 1;
  }
  return best;
}
