import { parseSeed } from "../../gossip/discovery/notation.ts";
import { parseAesKey } from "../kernel/aead.ts";
import { InputError } from "../kernel/assert.ts";
import { fromHex } from "../kernel/bytes.ts";
import { splitHostPort } from "../kernel/host-port.ts";
import type { NodeId, Region } from "../kernel/ids.ts";
import { parseNodeId, parseRegion } from "../kernel/ids.ts";
import type { Address } from "../world/world.ts";
import { formatAddress } from "../world/world.ts";
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from "./units.ts";

/** What a setting can hold. `parse` takes a TOML value, or the text of an environment variable or flag; throws InputError
 *  with a sentence that says what was expected. `show` is how people see it; secrets are redacted there. */
export interface Kind<T> {
  parse(raw: unknown): T;
  show(value: T): string;
}

export interface Owner {
  readonly id: NodeId;
  readonly region: Region;
  readonly peer?: Address;
}

function expected(what: string): InputError {
  return new InputError("bad-setting", `expected ${what}`);
}

function asText(raw: unknown, what: string): string {
  if (typeof raw !== "string") throw expected(what);
  return raw;
}

/** Any text without control characters, at most `maxBytes` of UTF-8. */
export function text(maxBytes: number): Kind<string> {
  return {
    parse(raw) {
      const value = asText(raw, "text");
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      if (/[\u0000-\u001f\u007f]/.test(value)) throw expected("text without control characters");
      if (new TextEncoder().encode(value).length > maxBytes) throw expected(`at most ${maxBytes} bytes`);
      return value;
    },
    show: (value) => value,
  };
}

export const nodeId: Kind<NodeId> = {
  parse: (raw) => parseNodeId(asText(raw, "a node's name: a-z, 0-9 and -, at most 32")),
  show: (value) => value,
};

export const region: Kind<Region> = {
  parse: (raw) => parseRegion(asText(raw, "a region's name: a-z, 0-9 and -, at most 32")),
  show: (value) => value,
};

/** `host:port` or `[v6]:port`. Port 0 asks for any free one. */
export const address: Kind<Address> = {
  parse: (raw) => parseAddress(asText(raw, "host:port, such as 127.0.0.1:7001")),
  show: formatAddress,
};

function parseAddress(text: string): Address {
  const found = splitHostPort(text);
  if (!found) throw expected(`host:port, such as 127.0.0.1:7001 or [::1]:7001, not ${JSON.stringify(text)}`);
  return found;
}

/** Milliseconds, at least `minMs`. */
export function duration(minMs: number): Kind<number> {
  return {
    parse(raw) {
      if (typeof raw === "number") throw expected(`a unit: "${raw}ms" or "${raw}s"?`);
      const ms = parseDurationMs(asText(raw, 'a duration such as "500ms"'));
      if (ms < minMs) throw expected(`at least ${formatDuration(minMs)}`);
      return ms;
    },
    show: formatDuration,
  };
}

export function size(minBytes: number, maxBytes: number): Kind<number> {
  return {
    parse(raw) {
      if (typeof raw === "number") throw expected(`a unit: "${raw}B" or "${raw}KiB"?`);
      const bytes = parseSizeBytes(asText(raw, 'a size such as "64MiB"'));
      if (bytes < minBytes || bytes > maxBytes)
        throw expected(`${formatSize(minBytes)} to ${formatSize(maxBytes)}, got ${formatSize(bytes)}`);
      return bytes;
    },
    show: formatSize,
  };
}

export function integer(min: number, max: number): Kind<number> {
  return {
    parse(raw) {
      const value = typeof raw === "string" && /^\d+$/.test(raw) ? Number(raw) : raw;
      if (typeof value !== "number" || !Number.isInteger(value) || value < min || value > max)
        throw expected(`a whole number from ${min} to ${max}`);
      return value;
    },
    show: String,
  };
}

export const boolean: Kind<boolean> = {
  parse(raw) {
    if (raw === true || raw === "true") return true;
    if (raw === false || raw === "false") return false;
    throw expected("true or false");
  },
  show: String,
};

export function oneOf<const T extends string>(...names: T[]): Kind<T> {
  return {
    parse(raw) {
      const found = names.find((name) => name === raw);
      if (found === undefined) throw expected(`one of ${names.join(", ")}`);
      return found;
    },
    show: (value) => value,
  };
}

/** At least 16 bytes, written in hex. */
export const secret: Kind<Uint8Array> = {
  parse(raw) {
    const bytes = fromHex(asText(raw, "hex digits"));
    if (bytes.length < 16 || bytes.length > 64) throw expected("16 to 64 bytes, written as 32 to 128 hex digits");
    return bytes;
  },
  show: () => "(secret)",
};

/** Separated by commas where TOML's arrays are not at hand. */
export const gossipKeys: Kind<readonly Uint8Array[]> = {
  parse: (raw) => asList(raw, "gossip keys").map((item) => parseAesKey(asText(item, "a gossip key"))),
  show: (value) => value.map(() => "(secret)").join(","),
};

/** An array in TOML; separated by commas elsewhere. */
export const seeds: Kind<readonly string[]> = {
  parse: (raw) => asList(raw, "seeds").map((item) => parseSeed(asText(item, "host:port")).text),
  show: (value) => value.join(","),
};

/** A server that no name leads to. */
export const literalAddress: Kind<Address> = {
  parse(raw) {
    const source = parseSeed(asText(raw, "an IP address and a port, such as 10.0.0.2:53"));
    if (source.kind !== "static") throw expected("an IP address and a port, such as 10.0.0.2:53");
    return source.address;
  },
  show: formatAddress,
};

/** What goes into a header of HTTP. */
export const token: Kind<string> = {
  parse(raw) {
    const value = asText(raw, "a token");
    if (!/^[\x21-\x7e]{0,4096}$/.test(value))
      throw expected("a token: letters, digits and punctuation, without spaces");
    return value;
  },
  show: (value) => (value === "" ? "" : "(secret)"),
};

/** `region=host:port`, a list: what members of those regions are told. */
export const regionAddresses: Kind<ReadonlyMap<Region, Address>> = {
  parse(raw) {
    const found = asList(raw, "addresses by region").map((item): [Region, Address] => {
      const [name = "", at] = asText(item, "region=host:port").split("=");
      if (at === undefined)
        throw expected(`region=host:port, such as us=203.0.113.7:7002, not ${JSON.stringify(item)}`);
      return [region.parse(name), parseAddress(at)];
    });
    if (new Set(found.map(([name]) => name)).size < found.length) throw expected("each region once");
    return new Map(found);
  },
  show: (value) => [...value].map(([name, at]) => `${name}=${formatAddress(at)}`).join(","),
};

/** Tables `{ id, region, peer }` in TOML; `id/region@host:port` separated by commas elsewhere. */
export const owners: Kind<readonly Owner[]> = {
  parse(raw) {
    const found = asList(raw, "owners").map(parseOwner);
    const twice = found.find((owner, at) => found.findIndex(({ id }) => id === owner.id) !== at);
    if (twice) throw expected(`each owner once: ${twice.id} is there twice`);
    return found;
  },
  show: (value) =>
    value.map(({ id, region, peer }) => `${id}/${region}${peer ? `@${formatAddress(peer)}` : ""}`).join(","),
};

/** More owners than this are a mistake: each of them holds all data. More seeds are of no use. */
const MAX_LIST = 64;

function asList(raw: unknown, what: string): unknown[] {
  const list = typeof raw === "string" ? raw.split(",").filter((item) => item !== "") : raw;
  if (!Array.isArray(list)) throw expected(`a list of ${what}`);
  if (list.length > MAX_LIST) throw expected(`at most ${MAX_LIST} ${what}`);
  return list;
}

const OWNER_FIELDS = ["id", "region", "peer"];

function parseOwner(raw: unknown): Owner {
  if (typeof raw === "string") {
    const match = /^([^/@]+)\/([^/@]+)(?:@(.+))?$/.exec(raw);
    if (!match) throw expected(`an owner such as eu/eu@127.0.0.1:7003, not ${JSON.stringify(raw)}`);
    return makeOwner(match[1], match[2], match[3]);
  }
  if (typeof raw !== "object" || raw === null) throw expected('an owner such as { id = "eu", region = "eu" }');
  const unknown = Object.keys(raw).find((key) => !OWNER_FIELDS.includes(key));
  if (unknown !== undefined) throw expected(`only id, region and peer in an owner, not ${unknown}`);
  const fields = new Map<string, unknown>(Object.entries(raw));
  return makeOwner(fields.get("id"), fields.get("region"), fields.get("peer"));
}

function makeOwner(id: unknown, regionName: unknown, peer: unknown): Owner {
  return {
    id: nodeId.parse(id),
    region: region.parse(regionName),
    ...(peer === undefined ? {} : { peer: address.parse(peer) }),
  };
}
