import { InputError } from "../../src/kernel/assert.ts";
import { canonicalHost, type Endpoint } from "../wire/address.ts";
import { fieldOf, listOf, parseJson, textOf } from "./json.ts";
import type { Ranked } from "./machine.ts";
import { type ConsulSource, isHost, isPort } from "./notation.ts";

/** The path to ask Consul's HTTP API. `stale`: any server may answer, also while they have no leader, which is when
 *  members need each other most. */
export function consulPath({ service, tags, dc, passing }: ConsulSource): string {
  const query = [
    "stale",
    ...(passing ? ["passing"] : []),
    ...tags.map((tag) => `tag=${encodeURIComponent(tag)}`),
    ...(dc === undefined ? [] : [`dc=${encodeURIComponent(dc)}`]),
  ];
  return `/v1/health/service/${encodeURIComponent(service)}?${query.join("&")}`;
}

/** The instances of a service from `/v1/health/service/:service`, those first whose checks pass. Single entries that no
 *  address can be made of are left out. Throws InputError when there is no other, or when it is no such answer. */
export function consulAddresses(body: string): Ranked {
  const entries = listOf(parseJson(body, "bad-consul-answer"));
  if (entries === undefined)
    throw new InputError("bad-consul-answer", "it is no list of instances, as Consul's /v1/health/service gives");
  const sound: Endpoint[] = [];
  const others: Endpoint[] = [];
  for (const entry of entries) {
    const address = addressOf(entry);
    if (address) (isPassing(entry) ? sound : others).push(address);
  }
  if (entries.length > 0 && sound.length + others.length === 0)
    throw new InputError("bad-consul-answer", "none of its instances has an address and a port");
  return [sound, others];
}

/** A service without an address of its own has its node's. */
function addressOf(entry: unknown): Endpoint | undefined {
  const service = fieldOf(entry, "Service");
  const host = textOf(fieldOf(service, "Address")) || textOf(fieldOf(fieldOf(entry, "Node"), "Address"));
  const port = fieldOf(service, "Port");
  return isHost(host) && isPort(port) ? { host: canonicalHost(host), port } : undefined;
}

function isPassing(entry: unknown): boolean {
  return (listOf(fieldOf(entry, "Checks")) ?? []).every((check) => fieldOf(check, "Status") === "passing");
}
