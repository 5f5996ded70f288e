import { cpuUsage, hrtime } from "node:process";
import { parseArgs } from "node:util";
import type { PlanOptions } from "./plan.ts";
import type { SimResult } from "./simulate.ts";
import { simulate } from "./simulate.ts";

const HELP = `Simulates whole clusters under faults, and checks them.
  npm run -s sim -- --seeds 1..200 [--json]     many seeds; exit code 1 if one fails
  npm run -s sim -- --seed 42 [--trace]         one seed; --trace prints the last events of each node
      --nodes N --regions N --hours H           instead of what the seed draws`;

/** Runs what the arguments ask for and prints lines whose form is a contract (testing.md, Commands with stable output).
 *  Returns the exit code: 1 if a seed failed, 2 for arguments that make no sense. */
export async function campaign(args: readonly string[], print: (line: string) => void): Promise<number> {
  const asked = parse(args);
  if (typeof asked === "string") {
    print(asked);
    return asked === HELP ? 0 : 2;
  }
  const { first, last, json, trace, plan } = asked;
  const startedNs = hrtime.bigint();
  const cpuBefore = cpuUsage();
  let failed = 0;
  for (let seed = first; seed <= last; seed++) {
    const result = await simulate({ seed, ...plan });
    if (!result.ok) failed += 1;
    print(json ? jsonLine(result) : textLine(result));
    if (!json && (!result.ok || trace)) print(result.report());
  }
  const seeds = last - first + 1;
  const { user, system } = cpuUsage(cpuBefore);
  const seedsPerCoreHour = Math.round((seeds * 3.6e9) / (user + system));
  const wallMs = Math.round(Number(hrtime.bigint() - startedNs) / 1e6);
  print(
    json
      ? JSON.stringify({ seeds, failed, seedsPerCoreHour, wallMs })
      : `${seeds} seeds, ${failed} failed, ${seedsPerCoreHour} seeds per core hour, ${wallMs} ms`,
  );
  return failed > 0 ? 1 : 0;
}

interface Asked {
  readonly first: number;
  readonly last: number;
  readonly json: boolean;
  readonly trace: boolean;
  readonly plan: Partial<PlanOptions>;
}

/** Text: what to tell instead of running. */
function parse(args: readonly string[]): Asked | string {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const options = {
    seed: text,
    seeds: text,
    nodes: text,
    regions: text,
    hours: text,
    trace: flag,
    json: flag,
    help: flag,
  };
  try {
    const { values } = parseArgs({ args: [...args], options });
    const range = values.seeds ?? values.seed;
    if (values.help || range === undefined) return HELP;
    const [first, last] = seedsOf(range);
    const plan = {
      ...(values.nodes !== undefined && { nodes: within("nodes", values.nodes, 1, 9) }),
      ...(values.regions !== undefined && { regions: within("regions", values.regions, 1, 3) }),
      ...(values.hours !== undefined && { busyMs: within("hours", values.hours, 0.001, 1_000) * 3_600_000 }),
    };
    return { first, last, json: values.json, trace: values.trace, plan };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n${HELP}`;
  }
}

function seedsOf(text: string): [number, number] {
  const match = /^(\d{1,15})(?:\.\.(\d{1,15}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || last < first) throw new Error(`${text}: write seeds as A..B`);
  return [first, last];
}

function within(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (!(value >= min && value <= max)) throw new Error(`--${name} is a number from ${min} to ${max}`);
  return value;
}

function jsonLine({ seed, ok, traceHash, events, virtualMs, operations, violations }: SimResult): string {
  const [first] = violations;
  const violation = first && `${first.invariant}: ${first.text}`;
  return JSON.stringify({ seed, ok, traceHash, events, virtualMs, operations, violation });
}

function textLine({ seed, ok, traceHash, events, virtualMs, operations, plan }: SimResult): string {
  const faults = [...plan.faults.keys()].join(", ") || "none";
  const figures = `${events} events, ${virtualMs} ms, ${operations} operations, ${plan.nodes.length} nodes`;
  return `seed ${seed} ${ok ? "ok" : "FAILED"} ${traceHash}: ${figures}, faults: ${faults}`;
}
