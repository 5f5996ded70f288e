import { InputError } from "../../src/kernel/assert.ts";
import type { Rng } from "../../src/kernel/rng.ts";

/** One parser that faces a socket or a file. */
export interface Target {
  readonly name: string;
  /** Inputs that are right; mutations start from them. */
  seeds(): readonly Uint8Array[];
  /** An input that is wrong by structure: the layers around it fit. */
  structured?(rng: Rng): Uint8Array;
  /** True: accepted, and what must hold of it holds. False: refused as documented. Throws on all else. */
  parse(input: Uint8Array): boolean | Promise<boolean>;
  /** It returns promises: an endless loop in it can't be interrupted. */
  readonly isAsync?: boolean;
  /** Lets go of what it holds from input to input. */
  reset?(): void;
  /** CPU that one input may take, where the usual bound is known not to hold; why, stands where it is set. */
  readonly inputMs?: number;
  /** In `npm test`, where the usual number would take too long. */
  readonly inputsInTest?: number;
}

/** A run of dots takes few bytes, and a list may hold 1,000,000 of them: an input of 23 bytes becomes a row whose stubs take
 *  two seconds to build. Bounded, but above what an input may otherwise take: known, and for the codec to mend. */
export const MILLION_DOTS_MS = 10_000;

/** What the call gives, or undefined when it refuses as every parser may. */
export function unlessRefused<T extends object>(call: () => T): T | undefined {
  try {
    return call();
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

/** What must hold of an accepted input. */
export function claim(condition: boolean, what: string): void {
  if (!condition) throw new Error(`an accepted input ${what}`);
}
