import { InputError } from "../../src/kernel/assert.ts";
import { splitHostPort } from "../../src/kernel/host-port.ts";
import { canonicalHost, type Endpoint, ipToBytes } from "../wire/address.ts";

/** Where first members are looked for. `text` is the one way to write it: what people see, and its name in the log. */
export type SeedSource = { readonly text: string } & (
  | { readonly kind: "static"; readonly address: Endpoint }
  /** All A and AAAA records. */
  | { readonly kind: "dns"; readonly name: string; readonly port: number }
  | { readonly kind: "srv"; readonly name: string }
  | {
      readonly kind: "consul";
      readonly secure: boolean;
      readonly server: Endpoint;
      readonly service: string;
      readonly tags: readonly string[];
      readonly dc: string | undefined;
      readonly passing: boolean;
    }
  | {
      readonly kind: "kubernetes";
      readonly namespace: string;
      readonly service: string;
      /** A port's name in the service, or its number. */
      readonly port: string;
    }
);

export type ConsulSource = Extract<SeedSource, { kind: "consul" }>;
export type KubernetesSource = Extract<SeedSource, { kind: "kubernetes" }>;
/** One that must be asked. */
export type AskedSource = Exclude<SeedSource, { kind: "static" }>;

const FORMS =
  "host:port, dns://name:port, dns+srv://_service._proto.name, consul://host:port/service or kubernetes://namespace/service";

/** Throws InputError `bad-seed` with a sentence that says how to write it. */
export function parseSeed(text: string): SeedSource {
  refuseSecrets(text);
  const [, scheme, rest = ""] = /^([a-z0-9+.-]+):\/\/(.*)$/is.exec(text) ?? [];
  switch (scheme) {
    case undefined:
      return plainSource(text);
    case "dns":
      return dnsSource(text, rest);
    case "dns+srv":
      return srvSource(text, rest);
    case "consul":
    case "consul+https":
      return consulSource(text, scheme, rest);
    case "kubernetes":
      return kubernetesSource(text, rest);
    default:
      throw bad(`${quoted(text)} is no way to find members: write ${FORMS}`);
  }
}

/** A literal IP, or what can be a name in DNS. Underscores are for SRV, and some name hosts with them. */
export function isHost(text: string): boolean {
  return ipToBytes(text) !== undefined || isName(text);
}

export function isName(text: string): boolean {
  return (
    text.length <= 253 &&
    /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/i.test(text) &&
    // A last label of digits only makes a mistyped IPv4 address, not a name (RFC 1123, 2.1).
    !/(?:^|\.)\d+\.?$/.test(text)
  );
}

export function isPort(port: unknown): port is number {
  return typeof port === "number" && Number.isInteger(port) && port >= 1 && port <= 65_535;
}

function bad(sentence: string): InputError {
  return new InputError("bad-seed", sentence);
}

/** Without its query: who writes a parameter that we don't know may have written a secret. */
function quoted(text: string): string {
  const [shown = ""] = text.split("?");
  return JSON.stringify(shown.length > 200 ? `${shown.slice(0, 200)}…` : shown);
}

/** Seeds are shown and logged, so nothing secret may be in them; what was written is not repeated here either. An @ is
 *  enough wherever it stands: who writes a password doesn't always escape the slash or question mark in it. */
function refuseSecrets(text: string): void {
  if (text.includes("@") || /[?&][^=&]*(?:token|password|secret|auth)[^=&]*=/i.test(text))
    throw bad(
      "a seed holds no password or token, for seeds are shown and logged: a Consul token belongs into cluster.consul_token " +
        "(STARLING_CLUSTER_CONSUL_TOKEN), a Kubernetes token is read from cluster.kubernetes_credentials; an @ in a name is " +
        "written %40",
    );
}

function endpointOf(text: string): Endpoint | undefined {
  const at = splitHostPort(text);
  if (!at || !isPort(at.port)) return undefined;
  if (text.startsWith("[") ? ipToBytes(at.host) === undefined : !isHost(at.host)) return undefined;
  return { host: canonicalHost(at.host), port: at.port };
}

function endpointText({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function plainSource(text: string): SeedSource {
  if (/^dns\+/.test(text)) throw bad(`${quoted(text)}: write dns://${text.slice(4)}`);
  if (/^dnssrv(?:noa)?\+/.test(text)) throw bad(`${quoted(text)}: write dns+srv://${text.replace(/^[a-z]+\+/, "")}`);
  if (/^provider=/.test(text)) throw bad(`${quoted(text)} is no way to find members: write ${FORMS}`);
  const address = endpointOf(text);
  if (address === undefined) throw bad(`gossip seed ${quoted(text)} must look like host:port or [ipv6]:port`);
  const plain = endpointText(address);
  if (ipToBytes(address.host) !== undefined) return { kind: "static", text: plain, address };
  return { kind: "dns", text: plain, name: address.host, port: address.port };
}

function dnsSource(text: string, rest: string): SeedSource {
  const address = endpointOf(rest);
  if (address === undefined || ipToBytes(address.host) !== undefined)
    throw bad(`${quoted(text)} must name a host and the members' gossip port, as in dns://starling.example.com:7002`);
  return { kind: "dns", text: `dns://${endpointText(address)}`, name: address.host, port: address.port };
}

function srvSource(text: string, rest: string): SeedSource {
  if (!isName(rest) || !/^_[^.]+\._(?:udp|tcp)\./i.test(rest))
    throw bad(
      `${quoted(text)} must name a service, without a port (its records have them), as in ` +
        "dns+srv://_starling-gossip._udp.example.com",
    );
  const name = rest.toLowerCase();
  return { kind: "srv", text: `dns+srv://${name}`, name };
}

function consulSource(text: string, scheme: string, rest: string): SeedSource {
  const [, authority = "", service = "", query = ""] = /^([^/?]*)\/([^/?#]+)(?:\?(.*))?$/.exec(rest) ?? [];
  const server = endpointOf(authority);
  const name = decoded(service);
  if (server === undefined || name === undefined || name === "")
    throw bad(
      `${quoted(text)} must name Consul's HTTP address and a service, as in consul://127.0.0.1:8500/starling-gossip`,
    );
  const values = parseQuery(text, query, ["tag", "dc", "passing"]);
  const tags = values.get("tag") ?? [];
  const dc = values.get("dc")?.at(-1);
  const passing = values.get("passing")?.at(-1);
  if (passing !== undefined && !["", "true", "false"].includes(passing))
    throw bad(`${quoted(text)}: passing is true or false`);
  const isPassing = passing !== undefined && passing !== "false";
  const shown = [
    ...tags.map((tag) => `tag=${encodeURIComponent(tag)}`),
    ...(dc === undefined ? [] : [`dc=${encodeURIComponent(dc)}`]),
    ...(isPassing ? ["passing=true"] : []),
  ].join("&");
  return {
    kind: "consul",
    text: `${scheme}://${endpointText(server)}/${encodeURIComponent(name)}${shown === "" ? "" : `?${shown}`}`,
    secure: scheme === "consul+https",
    server,
    service: name,
    tags,
    dc,
    passing: isPassing,
  };
}

/** Names of objects in Kubernetes (RFC 1123 labels), and of ports or their numbers. */
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

function kubernetesSource(text: string, rest: string): SeedSource {
  const [, namespace = "", service = "", query = ""] = /^([^/?]*)\/([^/?#]+)(?:\?(.*))?$/.exec(rest) ?? [];
  if (!LABEL.test(namespace) || !LABEL.test(service))
    throw bad(
      `${quoted(text)} must name a namespace and a service, as in kubernetes://default/starling?port=gossip ` +
        "(where the API is, cluster.kubernetes_api says)",
    );
  const port = parseQuery(text, query, ["port"]).get("port")?.at(-1) ?? "gossip";
  if (!LABEL.test(port) || (/^\d+$/.test(port) && !isPort(Number(port))))
    throw bad(`${quoted(text)}: port is the name of one of the service's ports, or a number`);
  return { kind: "kubernetes", text: `kubernetes://${namespace}/${service}?port=${port}`, namespace, service, port };
}

function parseQuery(text: string, query: string, known: readonly string[]): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>();
  for (const part of query.split("&").filter((item) => item !== "")) {
    const equals = part.indexOf("=");
    const name = equals < 0 ? part : part.slice(0, equals);
    const value = decoded(equals < 0 ? "" : part.slice(equals + 1));
    if (!known.includes(name) || value === undefined)
      throw bad(`${quoted(text)}: after the question mark stand ${known.join(", ")} and their values`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return values;
}

/** Undefined for broken escapes and overlong values, for control characters, which could end a line of the log, and for
 *  halves of surrogate pairs, which can't be escaped again. */
function decoded(text: string): string | undefined {
  try {
    const plain = decodeURIComponent(text);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    return /[\u0000-\u001f\u007f\p{Surrogate}]/u.test(plain) || plain.length > 255 ? undefined : plain;
  } catch {
    return undefined; // the only thing that it throws is URIError
  }
}
