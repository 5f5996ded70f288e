import type { PartitionSeen } from "../replication/api.ts";
import { type Api, vectorView } from "./api.ts";
import type { Call, Query } from "./call.ts";
import { toJson } from "./json.ts";
import { readLevel, timeoutOf } from "./levels.ts";
import { ProblemError } from "./problem.ts";

const NOTHING: readonly PartitionSeen[] = [];

/** Neither a session nor a parameter that could speak of one: most requests, which need not wait a turn to find out. */
export function isPlain({ request }: Call, query: Query): boolean {
  return query.size === 0 && request.headers.get("starling-session") === null;
}

/** What the request's `Starling-Session` has seen, after this node has seen it too. Only what concerns `partition` is
 *  waited for (all of it when null); `r=node` waits for nothing. Throws 504 `session-not-met` with what is missing. */
export async function meetSession(
  api: Api,
  call: Call,
  query: Query,
  partition: (() => number) | null,
): Promise<readonly PartitionSeen[]> {
  const level = readLevel(query);
  const timeoutMs = timeoutOf(query);
  const token = call.request.headers.get("starling-session");
  if (token === null) return NOTHING;
  const seen = api.tokens.openSession(token);
  if (level === "node") return seen;
  const only = partition?.();
  const wanted = only === undefined ? seen : seen.filter((one) => one.partition === only);
  if (wanted.length === 0) return seen;
  const missing = await api.replica.waitFor(wanted, timeoutMs);
  if (missing.length === 0) return seen;
  throw new ProblemError(
    "session-not-met",
    `after ${timeoutMs} ms this node still lacks ${missing.length} partition(s) of what the session has seen: ask again, wait longer (timeoutMs), or ask the node that it last talked to`,
    {
      members: {
        missing: missing.map((one) => ({
          partition: one.partition,
          vector: JSON.parse(toJson(vectorView(one.vector))),
        })),
      },
    },
  );
}
