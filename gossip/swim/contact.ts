import { splitHostPort } from "../../src/kernel/host-port.ts";
import { canonicalHost, type Endpoint, ipToBytes } from "../wire/address.ts";

/** The tag that says where members of a region reach its member, where that isn't the address all others are told: behind
 *  NAT a member has an address for each side. */
export function contactTag(region: string): string {
  return `at.${region}`;
}

/** Where we, in `region`, send to a member that says this of itself. What isn't `ip:port` is as if it weren't there. */
export function contactOf(told: Endpoint, meta: ReadonlyMap<string, string>, region: string | undefined): Endpoint {
  const text = region === undefined ? undefined : meta.get(contactTag(region));
  const at = text === undefined ? undefined : splitHostPort(text);
  if (!at || ipToBytes(at.host) === undefined || at.port === 0) return told;
  return { host: canonicalHost(at.host), port: at.port };
}
