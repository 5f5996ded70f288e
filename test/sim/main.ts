import { cpuUsage, hrtime } from "node:process";
import { parseArgs } from "node:util";
import type { SimResult } from "./simulate.ts";
import { simulate } from "./simulate.ts";

const HELP = `Simulates whole clusters under faults, and checks them.
  npm run -s sim -- --seeds 1..200 [--json]     many seeds; exit code 1 if one fails
  npm run -s sim -- --seed 42 [--trace]         one seed; --trace prints the last events of each node
      --nodes N --regions N --hours H           instead of what the seed draws`;

/** `A..B`, or one number. */
export function parseSeeds(text: string): { first: number; last: number } {
  const match = /^(\d{1,15})(?:\.\.(\d{1,15}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || last < first) throw new Error(`--seeds ${text}: write A..B`);
  return { first, last };
}

/** The form is a contract (design: Commands with stable output). */
export function jsonLine({ seed, ok, traceHash, events, virtualMs, operations, violations }: SimResult): string {
  const [first] = violations;
  const violation = first && `${first.invariant}: ${first.text}`;
  return JSON.stringify({ seed, ok, traceHash, events, virtualMs, operations, violation });
}

function textLine(result: SimResult): string {
  const { seed, ok, traceHash, events, virtualMs, operations, plan } = result;
  const faults = [...plan.faults.keys()].join(", ") || "none";
  const state = ok ? "ok" : "FAILED";
  return `seed ${seed} ${state} ${traceHash}: ${events} events, ${virtualMs} ms, ${operations} operations, ${plan.nodes.length} nodes, faults: ${faults}`;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string" },
      seeds: { type: "string" },
      nodes: { type: "string" },
      regions: { type: "string" },
      hours: { type: "string" },
      trace: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const seeds = values.seeds ?? values.seed;
  if (values.help || seeds === undefined) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  const { first, last } = parseSeeds(seeds);
  const number = (text: string | undefined): number | undefined => (text === undefined ? undefined : Number(text));
  const hours = number(values.hours);
  const more = {
    ...(values.nodes !== undefined && { nodes: Number(values.nodes) }),
    ...(values.regions !== undefined && { regions: Number(values.regions) }),
    ...(hours !== undefined && { busyMs: hours * 3_600_000 }),
  };
  const startedNs = hrtime.bigint();
  const cpuBefore = cpuUsage();
  let failed = 0;
  for (let seed = first; seed <= last; seed++) {
    const result = await simulate({ seed, ...more });
    if (!result.ok) failed += 1;
    console.log(values.json ? jsonLine(result) : textLine(result));
    if (!values.json && (!result.ok || values.trace)) console.log(result.report());
  }
  const count = last - first + 1;
  const { user, system } = cpuUsage(cpuBefore);
  const summary = {
    seeds: count,
    failed,
    seedsPerCoreHour: Math.round((count * 3.6e9) / (user + system)),
    wallMs: Math.round(Number(hrtime.bigint() - startedNs) / 1e6),
  };
  console.log(
    values.json
      ? JSON.stringify(summary)
      : `${count} seeds, ${failed} failed, ${summary.seedsPerCoreHour} seeds per core hour, ${summary.wallMs} ms`,
  );
  return failed > 0 ? 1 : 0;
}

process.exitCode = await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  return 2;
});
