import { InputError } from "../../src/kernel/assert.ts";

/** Of the InputError that is thrown. */
export function slugOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof InputError) return error.slug;
    throw error;
  }
  return "nothing thrown";
}
