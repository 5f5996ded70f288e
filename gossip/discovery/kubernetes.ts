import { InputError } from "../../src/kernel/assert.ts";
import { canonicalHost, type Endpoint, ipToBytes } from "../wire/address.ts";
import { fieldOf, listOf, parseJson, textOf } from "./json.ts";
import type { Ranked } from "./machine.ts";
import { isPort, type KubernetesSource } from "./notation.ts";

/** Of slices, each of up to 1,000 endpoints (by default 100): far more than are used. Without a bound the answer about a
 *  large service would not fit the bound on answers. */
const SLICES_MAX = 16;
/** Of the ports that a sentence lists. */
const PORTS_SHOWN_MAX = 8;

/** The path to ask the API server for the slices of a service. */
export function slicesPath({ namespace, service }: KubernetesSource): string {
  const selector = encodeURIComponent(`kubernetes.io/service-name=${service}`);
  return `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=${selector}&limit=${SLICES_MAX}`;
}

/** The endpoints in an EndpointSliceList: the ready first, then those that are not (a node that starts is not, and in a new
 *  cluster all are), then those that are going. Names (the type FQDN, which no controller makes) are left out.
 *  Throws InputError when it is no such list, or when its endpoints have no such port. */
export function sliceAddresses(body: string, port: string): Ranked {
  const slices = listOf(fieldOf(parseJson(body, "bad-kubernetes-answer"), "items"));
  if (slices === undefined) throw new InputError("bad-kubernetes-answer", "it is no EndpointSliceList");
  const ranks: [Endpoint[], Endpoint[], Endpoint[]] = [[], [], []];
  const otherPorts = new Set<string>();
  for (const slice of slices) {
    // An empty list of endpoints is null in what the API server sends, one of ports as well.
    const endpoints = listOf(fieldOf(slice, "endpoints")) ?? [];
    const number = portOf(slice, port, otherPorts);
    if (number === undefined) continue;
    for (const endpoint of endpoints) {
      // Further addresses of an endpoint have no meaning (the API's own words); controllers give one.
      const host = textOf(listOf(fieldOf(endpoint, "addresses"))?.[0]);
      if (ipToBytes(host) === undefined) continue;
      ranks[rankOf(endpoint)].push({ host: canonicalHost(host), port: number });
    }
  }
  if (ranks.flat().length === 0 && otherPorts.size > 0) {
    const names = [...otherPorts].slice(0, PORTS_SHOWN_MAX).join(", ");
    throw new InputError("bad-kubernetes-answer", `the service has no port called ${port}; it has ${names}`);
  }
  return ranks;
}

/** A missing `ready` counts as ready, as the API defines it. */
function rankOf(endpoint: unknown): 0 | 1 | 2 {
  const conditions = fieldOf(endpoint, "conditions");
  if (fieldOf(conditions, "terminating") === true) return 2;
  return fieldOf(conditions, "ready") === false ? 1 : 0;
}

/** One name stands for a port in UDP and in TCP: gossip has the same number for both. */
function portOf(slice: unknown, wanted: string, others: Set<string>): number | undefined {
  if (/^\d+$/.test(wanted)) return Number(wanted);
  for (const entry of listOf(fieldOf(slice, "ports")) ?? []) {
    const name = textOf(fieldOf(entry, "name"));
    const number = fieldOf(entry, "port");
    if (name === wanted && isPort(number)) return number;
    if (/^[a-z0-9-]{1,63}$/.test(name)) others.add(name);
  }
  return undefined;
}

/** Why the API server refused, as it says it itself (a `Status` object), for the log. Empty when it doesn't. */
export function statusMessage(body: string): string {
  try {
    return textOf(fieldOf(parseJson(body, "bad-kubernetes-answer"), "message"));
  } catch (error) {
    if (error instanceof InputError) return "";
    throw error;
  }
}
