import { InputError } from "../../kernel/assert.ts";

/** Nothing has happened, and nothing will: it can be asked again as it is. `slug` says why:
 *  - `no-room`, `no-leader`, `leader-leaves`, `change-under-way`, `too-much-uncommitted`, `too-many-in-flight`, `too-many-reads`: later;
 *  - `too-large`, `bad-group-change`, `not-a-member`, `raft-not-running` (not founded, aside, damaged, failed, stopped), `raft-running`: not as it is. */
export class RaftRefusal extends InputError {
  override name = "RaftRefusal";
  /** Null: waiting doesn't help. */
  readonly retryAfterMs: number | null;

  constructor(slug: string, message: string, retryAfterMs: number | null) {
    super(slug, message);
    this.retryAfterMs = retryAfterMs;
  }
}

/** It was handed on, and nobody can say what became of it: it may have been applied, may yet be, or never. Read the state
 *  before asking again, unless doing it twice does no harm. */
export class OutcomeUnknown extends Error {
  override name = "OutcomeUnknown";
}

const PASSING = new Set(["no-leader", "leader-leaves", "change-under-way", "too-much-uncommitted", "too-many-reads"]);

/** What the core refused. Other errors are thrown on. @param retryAfterMs when it is worth another try */
export function refusalOf(error: unknown, retryAfterMs: number): RaftRefusal {
  if (!(error instanceof InputError)) throw error;
  return new RaftRefusal(error.slug, error.message, PASSING.has(error.slug) ? retryAfterMs : null);
}
