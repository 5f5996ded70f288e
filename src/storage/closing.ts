export type Closer = () => Promise<void> | void;

/** Runs all of them, one after another, whatever becomes of each: what one leaves open (a lock, a port) must not depend on
 *  another. Then rejects with what went wrong, if anything: with `before` first, what had gone wrong already. */
export async function closeAll(closers: Iterable<Closer>, before: readonly unknown[] = []): Promise<void> {
  const failures = [...before];
  for (const close of closers)
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length === 0) return;
  if (failures.length === 1) throw failures[0];
  throw new AggregateError(failures, failures.map(messageOf).join("; then: "));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
