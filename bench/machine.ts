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
}

export interface Report {
  readonly bench: string;
  readonly question: string;
  readonly machine: string;
  readonly peers: readonly string[];
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
  for (const figure of [...report.figures].sort((a, b) => Number(isLost(b)) - Number(isLost(a)))) {
    const { name, value, unit, aim } = figure;
    const aimed = aim
      ? `   aim ${aim.atLeast !== undefined ? `≥ ${aim.atLeast}` : `≤ ${aim.atMost}`}${isLost(figure) ? "  LOST" : "  met"}`
      : "";
    console.log(
      `  ${name.padEnd(52)} ${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 2 : 0 }).padStart(10)} ${unit}${aimed}`,
    );
  }
}
