import { OutcomeUnknown, RaftRefusal } from "../consensus/driver/refusal.ts";
import type { World } from "../world/world.ts";

/** How long one try of a proposal may take: it may have been forwarded to a leader that is gone. About two elections. */
const ATTEMPT_MS = 2_000;
/** Between tries. */
const RETRY_MS = 100;

/** Tries the same command again while that may help: its id makes that it is applied once (apply.ts, Recent). Rejects with
 *  RaftRefusal when nothing has happened, with OutcomeUnknown when nobody can say. */
export async function untilSettled<T>(
  { clock, timers }: Pick<World, "clock" | "timers">,
  timeoutMs: number,
  attempt: (timeoutMs: number) => Promise<T>,
  isOver: () => boolean,
): Promise<T> {
  const untilMs = clock.monotonicMs() + timeoutMs;
  let unknown: OutcomeUnknown | null = null;
  for (;;) {
    const leftMs = Math.max(1, untilMs - clock.monotonicMs());
    try {
      return await attempt(Math.min(leftMs, ATTEMPT_MS));
    } catch (error) {
      if (error instanceof OutcomeUnknown) unknown = error;
      else if (!(error instanceof RaftRefusal) || error.retryAfterMs === null) throw unknown ?? error;
      if (isOver() || clock.monotonicMs() + RETRY_MS >= untilMs) throw unknown ?? error;
    }
    await new Promise<void>((resolve) => {
      timers.after(RETRY_MS, resolve);
    });
  }
}
