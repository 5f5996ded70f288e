import type { DotKey } from "../../../crdt/index.ts";
import { lastSeq } from "../../../crdt/index.ts";
import { toHex } from "../../../src/kernel/bytes.ts";
import type { Written } from "./disk-state.ts";
import type { History, Violations, WriteAttempt } from "./history.ts";
import { keyId } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import { changesNothing, removesOf, sameSet, without } from "./naive.ts";

/** Each attempt against the entry that came of it: acknowledged means durable before, and names exactly what it may;
 *  refused means that nothing happened; nothing is carried out twice, and nobody else wrote. */
export function checkWrites(history: History, ledger: Ledger, violations: Violations): void {
  const known = new Set(history.writes.map(({ tag }) => tag));
  for (const [tag, entries] of ledger.byTag)
    if (!known.has(tag)) violations.add("written by clients", `${entries[0]?.name} says ${JSON.stringify(tag)}`);
  for (const attempt of history.writes) {
    const entries = ledger.byTag.get(attempt.tag) ?? [];
    const [entry] = entries;
    if (entries.length > 1) violations.add("written once", `${attempt.tag}: ${entries.map(({ name }) => name)}`);
    if (attempt.outcome === "refused" && entry)
      violations.add("refused is undone", `${attempt.tag} was refused (${attempt.answer}) and is ${entry.name}`);
    if (entry) checkEntry(attempt, entry, ledger, violations);
    if (attempt.outcome === "acknowledged") checkAcknowledged(attempt, entry, ledger, violations);
  }
}

/** What a writer saw: null for a blind write, undefined when its context was too large to tell. */
function sawOf({ context }: WriteAttempt): ReadonlySet<DotKey> | null | undefined {
  if (context === null) return null;
  return context.dots ?? undefined;
}

function checkEntry(attempt: WriteAttempt, written: Written, ledger: Ledger, violations: Violations): void {
  const { entry, here } = written;
  if (keyId(attempt.key) !== keyId(entry) || attempt.node !== written.node)
    violations.add("written by clients", `${attempt.tag} became ${written.name}: another key or node`);
  const saw = sawOf(attempt);
  if (saw === undefined) return;
  const live = ledger.liveOf(here);
  const named = written.removes;
  const expected = removesOf(attempt.ops, live, saw, entry.actor);
  if (expected === null) {
    const might = new Set([...live.keys(), ...(saw ?? [])]);
    for (const dot of without(named, might))
      violations.add("names what it saw", `${attempt.tag} (${written.name}) removes ${dot}, which nobody saw`);
  } else if (!sameSet(named, expected)) {
    const lists = `${[...named]} instead of ${[...expected]}`;
    violations.add("names what it saw", `${attempt.tag} (${written.name}) removes ${lists}`);
  }
}

function checkAcknowledged(
  attempt: WriteAttempt,
  written: Written | undefined,
  ledger: Ledger,
  violations: Violations,
): void {
  const { reply, tag } = attempt;
  if (!reply) return;
  if (!written) {
    checkNothingToDo(attempt, ledger, violations);
    return;
  }
  if (written.atMs > reply.doneMs)
    violations.add(
      "durable before visible",
      `${tag} was acknowledged at ${reply.doneMs}, and durable at ${written.atMs} (${written.name})`,
    );
  const vector = reply.session?.find(({ partition }) => partition === written.partition)?.vector;
  if (reply.session && (vector?.seq(written.entry.actor) ?? 0) < lastSeq(written.entry))
    violations.add("session", `the token of ${tag} does not cover ${written.name}`);
  if (reply.dots && !sameSet(reply.dots, new Set(ledger.liveAfter(written).keys())))
    violations.add("reply is exact", `${tag} (${written.name}) answered with ${[...reply.dots]}`);
}

/** An acknowledged request without an entry: there must have been nothing to change at some moment. */
function checkNothingToDo(attempt: WriteAttempt, ledger: Ledger, violations: Violations): void {
  const { tag, node, key, ops, sentMs, reply } = attempt;
  const saw = sawOf(attempt);
  if (!reply || saw === undefined) return;
  const states = ledger.statesOf(node, keyId(key), sentMs, reply.doneMs);
  if (!states.some(({ live }) => changesNothing(ops, live, saw)))
    violations.add(
      "acknowledged is durable",
      `${tag}: ${opsText(ops)} of ${keyId(key)} was acknowledged by ${node} and is in no log; there was ${states.map(({ live }) => `[${[...live.keys()]}]`)}, it saw ${saw && [...saw]}`,
    );
}

/** For people. */
function opsText(ops: WriteAttempt["ops"]): string {
  const text = (value: unknown): unknown =>
    typeof value === "bigint" ? String(value) : value instanceof Uint8Array ? toHex(value) : value;
  return JSON.stringify(ops, (_, value: unknown) => text(value));
}
