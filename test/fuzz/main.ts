import { parseArgs } from "node:util";
import { saveInput } from "./corpus.ts";
import { type Failure, fuzz, GROWTH_MIB, INPUT_MS, type Outcome } from "./run.ts";
import { captured, TARGETS } from "./targets.ts";

const USAGE = "npm run -s fuzz -- [--target NAME]… [--inputs N] [--seconds N] [--seed N] [--json] [--list]";

function options() {
  const { values } = parseArgs({
    options: {
      target: { type: "string", multiple: true },
      inputs: { type: "string", default: "20000" },
      seconds: { type: "string", default: "Infinity" },
      seed: { type: "string", default: "1" },
      json: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
    },
  });
  const [inputs, seed, seconds] = [Number(values.inputs), Number(values.seed), Number(values.seconds)];
  const targets = TARGETS.filter(({ name }) => values.target?.includes(name) ?? true);
  if (
    !Number.isSafeInteger(inputs) ||
    inputs < 1 ||
    !(seconds > 0) ||
    !Number.isSafeInteger(seed) ||
    targets.length === 0
  )
    throw new Error(`${USAGE}\ntargets: ${TARGETS.map(({ name }) => name).join(" ")}`);
  return { inputs, seed, seconds, targets, json: values.json, list: values.list };
}

function tell({ target, kind, seed, input, message }: Failure): void {
  console.error(`${target}: ${kind}, seed ${seed}: ${message}`);
  console.error(`  input: ${Buffer.from(input).toString("base64")}`);
  if (kind !== "growth") console.error(`  saved: ${saveInput(target, input)}`);
}

function lineOf(outcome: Outcome): string {
  const { target, inputs, accepted, rejected, crashes, slowestMs, heapGrowthMiB } = outcome;
  return (
    `${target.padEnd(20)} ${inputs} inputs, ${accepted} accepted, ${rejected} rejected, ${crashes} crashes, ` +
    `slowest ${slowestMs} ms, heap +${heapGrowthMiB} MiB`
  );
}

async function main(): Promise<void> {
  const { inputs, seed, seconds, targets, json, list } = options();
  if (list) {
    for (const { name } of targets) console.log(name);
    return;
  }
  const startNs = process.hrtime.bigint();
  const outcomes: Outcome[] = [];
  for (const target of targets) {
    const outcome = await fuzz(target, { inputs, seed, seconds, seeds: captured(target), onFailure: tell });
    outcomes.push(outcome);
    console.log(json ? JSON.stringify(outcome) : lineOf(outcome));
  }
  const failed = outcomes.filter(({ crashes }) => crashes > 0).map(({ target }) => target);
  const wallMs = Math.round(Number(process.hrtime.bigint() - startNs) / 1e6);
  const summary = { targets: outcomes.length, failed, seed, inputMs: INPUT_MS, growthMiB: GROWTH_MIB, wallMs };
  console.log(json ? JSON.stringify(summary) : `${outcomes.length} targets, ${failed.length} failed, ${wallMs} ms`);
  if (failed.length > 0) process.exitCode = 1;
}

await main();
