import type { DotKey } from "../../../crdt/index.ts";
import { dotKey, lastSeq, VersionVector } from "../../../crdt/index.ts";
import type { ActorId } from "../../../src/kernel/ids.ts";
import type { Written } from "./disk-state.ts";
import type { KeyId, Violations } from "./history.ts";
import type { Ledger } from "./ledger.ts";
import { conflictDots, liveCells, without } from "./naive.ts";

/** `GET /v1/explain/{bucket}/{key}`, as far as it is looked at. */
export interface Explained {
  readonly partition: number;
  readonly shown: unknown;
  readonly type: string | null;
  readonly conflict: string | null;
  readonly dots: readonly {
    readonly dot: string;
    readonly path?: string[];
    readonly type: string;
    readonly value?: unknown;
  }[];
  readonly removedBeforeTheyCame: number;
  readonly vector: Readonly<Record<string, number>>;
}

/** What a node says of everything when all has settled, over HTTP. */
export interface FinalNode {
  readonly name: string;
  readonly digest: string;
  readonly records: number;
  readonly earlyEntries: number;
  readonly queuedWrites: number;
  readonly explained: ReadonlyMap<KeyId, Explained>;
  /** `GET /v1/conflicts`: key → id. */
  readonly conflicts: ReadonlyMap<KeyId, string>;
  /** `GET /v1/kv/{bucket}?values`: key → value. */
  readonly listed: ReadonlyMap<KeyId, { readonly value: unknown; readonly conflict: string | null }>;
}

/** After faults ended and all settled: every node shows exactly the values that no write named, and the same. */
export function checkFinal(nodes: readonly FinalNode[], ledger: Ledger, violations: Violations): void {
  const [first, ...others] = nodes;
  if (!first) return;
  for (const node of others) {
    if (node.digest !== first.digest || node.records !== first.records)
      violations.add("convergence", `${first.name} and ${node.name} differ in digest or records`);
    checkSame(first, node, violations);
  }
  const kept = new Map(
    [...first.explained].map(([id, explained]) => [id, keptWrites(id, explained, ledger, violations)]),
  );
  for (const node of nodes) {
    checkQuiet(node, ledger.orphans(), violations);
    checkNode(node, kept, violations);
  }
}

/** The writes that are there to stay. One that is not, though its node had it durable, must have had its last copy on a
 *  disk that went back. */
function keptWrites(id: KeyId, { vector }: Explained, ledger: Ledger, violations: Violations): Written[] {
  const known = new VersionVector(Object.entries(vector) as [ActorId, number][]);
  const all = ledger.byKey.get(id) ?? [];
  const kept = all.filter(({ entry }) => known.seq(entry.actor) >= lastSeq(entry));
  for (const write of without(all, new Set(kept)))
    if (!write.lost)
      violations.add("acknowledged is kept", `${write.name} (${write.entry.stamp.reason}) of ${id} is gone everywhere`);
  return kept;
}

function checkQuiet({ name, earlyEntries, queuedWrites }: FinalNode, orphans: number, violations: Violations): void {
  if (earlyEntries > orphans || queuedWrites > 0)
    violations.add("quiet", `${name} holds ${earlyEntries} early entries, ${queuedWrites} queued writes`);
}

function checkNode(node: FinalNode, kept: ReadonlyMap<KeyId, readonly Written[]>, violations: Violations): void {
  let records = 0;
  for (const [id, writes] of kept) {
    const expected = liveCells(writes);
    if (expected.size > 0) records += 1;
    const explained = node.explained.get(id);
    const shown = new Set((explained?.dots ?? []).map(({ dot }) => dot as DotKey));
    for (const dot of without(expected.keys(), shown))
      violations.add("acknowledged is kept", `${id} at ${node.name} lacks ${dot}, which nobody removed`);
    for (const dot of without(shown, new Set(expected.keys())))
      violations.add("nothing is resurrected", `${id} at ${node.name} shows ${dot}: ${whyGone(dot, writes)}`);
    checkMarks(node, id, conflictDots(expected).size > 0, expected.size > 0, violations);
    checkStubs(node, id, writes, violations);
  }
  if (node.records !== records)
    violations.add("records are counted", `${node.name} counts ${node.records} records; there are ${records}`);
}

/** The conflict index and the listing are facts of the rows. */
function checkMarks(node: FinalNode, id: KeyId, isConflict: boolean, isThere: boolean, violations: Violations): void {
  const listed = node.listed.get(id);
  const marks = [node.explained.get(id)?.conflict ?? null, node.conflicts.get(id) ?? null, listed?.conflict ?? null];
  if (new Set(marks).size > 1 || (marks[0] !== null) !== isConflict)
    violations.add(
      "conflicts are listed",
      `${id} at ${node.name}: ${marks}; it is ${isConflict ? "a" : "no"} conflict`,
    );
  if ((listed !== undefined) !== isThere)
    violations.add("records are listed", `${id} at ${node.name} is ${isThere ? "not " : ""}listed`);
}

/** A stub may stay only for a dot whose entry is lost for good. */
function checkStubs(node: FinalNode, id: KeyId, writes: readonly Written[], violations: Violations): void {
  const stubs = node.explained.get(id)?.removedBeforeTheyCame ?? 0;
  const vector = node.explained.get(id)?.vector ?? {};
  const forEver = new Set<string>();
  for (const { entry } of writes)
    for (const dot of entry.removes) if ((vector[dot.actor] ?? 0) < dot.seq) forEver.add(dotKey(dot));
  if (stubs !== forEver.size) violations.add("stubs go", `${id} at ${node.name} has ${stubs} stubs`);
}

function whyGone(dot: string, writes: readonly Written[]): string {
  const removers = writes.filter(({ removes }) => removes.has(dot as DotKey));
  return removers.length > 0 ? `removed by ${removers.map(({ name }) => name)}` : "nobody wrote it";
}

function checkSame(a: FinalNode, b: FinalNode, violations: Violations): void {
  for (const [id, left] of a.explained) {
    const right = b.explained.get(id);
    if (JSON.stringify(left.shown) !== JSON.stringify(right?.shown))
      violations.add(
        "convergence",
        `${id} shows ${JSON.stringify(left.shown)} at ${a.name} and ${JSON.stringify(right?.shown)} at ${b.name}`,
      );
    if (left.conflict !== right?.conflict)
      violations.add("conflict ids", `${id}: ${left.conflict} at ${a.name}, ${right?.conflict} at ${b.name}`);
    const listed = [a.listed.get(id), b.listed.get(id)].map((item) => JSON.stringify(item?.value));
    if (listed[0] !== listed[1]) violations.add("convergence", `${id} is listed as ${listed}`);
  }
}
