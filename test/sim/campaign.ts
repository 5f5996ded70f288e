import { closeSync, openSync, writeSync } from "node:fs";
import { cpuUsage, hrtime } from "node:process";
import { parseArgs } from "node:util";
import type { Fault, PlanOptions } from "./plan.ts";
import { FAULTS } from "./plan.ts";
import { shrink } from "./shrink.ts";
import type { SimResult } from "./simulate.ts";
import { simulate } from "./simulate.ts";

const HELP = `Simulates whole clusters under faults, and checks them.
  npm run -s sim -- --seeds 1..200 [--json]     many seeds; exit code 1 if one fails
  npm run -s sim -- --seed 42 [--trace]         one seed; --trace prints the last events of each node
      --nodes N --regions N --hours H           instead of what the seed draws
      --clients N --until-ms N                  likewise; as a shrunk failure is replayed
      --faults a,b                              these, or none, instead of those that the seed draws
      --shrink                                  reduces each failure, and prints the command that replays it
      --small                                   some seconds instead of ten minutes
  npm run -s sim -- --seed 42 --trace FILE      writes every event as a line of JSON: {ms, node, kind, detail}`;

/** Runs what the arguments ask for and prints lines whose form is a contract (testing.md, Commands with stable output).
 *  Returns the exit code: 1 if a seed failed, 2 for arguments that make no sense. */
export async function campaign(args: readonly string[], print: (line: string) => void): Promise<number> {
  const asked = parse(args);
  if (typeof asked === "string") {
    print(asked);
    return asked === HELP ? 0 : 2;
  }
  const { first, last, json, trace, traceFile, plan } = asked;
  const startedNs = hrtime.bigint();
  const cpuBefore = cpuUsage();
  let failed = 0;
  for (let seed = first; seed <= last; seed++) {
    const result = await simulated({ seed, ...plan }, traceFile);
    if (!result.ok) failed += 1;
    print(json ? jsonLine(result) : textLine(result));
    if (!json && (!result.ok || trace)) print(result.report());
    if (asked.shrink && !json && !result.ok) print(await shrunkLine({ seed, ...plan }));
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

async function shrunkLine(options: PlanOptions): Promise<string> {
  const { invariant, tries, isMinimal, command, result } = await shrink(options, (smaller) => simulate(smaller));
  const how = isMinimal ? "nothing smaller was found" : "more tries may find a smaller one";
  return `shrunk in ${tries} runs (${how}), ${invariant}: ${result.events} events\n${command}`;
}

async function simulated(options: PlanOptions, traceFile: string | undefined): Promise<SimResult> {
  if (traceFile === undefined) return simulate(options);
  const file = openSync(traceFile, "w");
  try {
    return await simulate(options, (event) => writeSync(file, `${JSON.stringify(event)}\n`));
  } finally {
    closeSync(file);
  }
}

interface Asked {
  readonly first: number;
  readonly last: number;
  readonly json: boolean;
  readonly trace: boolean;
  readonly shrink: boolean;
  readonly traceFile: string | undefined;
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
    clients: text,
    "until-ms": text,
    faults: text,
    small: flag,
    shrink: flag,
    trace: text,
    json: flag,
    help: flag,
  };
  try {
    const { values } = parseArgs({ args: withTraceValue(args), options });
    const range = values.seeds ?? values.seed;
    if (values.help || range === undefined) return HELP;
    const [first, last] = seedsOf(range);
    const until = values["until-ms"];
    const plan = {
      ...(values.nodes !== undefined && { nodes: within("nodes", values.nodes, 1, 9) }),
      ...(values.regions !== undefined && { regions: within("regions", values.regions, 1, 3) }),
      ...(values.hours !== undefined && {
        busyMs: Math.round(within("hours", values.hours, 0.001, 1_000) * 3_600_000),
      }),
      ...(values.clients !== undefined && { clients: within("clients", values.clients, 1, 32) }),
      ...(until !== undefined && { untilMs: within("until-ms", until, 1, 3_600_000_000) }),
      ...(values.faults !== undefined && { faults: faultsOf(values.faults) }),
      ...(values.small && { small: true }),
    };
    const traceFile = values.trace === "" ? undefined : values.trace;
    if (traceFile !== undefined && last > first) throw new Error("--trace FILE takes one seed");
    return { first, last, json: values.json, shrink: values.shrink, trace: values.trace === "", traceFile, plan };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n${HELP}`;
  }
}

/** `--trace` may stand alone. */
function withTraceValue(args: readonly string[]): string[] {
  return args.flatMap((arg, i) => {
    const next = args[i + 1];
    return arg === "--trace" && (next === undefined || next.startsWith("--")) ? ["--trace="] : [arg];
  });
}

function faultsOf(text: string): Fault[] {
  if (text === "none") return [];
  return text.split(",").map((name) => {
    const fault = FAULTS.find((known) => known === name.trim());
    if (!fault) throw new Error(`--faults ${name}: no such fault; there are ${FAULTS.join(", ")}`);
    return fault;
  });
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
