import { InputError } from "../kernel/assert.ts";

const MS_PER = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

const BYTES_PER = new Map([
  ["B", 1],
  ["KiB", 1024],
  ["MiB", 1024 ** 2],
  ["GiB", 1024 ** 3],
  ["TiB", 1024 ** 4],
  ["kB", 1000],
  ["MB", 1000 ** 2],
  ["GB", 1000 ** 3],
  ["TB", 1000 ** 4],
]);

/** `"500ms"`, `"24h"`, `"1h30m"` → milliseconds. Throws InputError `bad-duration`. */
export function parseDurationMs(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text)
    throw new InputError(
      "bad-duration",
      'expected a duration with its unit (ms, s, m, h, d), such as "500ms" or "24h"',
    );
  const ms = parts.reduce((total, [, amount, unit]) => total + Number(amount) * (MS_PER.get(unit as string) ?? 0), 0);
  if (!Number.isSafeInteger(ms)) throw new InputError("bad-duration", "expected a whole number of milliseconds");
  return ms;
}

/** `"64MiB"`, `"1GB"`, `"512B"` → bytes. Throws InputError `bad-size`. */
export function parseSizeBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?(B|[KMGT]iB|[kMGT]B)$/.exec(text);
  const bytes = match ? Number(match[1]) * (BYTES_PER.get(match[2] as string) ?? 0) : Number.NaN;
  if (!Number.isSafeInteger(bytes))
    throw new InputError("bad-size", 'expected a size with its unit (B, KiB, MiB, GiB, TiB), such as "64MiB"');
  return bytes;
}

/** The form that parses back to the same number: the largest unit that divides it. */
export function formatDuration(ms: number): string {
  return inLargestUnit(ms, ["d", "h", "m", "s", "ms"], MS_PER);
}

/** The form that parses back to the same number: the largest binary unit that divides it. */
export function formatSize(bytes: number): string {
  return inLargestUnit(bytes, ["TiB", "GiB", "MiB", "KiB", "B"], BYTES_PER);
}

function inLargestUnit(amount: number, units: readonly string[], scales: ReadonlyMap<string, number>): string {
  const smallest = units.at(-1) ?? "";
  const unit = amount === 0 ? smallest : units.find((name) => amount % (scales.get(name) ?? 1) === 0);
  return `${amount / (scales.get(unit ?? smallest) ?? 1)}${unit ?? smallest}`;
}
