import type { Op } from "../../../crdt/index.ts";
import { decodeElement, lastSeq } from "../../../crdt/index.ts";
import type { RecordedRequest } from "../../../crdt/replicas.test-kit.ts";
import { fromHex, fromUtf8 } from "../../../src/kernel/bytes.ts";
import { NaiveTwin } from "../../property/twin.ts";
import type { Written } from "./disk-state.ts";
import type { FinalNode } from "./final.ts";
import type { History, KeyId, Violations, WriteAttempt } from "./history.ts";
import { keyId } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import { liveCells, sameSet } from "./naive.ts";
import { stateShown } from "./reads.ts";

/** What each type makes of concurrent writes, against a twin that keeps every request with what its writer had seen. */
export function checkValues(
  nodes: readonly FinalNode[],
  history: History,
  ledger: Ledger,
  violations: Violations,
): void {
  const [first] = nodes;
  if (!first) return;
  const attempts = new Map(history.writes.map((attempt) => [attempt.tag, attempt]));
  const twin = new NaiveTwin();
  const ids = new Map([...ledger.written.values()].map((write, id) => [write, id]));
  const idsOf = (writes: Iterable<Written>): Set<number> => {
    const found = new Set<number>();
    for (const write of writes) found.add(ids.get(write) ?? -1);
    return found;
  };
  const untold = new Set<KeyId>();
  for (const [write, id] of ids) {
    const attempt = attempts.get(write.entry.stamp.reason ?? "");
    const saw = attempt && sawBy(attempt, ledger);
    if (!attempt || saw === undefined) {
      untold.add(keyId(write.key)); // a context that was too large to tell
      twin.record({ id, actor: write.entry.actor, key: "", ops: [], here: new Set(), saw: null });
      continue;
    }
    const request: RecordedRequest = {
      id,
      actor: write.entry.actor,
      key: keyId(write.key),
      ops: attempt.ops,
      here: idsOf(write.here),
      saw: saw && idsOf(saw),
    };
    twin.record(request);
  }
  for (const [id, explained] of first.explained) {
    if (untold.has(id)) continue;
    const kept = (ledger.byKey.get(id) ?? []).filter((write) => isKept(write, explained.vector));
    const lines = twin.show(id, idsOf(kept));
    const expected = expectedOf(lines);
    for (const node of nodes) {
      const shown = node.explained.get(id)?.shown ?? null;
      if (expected !== "conflict" && !sameValue(expected, shown))
        violations.add(
          "types",
          `${id} shows ${JSON.stringify(shown)} at ${node.name}; the twin says ${lines || "absent"}`,
        );
    }
  }
}

function isKept({ entry }: Written, vector: Readonly<Record<string, number>>): boolean {
  return (vector[entry.actor] ?? 0) >= lastSeq(entry);
}

/** The writes that the context's reader had seen; null for a blind write, undefined when that can't be told. */
function sawBy({ context }: WriteAttempt, ledger: Ledger): Iterable<Written> | null | undefined {
  if (context === null) return null;
  if (context.dots === null) return undefined;
  if (context.dots.size === 0) return [];
  const state = stateShown(context, ledger);
  if (state) return state.applied;
  // A write's answer shows the moment after it, which a batch may have hidden from the disk.
  const id = keyId(context.key);
  return (ledger.byKey.get(id) ?? [])
    .map((write) => [...write.here, write])
    .find((writes) => context.dots && sameSet(new Set(liveCells(writes).keys()), context.dots));
}

// ---- the twin's lines as JSON

interface Line {
  readonly path: readonly string[];
  readonly type: string;
  readonly text: string;
}

function linesOf(text: string): Line[] {
  if (text === "") return [];
  return text.split("\n").map((line) => {
    const at = line.indexOf("] ") + 1;
    const [type = "", ...rest] = line.slice(at + 1).split(" ");
    return { path: JSON.parse(line.slice(0, at)) as string[], type, text: rest.join(" ") };
  });
}

/** The JSON that shows; null for an absent key; "conflict" where a policy chooses. */
export function expectedOf(text: string): unknown {
  const lines = linesOf(text);
  return lines.length === 0 ? null : shownAt(lines, 0);
}

function shownAt(lines: readonly Line[], depth: number): unknown {
  const below = lines.filter(({ path }) => path.length > depth);
  const here = lines.filter(({ path }) => path.length === depth);
  if (here.length + (below.length > 0 ? 1 : 0) > 1) return "conflict";
  const [only] = here;
  if (only) return slotValue(only);
  const fields = new Map<string, Line[]>();
  for (const line of below) {
    const name = line.path[depth] ?? "";
    fields.set(name, [...(fields.get(name) ?? []), line]);
  }
  const shown = [...fields].map(([name, inside]) => [name, shownAt(inside, depth + 1)] as const);
  return shown.some(([, value]) => value === "conflict") ? "conflict" : Object.fromEntries(shown);
}

function slotValue({ type, text }: Line): unknown {
  switch (type) {
    case "counter":
      return Number(text);
    case "flag":
      return true;
    case "set":
      return text.split(" ").map((hex) => decodeElement(fromHex(hex)));
    default: {
      const values = text.split(" ");
      if (values.length > 1) return "conflict";
      return JSON.parse(fromUtf8(fromHex(text.slice(text.indexOf(":") + 1))));
    }
  }
}

/** Sets in any order, objects likewise: their canonical order is tested elsewhere. */
export function sameValue(a: unknown, b: unknown): boolean {
  return JSON.stringify(ordered(a)) === JSON.stringify(ordered(b));
}

function ordered(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ordered).sort();
  if (typeof value !== "object" || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, inside]) => [name, ordered(inside)]);
}

// ---- from histories alone

/** Counters that are only counted, and sets that are only added to: their sums and elements follow from what was
 *  acknowledged; what was not answered, or was lost with a disk, counts or doesn't. */
export function checkSums(
  nodes: readonly FinalNode[],
  history: History,
  isLost: (tag: string) => boolean,
  violations: Violations,
): void {
  const byKey = new Map<KeyId, WriteAttempt[]>();
  for (const attempt of history.writes) {
    const id = keyId(attempt.key);
    byKey.set(id, [...(byKey.get(id) ?? []), attempt]);
  }
  for (const [id, attempts] of byKey) {
    const kinds = new Set(attempts.flatMap(({ ops }) => ops.map(kindOf)));
    if (kinds.size !== 1) continue;
    const sure = attempts.filter(({ outcome, tag }) => outcome === "acknowledged" && !isLost(tag));
    const unsure = attempts.filter(({ outcome, tag }) => outcome === "unknown" || outcome === "pending" || isLost(tag));
    for (const node of nodes) {
      const shown = node.explained.get(id)?.shown ?? null;
      if (kinds.has("increment")) checkSum(id, node.name, shown, sure, unsure, violations);
      if (kinds.has("add")) checkElements(id, node.name, shown, sure, [...sure, ...unsure], violations);
    }
  }
}

function kindOf(op: Op): string {
  return "removeAll" in op || op.path.length > 0 ? "other" : op.slot.op;
}

function checkSum(
  id: KeyId,
  node: string,
  shown: unknown,
  sure: readonly WriteAttempt[],
  unsure: readonly WriteAttempt[],
  violations: Violations,
): void {
  const by = unsure.flatMap(stepsOf);
  const sum = sure.flatMap(stepsOf).reduce((a, b) => a + b, 0);
  const least = sum + by.filter((step) => step < 0).reduce((a, b) => a + b, 0);
  const most = sum + by.filter((step) => step > 0).reduce((a, b) => a + b, 0);
  const value = shown === null ? 0 : Number(shown);
  if (!(value >= least && value <= most))
    violations.add(
      "counters",
      `${id} is ${value} at ${node}; acknowledged ${sum}, with the unanswered ${least} to ${most}`,
    );
}

function stepsOf({ ops }: WriteAttempt): number[] {
  return ops.map((op) => ("slot" in op && op.slot.op === "increment" ? Number(op.slot.by) : 0));
}

function checkElements(
  id: KeyId,
  node: string,
  shown: unknown,
  sure: readonly WriteAttempt[],
  possible: readonly WriteAttempt[],
  violations: Violations,
): void {
  const elements = new Set<unknown>(Array.isArray(shown) ? shown : []);
  for (const { tag, ops } of sure)
    for (const element of elementsOf(ops))
      if (!elements.has(element)) violations.add("sets", `${id} at ${node} lacks ${element}, which ${tag} added`);
  const added = new Set(possible.flatMap(({ ops }) => elementsOf(ops)));
  for (const element of elements)
    if (!added.has(element)) violations.add("sets", `${id} at ${node} has ${String(element)}, which nobody added`);
}

function elementsOf(ops: readonly Op[]): unknown[] {
  return ops.flatMap((op) => ("slot" in op && op.slot.op === "add" ? op.slot.elements.map(decodeElement) : []));
}
