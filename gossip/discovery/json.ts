import { InputError } from "../../src/kernel/assert.ts";

// Answers of registries are hostile until parsed: everything in them may be missing, or something else.

/** Throws InputError. */
export function parseJson(body: string, slug: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new InputError(slug, "it is no JSON");
  }
}

export function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

export function listOf(value: unknown): readonly unknown[] | undefined {
  return Array.isArray(value) ? value : undefined;
}

/** Empty for whatever is no text. */
export function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
