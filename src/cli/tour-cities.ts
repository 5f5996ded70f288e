import type { City } from "./cities.ts";
import { CITIES_BUCKET, cityKey, loadCities, sampleCities } from "./cities.ts";
import { statesOf, waitForEqualDigests } from "./convergence.ts";
import { formatCount, formatRate, shortId } from "./format.ts";
import { keyPath, NodeClient } from "./http-client.ts";
import type { RegionImport } from "./import-command.ts";
import { importCities, planCities } from "./import-command.ts";
import type { Narrator } from "./narrator.ts";
import type { ReachableNode } from "./nodes.ts";
import { Progress } from "./progress.ts";

/** Who plays: `far` is the region that is cut off later. */
export interface TourStage {
  readonly narrator: Narrator;
  readonly home: ReachableNode;
  readonly near: ReachableNode;
  readonly far: ReachableNode;
  readonly nodes: readonly ReachableNode[];
  readonly urls: readonly string[];
}

/** Of the tour's 90 seconds; the rest is for the cut, healing and a slow machine. */
const IMPORT_BUDGET_MS = 20_000;
const PROBE_CITIES = 2000;
const CONVERGE_TIMEOUT_MS = 40_000;
const STREAMS = 2;

/** Imports places through all regions at once, each into its nearest, and shows that all nodes then hold the same.
 *  @param limit null: as many as this machine takes in the budget, measured with a first few */
export async function importRealCities(stage: TourStage, limit: number | null): Promise<void> {
  const { narrator, nodes, urls } = stage;
  const all = loadCities();
  narrator.step("Real places, each written in the region nearest to it");
  narrator.say(
    `${formatCount(all.length)} places of the world (GeoNames, CC-BY-4.0): one map record each, keys like FR/84/Lyon@45.74906,4.84789.`,
  );
  const before = await citiesAt(stage.home.url);
  const count = limit ?? (await measureCount(stage, all));
  const cities = sampleCities(all, count);
  narrator.command(`starling import --cities --limit ${cities.length} --nodes ${urls.join(",")}`);
  const plan = planCities(cities, nodes);
  narrator.say(plan.map(({ region, cities: share }) => `${region} ${formatCount(share.length)}`).join(" · "));
  const tookMs = await importPlan(stage, plan, cities.length);
  narrator.say(
    `${formatCount(cities.length)} records acknowledged in all, ${formatRate(cities.length, tookMs)} on this machine`,
  );
  await showEqual(stage, before, cities);
}

/** How many places fit the budget here: also their way to the other nodes takes time. */
async function measureCount(stage: TourStage, all: readonly City[]): Promise<number> {
  const startedMs = Date.now();
  await importPlan(stage, planCities(sampleCities(all, PROBE_CITIES), stage.nodes), PROBE_CITIES);
  await waitForEqualDigests(stage.urls, CONVERGE_TIMEOUT_MS);
  const tookMs = Math.max(1, Date.now() - startedMs);
  const fits = Math.floor(((PROBE_CITIES / tookMs) * IMPORT_BUDGET_MS) / 1000) * 1000;
  const count = Math.min(all.length, Math.max(PROBE_CITIES, fits));
  const share = count === all.length ? "all of them fit" : `${formatCount(count)} of them fit`;
  stage.narrator.say(
    `a first ${formatCount(PROBE_CITIES)} were everywhere after ${tookMs} ms: ${share} in about ${IMPORT_BUDGET_MS / 1000} s`,
  );
  return count;
}

async function importPlan({ narrator }: TourStage, plan: readonly RegionImport[], total: number): Promise<number> {
  const shown = !narrator.out.json && process.stderr.isTTY;
  const progress = new Progress({ total, unit: "records", shown });
  try {
    const summary = await importCities(plan, STREAMS, (lines) => progress.add(lines, lines));
    if (summary.refusedCount > 0 || summary.written !== total)
      narrator.claim(`${formatCount(total)} records are accepted`, false, summary);
    return progress.tookMs;
  } finally {
    progress.stop();
  }
}

async function citiesAt(url: string): Promise<number> {
  const { buckets } = await new NodeClient(url).get<{ buckets: readonly { bucket: string; records: number }[] }>(
    "/v1/kv",
  );
  return buckets.find(({ bucket }) => bucket === CITIES_BUCKET)?.records ?? 0;
}

async function showEqual(stage: TourStage, before: number, cities: readonly City[]): Promise<void> {
  const { narrator, nodes, urls, home, far } = stage;
  narrator.command(`curl -s ${home.url}/cluster/sync/status   # digest and records; the same on the others`);
  const { states, equal, tookMs } = await waitForEqualDigests(urls, CONVERGE_TIMEOUT_MS);
  const counts = await Promise.all(urls.map(citiesAt));
  const rows = nodes.map(({ id }, at) => [
    id,
    formatCount(counts[at] ?? 0),
    formatCount(states[at]?.records ?? 0),
    shortId(states[at]?.digest ?? "", 16),
  ]);
  narrator.show((out) => out.table(["node", "cities", "records in all", "digest"], rows));
  narrator.claim("the digests of all three nodes are equal", equal, states, tookMs);
  const least = Math.max(before, cities.length);
  narrator.claim(
    `each node lists ${formatCount(least)} cities${before > 0 ? ` (${formatCount(before)} were there before: a place is replaced by itself)` : ""}`,
    counts.every((count) => count === least),
    counts,
  );
  await showOneCity(stage, cities, far);
}

/** A place that was written in one region is read in another. */
async function showOneCity(stage: TourStage, cities: readonly City[], writtenAt: ReachableNode): Promise<void> {
  const { narrator, home, nodes } = stage;
  const city = planCities(cities, nodes).find(({ region }) => region === writtenAt.region)?.cities[0];
  if (!city) return;
  const path = keyPath("/v1/kv", CITIES_BUCKET, cityKey(city));
  narrator.say(`written in ${writtenAt.region}, read in ${home.region}:`);
  narrator.command(`curl -s '${home.url}${path}'`);
  const value = await new NodeClient(home.url).get<{ name?: string }>(path);
  narrator.say(JSON.stringify(value));
  narrator.claim(`${home.region} has ${city.name}, which ${writtenAt.region} took`, value.name === city.name, value);
}

/** Digests of all nodes as one line. */
export async function digestLine({ nodes, urls }: TourStage): Promise<string> {
  const states = await statesOf(urls);
  return nodes.map(({ id }, at) => `${id} ${shortId(states[at]?.digest ?? "?", 8)}`).join("   ");
}
