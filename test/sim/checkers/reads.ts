import { dotKey, parseDotKey } from "../../../crdt/index.ts";
import type { RowState } from "./disk-state.ts";
import type { History, Seen, Violations } from "./history.ts";
import { keyId } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import { sameSet } from "./naive.ts";

/** A store shows a commit a little before its process is told of it. */
const NOTICE_MS = 1;

/** What a read showed must have been on its node's disk at some moment between request and answer, and its session
 *  token must cover it. */
export function checkReads(history: History, ledger: Ledger, violations: Violations): void {
  for (const { reply, client } of history.reads) {
    const what = `${client}'s read of ${keyId(reply.key)} at ${reply.node}, ${reply.sentMs}–${reply.doneMs} ms`;
    if (reply.dots && !stateShown(reply, ledger))
      violations.add("reads are durable", `${what}: showed ${[...reply.dots]}`);
    if (!reply.dots || !reply.session) continue;
    const [any] = ledger.byKey.get(keyId(reply.key)) ?? [];
    const vector = reply.session.find(({ partition }) => partition === any?.partition)?.vector;
    for (const dot of [...reply.dots].map(parseDotKey))
      if (!vector?.covers(dot))
        violations.add("session", `${what}: its token does not cover ${dotKey(dot)}, which it showed`);
  }
}

/** The moment that an answer showed. */
export function stateShown({ node, key, sentMs, doneMs, dots }: Seen, ledger: Ledger): RowState | undefined {
  if (!dots) return undefined;
  return ledger
    .statesOf(node, keyId(key), sentMs, doneMs + NOTICE_MS)
    .find(({ live }) => sameSet(new Set(live.keys()), dots));
}
