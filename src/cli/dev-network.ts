import { CliError, EXIT } from "./exit.ts";
import { NodeClient } from "./http-client.ts";

/** What a node's drivers let through, in dev mode: `PUT /v1/dev/network` replaces all of it. */
export interface NetworkRules {
  readonly cut: readonly RegionPair[];
  readonly delayMs: Readonly<Record<string, number>>;
  readonly lossPercent: Readonly<Record<string, number>> | number;
}

export type RegionPair = readonly [string, string];

/** `rules` with further pairs cut; a pair has no direction. */
export function withCuts(rules: NetworkRules, pairs: readonly RegionPair[]): NetworkRules {
  const all = new Map([...rules.cut, ...pairs].map((pair) => [[...pair].sort().join("-"), pair]));
  return { ...rules, cut: [...all.values()] };
}

export interface RulesChange {
  /** What holds now. */
  readonly rules: NetworkRules;
  /** Nodes that could not be told: nobody answers there. */
  readonly unreachable: readonly string[];
}

/** Changes the rules of all nodes to the same ones, made from those of the first that answers: each cuts its own side. */
export async function changeRules(
  urls: readonly string[],
  change: (rules: NetworkRules) => NetworkRules,
): Promise<RulesChange> {
  const before = await Promise.all(
    urls.map((url) => ifReachable(() => new NodeClient(url).get<NetworkRules>("/v1/dev/network"))),
  );
  const first = before.find((rules) => rules !== null);
  if (!first) throw new CliError(EXIT.unreachable, `none of ${urls.join(", ")} answers`);
  const rules = change(first);
  const after = await Promise.all(
    urls.map((url) => ifReachable(() => new NodeClient(url).json<NetworkRules>("PUT", "/v1/dev/network", rules))),
  );
  return { rules, unreachable: urls.filter((_url, at) => after[at] === null) };
}

/** Null when nobody answers at the node's address. */
async function ifReachable<T>(ask: () => Promise<T>): Promise<T | null> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof CliError && error.exitCode === EXIT.unreachable) return null;
    throw error;
  }
}
