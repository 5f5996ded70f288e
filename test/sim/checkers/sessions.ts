import type { DotKey, VersionVector } from "../../../crdt/index.ts";
import { lastSeq } from "../../../crdt/index.ts";
import type { PartitionSeen } from "../../../src/replication/api.ts";
import type { Written } from "./disk-state.ts";
import type { History, KeyId, Violations } from "./history.ts";
import { keyId } from "./history.ts";
import type { Ledger } from "./ledger.ts";

/** Read-your-writes and monotonic reads by the tokens themselves: what a token covers is shown, or was removed by a
 *  write that the answer's token covers; what a token knew as removed is not shown again. Writes that carry a token come
 *  after all that it covers. */
export function checkSessions(history: History, ledger: Ledger, violations: Violations): void {
  for (const { client, level, session, reply } of history.reads) {
    if (level !== "session" || !session || !reply.dots) continue;
    const id = keyId(reply.key);
    const what = `${client} at ${reply.node}, ${reply.doneMs} ms, ${id}`;
    const known = coveredBy(session, id, ledger);
    const shown = reply.session ? coveredBy(reply.session, id, ledger) : everAt(reply.node, id, ledger);
    for (const write of known) {
      const missing = [...write.cells.keys()].filter((dot) => !reply.dots?.has(dot) && !isRemoved(dot, shown));
      if (missing.length > 0) violations.add("session", `${what}: ${write.name} was seen before and is missing`);
    }
    for (const dot of reply.dots)
      if (isRemoved(dot, known)) violations.add("session", `${what}: ${dot} was known as removed and is shown again`);
    if (reply.session && !reaches(reply.session, session))
      violations.add("session", `${what}: the token forgot what it covered`);
  }
  for (const { tag, session, key } of history.writes) {
    const [write] = ledger.byTag.get(tag) ?? [];
    if (!write || !session) continue;
    for (const earlier of coveredBy(session, keyId(key), ledger))
      if (earlier !== write && !write.here.has(earlier))
        violations.add("session", `${tag} came after ${earlier.name} in its session, and did not see it`);
  }
}

/** What an answer covers whose token did not fit. */
function everAt(node: string, id: KeyId, ledger: Ledger): Written[] {
  return (ledger.byKey.get(id) ?? []).filter((write) => write.everAt.has(node));
}

function coveredBy(session: readonly PartitionSeen[], id: KeyId, ledger: Ledger): Written[] {
  const writes = ledger.byKey.get(id) ?? [];
  const vector = writes[0] && vectorOf(session, writes[0].partition);
  return vector ? writes.filter(({ entry }) => vector.seq(entry.actor) >= lastSeq(entry)) : [];
}

function vectorOf(session: readonly PartitionSeen[], partition: number): VersionVector | undefined {
  return session.find((seen) => seen.partition === partition)?.vector;
}

function isRemoved(dot: DotKey, by: readonly Written[]): boolean {
  return by.some(({ removes }) => removes.has(dot));
}

function reaches(now: readonly PartitionSeen[], before: readonly PartitionSeen[]): boolean {
  return before.every(({ partition, vector }) => vectorOf(now, partition)?.reaches(vector) ?? vector.size === 0);
}
