import { InputError } from "../kernel/assert.ts";
import { integerOf, type Query } from "./call.ts";
import { ProblemError } from "./problem.ts";

const AT_THIS_NODE = ["node", "local", "one", "eventual"];
/** Known from replication.md, built later. */
const LATER = /^(?:quorum|local-quorum|each-region|all|strong|linearizable|region:.+|regions:.+|merge:.+)$/;

/** `w=`: all that are offered mean "durable at this node". `auto` also waits for another owner in the region where there
 *  is one; until placement exists it asks for nothing more than `node`, and `Starling-Durable` says what holds. */
export function checkWriteLevel(query: Query): void {
  const level = query.get("w");
  if (level === undefined || level === "auto" || AT_THIS_NODE.includes(level)) return;
  refuseLevel("w", level, "node", [...AT_THIS_NODE, "auto"]);
}

export function readLevel(query: Query): "node" | "session" | "unsaid" {
  const level = query.get("r");
  if (level === undefined) return "unsaid";
  if (level === "session") return "session";
  if (AT_THIS_NODE.includes(level)) return "node";
  return refuseLevel("r", level, "session", [...AT_THIS_NODE, "session"]);
}

function refuseLevel(name: string, level: string, nearest: string, offered: readonly string[]): never {
  if (!LATER.test(level))
    throw new InputError("bad-level", `${name}=${level.slice(0, 40)} is no level; there are ${offered.join(", ")}`);
  const why = /strong|linearizable/.test(level) ? " (no level here is linearizable: see the page on semantics)" : "";
  throw new ProblemError(
    "level-not-offered",
    `${name}=${level.slice(0, 40)} is not offered${why}; the nearest that is: ${name}=${nearest}`,
    { members: { nearest } },
  );
}

/** How long a request waits for what its session has seen. */
export function timeoutOf(query: Query): number {
  return integerOf(query, "timeoutMs", { min: 0, max: 30_000, otherwise: 1_000 });
}
