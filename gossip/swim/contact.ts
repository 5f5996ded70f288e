import { canonicalHost, type Endpoint, ipToBytes } from "../wire/address.ts";

/** The tag that says where members of a region reach its member, where that isn't the address all others are told: behind
 *  NAT a member has an address for each side. */
export function contactTag(region: string): string {
  return `at.${region}`;
}

/** Where we, in `region`, send to a member that says this of itself. What isn't `ip:port` is as if it weren't there. */
export function contactOf(told: Endpoint, meta: ReadonlyMap<string, string>, region: string | undefined): Endpoint {
  const text = region === undefined ? undefined : meta.get(contactTag(region));
  const match = text === undefined ? null : /^(?:\[([0-9a-fA-F:.]+)\]|([\d.]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || ipToBytes(host) === undefined || port < 1 || port > 65_535) return told;
  return { host: canonicalHost(host), port };
}
