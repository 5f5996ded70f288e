import { InputError } from "../kernel/assert.ts";
import { OutcomeUnknown, RaftRefusal } from "../plane/api.ts";
import { StoreFailedError, Unavailable } from "../replication/api.ts";

/** An InputError with more to tell than its slug and what to do: members of the problem, and headers. */
export class ProblemError extends InputError {
  readonly members: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
  /** Of a refusal that brought its own; else the table's. */
  readonly status: number | null;
  constructor(
    slug: string,
    message: string,
    more: { members?: Record<string, unknown>; headers?: Record<string, string>; status?: number } = {},
  ) {
    super(slug, message);
    this.members = more.members ?? {};
    this.headers = more.headers ?? {};
    this.status = more.status ?? null;
  }
}

/** The status of every slug that is not a plain 400. The one place where they are chosen; refusals of commands bring theirs
 *  (src/control/refusals.ts). */
const STATUS = new Map<string, number>([
  ["no-cluster", 404],
  ["no-such-bucket", 404],
  ["leader-unknown", 404],
  ["not-a-voter", 409],
  ["too-large", 413],
  ["no-leader", 503],
  ["not-a-member", 503],
  ["raft-not-running", 503],
  ["snapshot-too-large", 503],
  ["foreign-host", 403],
  ["foreign-origin", 403],
  ["reserved-bucket", 403],
  ["unknown", 404],
  ["deleted", 404],
  ["not-found", 404],
  ["settled", 404],
  ["method-not-allowed", 405],
  ["integer-too-large", 406],
  ["gossip-not-encrypted", 409],
  ["wrong-type", 409],
  ["conflict-changed", 409],
  ["too-many-siblings", 409],
  ["precondition-failed", 412],
  ["value-too-large", 413],
  ["row-too-large", 413],
  ["body-too-large", 413],
  ["line-too-large", 413],
  ["too-many-ops", 413],
  ["too-many-items", 413],
  ["unsupported-type", 415],
  ["unsupported-encoding", 415],
  ["too-many-streams", 503],
  ["import-stopped", 503],
  ["store-busy", 503],
  ["store-closed", 503],
  ["session-not-met", 504],
]);

export const PROBLEM_TYPE = "application/problem+json";

/** RFC 9457, with `type` a stable slug and `instance` the request's id. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly instance?: string;
  readonly [member: string]: unknown;
}

/** What an error says to a client. Null for one that is none of the client's business: it is logged and becomes a 500. */
export function problemOf(error: unknown): { problem: Problem; headers: Record<string, string> } | null {
  if (error instanceof Unavailable)
    return { problem: problem(error.slug, 503, error.message), headers: { "retry-after": "1" } };
  // The node is about to stop: the client should go to another one.
  if (error instanceof StoreFailedError)
    return { problem: problem("storage-failed", 503, "this node's storage failed: ask another node"), headers: {} };
  if (error instanceof OutcomeUnknown) return { problem: problem("outcome-unknown", 504, UNKNOWN), headers: {} };
  if (error instanceof RaftRefusal && error.retryAfterMs !== null) {
    const seconds = Math.max(1, Math.ceil(error.retryAfterMs / 1000));
    return { problem: problem(error.slug, 503, error.message), headers: { "retry-after": String(seconds) } };
  }
  if (!(error instanceof InputError)) return null;
  const own = error instanceof ProblemError ? error.status : null;
  const status = own ?? STATUS.get(error.slug) ?? 400;
  const retry: Record<string, string> = status === 503 ? { "retry-after": "1" } : {};
  if (!(error instanceof ProblemError)) return { problem: problem(error.slug, status, error.message), headers: retry };
  return {
    problem: problem(error.slug, status, error.message, error.members),
    headers: { ...retry, ...error.headers },
  };
}

const UNKNOWN =
  "the change was handed on and nobody answered in time: it may have been made, may yet be, or never. Read the configuration with ?consistent before you ask again";

export const INTERNAL: Problem = problem("internal", 500, "something broke inside this node: see its log");

function problem(slug: string, status: number, detail: string, members: Record<string, unknown> = {}): Problem {
  return { type: slug, title: slug.replaceAll("-", " "), status, detail, ...members };
}
