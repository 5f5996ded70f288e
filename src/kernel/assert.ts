/** An impossible internal state. Never caught to go on: the node stops before it can spread (I13). */
export class InternalError extends Error {
  override name = "InternalError";
}

/** Input from outside that we refuse. `slug` is a stable name; `message` says what to do. Nothing has changed. */
export class InputError extends Error {
  override name = "InputError";
  readonly slug: string;
  constructor(slug: string, message: string) {
    super(message);
    this.slug = slug;
  }
}

/** A message that is put together stands in a function: made each time for nothing, some cost more than the check. */
export function assert(condition: boolean, message: string | (() => string)): asserts condition {
  if (!condition) throw new InternalError(typeof message === "string" ? message : message());
}

/** Ends an exhaustive switch. */
export function assertNever(value: never): never {
  throw new InternalError(`impossible case: ${JSON.stringify(value)}`);
}

/** The value, which is known to be there: says why it must be instead of `!`. */
export function present<T>(value: T | undefined | null, why: string): T {
  if (value === undefined || value === null) throw new InternalError(why);
  return value;
}
