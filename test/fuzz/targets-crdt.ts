import fc from "fast-check";
import {
  decodeEntry,
  decodeRow,
  encodeEntry,
  encodeRow,
  readDots,
  VersionVector,
  writeDots,
} from "../../crdt/index.ts";
import { project } from "../../src/conflicts/projection.ts";
import { concatBytes, equalBytes, Reader, Writer } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { dot, entry, row, vector } from "../property/arbitraries.ts";
import { mutateBytes, pick } from "./mutate.ts";
import { claim, MILLION_DOTS_MS, type Target, unlessRefused } from "./target.ts";

export function samples<T>(arbitrary: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(arbitrary, { numRuns: count, seed: 1 });
}

function dotsOf(bytes: Uint8Array): { dots: ReturnType<typeof readDots> } {
  const input = new Reader(bytes);
  const dots = readDots(input);
  input.end();
  return { dots };
}

function dotsBytes(dots: Iterable<Parameters<typeof writeDots>[1] extends Iterable<infer D> ? D : never>): Uint8Array {
  const out = new Writer();
  writeDots(out, [...dots]);
  return out.finish();
}

/** Codecs that promise to refuse all but what their writer makes: an accepted input comes back byte for byte. */
export function canonical<T extends object>(
  name: string,
  seeds: () => Uint8Array[],
  decode: (bytes: Uint8Array) => T,
  encode: (value: T) => Uint8Array,
  also: (value: T) => unknown = () => undefined,
): Target {
  let pool: readonly Uint8Array[] | undefined;
  return {
    name,
    seeds,
    // Two right ones in a row: what follows the end must be refused, and a count may reach into the second.
    structured: (rng: Rng) => {
      pool ??= seeds();
      return concatBytes([mutateBytes(rng, pool), pick(rng, pool)]);
    },
    parse: (input) => {
      const value = unlessRefused(() => decode(input));
      if (!value) return false;
      claim(equalBytes(encode(value), input), "has another encoding too");
      also(value);
      return true;
    },
  };
}

const vectorBytes = (one: VersionVector): Uint8Array => one.encode();
const withDots = (target: Target): Target => ({ ...target, inputMs: MILLION_DOTS_MS });

export const CRDT_TARGETS: readonly Target[] = [
  withDots(canonical("crdt-entry", () => samples(entry, 80).map(encodeEntry), decodeEntry, encodeEntry)),
  withDots(canonical("crdt-row", () => samples(row, 80).map(encodeRow), decodeRow, encodeRow, project)),
  withDots(
    canonical(
      "crdt-dots",
      () => samples(fc.array(dot), 40).map(dotsBytes),
      dotsOf,
      (one) => dotsBytes(one.dots),
    ),
  ),
  canonical("crdt-vector", () => samples(vector, 40).map(vectorBytes), VersionVector.decode, vectorBytes),
];
