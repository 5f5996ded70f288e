import { cpuUsage, hrtime } from "node:process";
import { parseArgs } from "node:util";
import { type Result, simulate } from "./cluster.ts";

const HELP = `Simulates Raft groups under faults, and checks them.
  npm run -s sim:raft -- --seeds 1..10000 [--json]   many seeds; exit code 1 if one fails
  npm run -s sim:raft -- --seeds 42 --trace          one seed, with the last events of each node`;

/** Runs what the arguments ask for; the lines have the form of `npm run sim`'s. Returns the exit code: 1 if a seed failed,
 *  2 for arguments that make no sense. */
export function campaign(args: readonly string[], print: (line: string) => void): number {
  const asked = parse(args);
  if (typeof asked === "string") {
    print(asked);
    return asked === HELP ? 0 : 2;
  }
  const { first, last, json, trace } = asked;
  const startedNs = hrtime.bigint();
  const cpuBefore = cpuUsage();
  const counts = { failed: 0, undecided: 0, noQuorum: 0, events: 0, operations: 0 };
  for (let seed = first; seed <= last; seed++) {
    const result = simulate(seed);
    if (!result.ok) counts.failed += 1;
    if (result.isUndecided) counts.undecided += 1;
    if (result.hadNoQuorum) counts.noQuorum += 1;
    counts.events += result.events;
    counts.operations += result.operations;
    if (json) print(jsonLine(result));
    else if (!result.ok || first === last) print(textLine(result));
    if (trace || (!result.ok && !json)) print(result.report());
  }
  const seeds = last - first + 1;
  const { user, system } = cpuUsage(cpuBefore);
  const seedsPerCoreHour = Math.round((seeds * 3.6e9) / (user + system));
  const wallMs = Math.round(Number(hrtime.bigint() - startedNs) / 1e6);
  const { failed, ...others } = counts;
  print(
    json
      ? JSON.stringify({ seeds, failed, seedsPerCoreHour, wallMs, ...others })
      : `${seeds} seeds, ${failed} failed, ${seedsPerCoreHour} seeds per core hour, ${wallMs} ms; ${JSON.stringify(others)}`,
  );
  return counts.failed > 0 ? 1 : 0;
}

function parse(args: readonly string[]): { first: number; last: number; json: boolean; trace: boolean } | string {
  const flag = { type: "boolean", default: false } as const;
  try {
    const options = { seeds: { type: "string" }, json: flag, trace: flag, help: flag } as const;
    const { values } = parseArgs({ args: [...args], options });
    if (values.help || values.seeds === undefined) return HELP;
    const match = /^(\d{1,15})(?:\.\.(\d{1,15}))?$/.exec(values.seeds);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || last < first) throw new Error(`${values.seeds}: write seeds as A..B`);
    return { first, last, json: values.json, trace: values.trace };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n${HELP}`;
  }
}

function jsonLine({ seed, ok, traceHash, events, virtualMs, operations, violation }: Result): string {
  const found = violation ? { violation: `${violation.invariant}: ${violation.text}` } : {};
  return JSON.stringify({ seed, ok, traceHash, events, virtualMs, operations, ...found });
}

function textLine({ seed, ok, traceHash, events, virtualMs, operations, violation }: Result): string {
  const found = violation ? `\n  ${violation.invariant}: ${violation.text}` : "";
  const figures = `${events} events, ${virtualMs} ms, ${operations} operations`;
  return `seed ${seed} ${ok ? "ok" : "FAILED"} ${traceHash}: ${figures}${found}`;
}
