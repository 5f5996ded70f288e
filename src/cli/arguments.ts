import { CliError, EXIT } from "./exit.ts";

/** A whole number from 1 to `max`. Throws a CliError that names the option. */
export function positive(text: string, name: string, max: number): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new CliError(EXIT.usage, `${name} takes a whole number from 1 to ${max}`);
}
