import { cpus, totalmem } from "node:os";

/** What figures depend on; printed with each. */
export function machineLine(): string {
  const [cpu] = cpus();
  return `${cpus().length} × ${cpu?.model.trim() ?? "unknown CPU"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}, ${process.platform} ${process.arch}`;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** One line of a report: a figure, or a ratio with what it aims at. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly aim?: { readonly atLeast?: number; readonly atMost?: number };
  /** What it is to be read beside, in one line: a formula, a published figure, how many samples. */
  readonly note?: string;
}

export interface Report {
  readonly bench: string;
  readonly question: string;
  readonly machine: string;
  readonly peers: readonly string[];
  /** How it was measured, where the figures alone don't say it. */
  readonly method?: readonly string[];
  readonly figures: readonly Figure[];
}

function isLost({ value, aim }: Figure): boolean {
  return (aim?.atLeast !== undefined && value < aim.atLeast) || (aim?.atMost !== undefined && value > aim.atMost);
}

/** What a benchmark loses comes first. */
export function printReport(report: Report, asJson: boolean): void {
  if (asJson) {
    console.log(JSON.stringify(report));
    return;
  }
  console.log(`${report.bench}: ${report.question}`);
  console.log(`  on ${report.machine}`);
  for (const peer of report.peers) console.log(`  beside ${peer}`);
  for (const line of report.method ?? []) console.log(`  ${line}`);
  const nameLength = Math.max(52, ...report.figures.map(({ name }) => name.length));
  for (const figure of [...report.figures].sort((a, b) => Number(isLost(b)) - Number(isLost(a)))) {
    const { name, value, unit, aim, note } = figure;
    const aimed = aim
      ? `   aim ${aim.atLeast !== undefined ? `≥ ${aim.atLeast}` : `≤ ${aim.atMost}`}${isLost(figure) ? "  LOST" : "  met"}`
      : "";
    const digits = { maximumFractionDigits: value < 10 ? 2 : value < 100 ? 1 : 0 };
    console.log(`  ${name.padEnd(nameLength)} ${value.toLocaleString("en", digits).padStart(10)} ${unit}${aimed}`);
    if (note) console.log(`      ${note}`);
  }
}
