import { Presets, SingleBar } from "cli-progress";
import { formatBytes, formatCount, formatRate, formatSpan } from "./format.ts";

/** Long work on a terminal: how far, how fast, how long still. Nothing where nobody watches. */
export class Progress {
  readonly #bar: SingleBar | null;
  readonly #startedMs = Date.now();
  readonly #total: number;
  #done = 0;
  #records = 0;

  /** @param total in `unit`; 0 when nobody knows */
  constructor(options: { total: number; unit: "records" | "partitions" | "bytes"; shown: boolean }) {
    const { total, unit, shown } = options;
    this.#total = total;
    const format = (value: number): string => (unit === "bytes" ? formatBytes(value) : formatCount(value));
    const layout =
      total > 0
        ? ` {bar} {percentage}%  {value}/{total} ${unit === "bytes" ? "" : unit}  {rate}  {left} left`
        : ` {value} ${unit === "bytes" ? "" : unit}  {rate}`;
    this.#bar = shown
      ? new SingleBar(
          {
            format: layout,
            formatValue: (value, _options, type) =>
              type === "value" || type === "total" ? format(value) : String(value),
            stream: process.stderr,
            hideCursor: true,
            barsize: 28,
            fps: 8,
          },
          Presets.shades_classic,
        )
      : null;
    this.#bar?.start(total, 0, { rate: "", left: "" });
  }

  /** @param amount in the unit of the total @param records how many of them */
  add(amount: number, records: number): void {
    this.#done += amount;
    this.#records += records;
    const tookMs = this.tookMs;
    const leftMs = this.#done > 0 ? (tookMs / this.#done) * Math.max(0, this.#total - this.#done) : 0;
    this.#bar?.update(this.#done, { rate: formatRate(this.#records, tookMs), left: formatSpan(leftMs) });
  }

  get tookMs(): number {
    return Date.now() - this.#startedMs;
  }

  stop(): void {
    this.#bar?.stop();
  }
}
