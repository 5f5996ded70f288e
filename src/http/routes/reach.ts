import { type Api, jsonResponse } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import type { MemberView } from "../deps.ts";

/** Regions are hearsay too: further ones are taken together, as "other". The answer is as long as their square. */
const REGIONS_MAX = 32;

/** What the members of one region say of another's. */
interface Reach {
  readonly from: string;
  readonly to: string;
  /** `unreachable`: all members of `to` are suspected or taken for dead from there; `partly`: some are. */
  readonly state: "reachable" | "partly" | "unreachable";
  readonly members: number;
  /** Those of `to` that are accused from `from`, and by whom. */
  readonly accused: readonly string[];
  readonly accusers: readonly string[];
}

/** `GET /cluster/reach`: which regions can reach which, from who suspects whom, as far as gossip told this node. A
 *  crashed member is accused from its own region too; one that only other regions accuse is cut off from them. */
export function reach(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const reaches = reachOf(api.members());
  return jsonResponse(api, call, { node: api.replica.node, reach: reaches.map((one) => ({ ...one })) });
}

export function reachOf(members: readonly MemberView[]): Reach[] {
  const byRegion = new Map<string, MemberView[]>();
  // Who left is looked for by nobody.
  for (const member of members.filter(({ state }) => state !== "left")) {
    const region = byRegion.has(member.region) || byRegion.size < REGIONS_MAX ? member.region : "other";
    const there = byRegion.get(region) ?? [];
    there.push(member);
    byRegion.set(region, there);
  }
  const regions = [...byRegion.keys()].sort();
  return regions.flatMap((from) => {
    const here = new Set<string>((byRegion.get(from) ?? []).map(({ id }) => id));
    return regions.map((to) => reachBetween(from, here, to, byRegion.get(to) ?? []));
  });
}

function reachBetween(from: string, here: ReadonlySet<string>, to: string, there: readonly MemberView[]): Reach {
  const accused = there.filter(({ accusers }) => accusers.some((name) => here.has(name)));
  const accusers = new Set(accused.flatMap((member) => member.accusers).filter((name) => here.has(name)));
  return {
    from,
    to,
    state: accused.length === 0 ? "reachable" : accused.length === there.length ? "unreachable" : "partly",
    members: there.length,
    accused: accused.map(({ id }) => id).sort(),
    accusers: [...accusers].sort(),
  };
}
