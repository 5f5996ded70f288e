// The naive truth outside the system: every acknowledged write, and exactly what it removed. It looks into disks only to
// excuse, exactly: a write whose last copy was on a disk that the schedule destroyed.

import type { Dot, DotKey, Entry, VersionVector } from "../../crdt/index.ts";
import { addedCells, dotKey, includes } from "../../crdt/index.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import type { Client, WorldNode } from "./partition-world.ts";

export interface Violation {
  readonly kind: string;
  readonly text: string;
}

interface Copies {
  readonly adds: Set<DotKey>;
  readonly removals: Set<Entry>;
}

const nameOf = (entry: Entry): string => `${entry.actor}:${entry.first}`;

export class Oracle {
  readonly violations: Violation[] = [];
  readonly writes: Entry[] = [];
  /** Writes that were acknowledged at level quorum. */
  readonly quorum: Set<Entry> = new Set();
  readonly #dots = new Map<DotKey, Entry>();
  readonly #removers = new Map<DotKey, Entry[]>();
  /** Dots that may be gone. */
  readonly #excused = new Set<DotKey>();
  /** Writes that nobody has any more: what they removed may be back. */
  readonly #lost = new Set<Entry>();
  /** write → nodes that held it and were destroyed since. */
  readonly #heldOnce = new Map<Entry, Set<number>>();
  /** Writes that some disk held and lost. */
  readonly #wentBack = new Set<Entry>();

  violation(kind: string, text: string): void {
    if (this.violations.length < 20) this.violations.push({ kind, text });
  }

  acknowledged(entry: Entry): void {
    this.writes.push(entry);
    for (const { dot } of addedCells(entry)) {
      if (this.#dots.has(dotKey(dot))) this.violation("dot with two values", dotKey(dot));
      this.#dots.set(dotKey(dot), entry);
    }
    for (const key of entry.removes.map(dotKey)) this.#removers.set(key, [...(this.#removers.get(key) ?? []), entry]);
  }

  // ---- excuses

  #held(node: WorldNode, entry: Entry): boolean {
    return includes(node.disk.state.vector, entry) || this.#heldOnce.get(entry)?.has(node.id) === true;
  }

  /** Where is each write now? An entry in a log is a copy while somebody's vector is still below it. A guest's is none
   *  once every owner has held the write: it may forget at any moment. What waits in memory counts only where the pool
   *  for a removed node promises to look. */
  #copies(nodes: readonly WorldNode[], owners: readonly number[], pooled: (actor: ActorId) => boolean): Copies {
    const copies: Copies = { adds: new Set(), removals: new Set() };
    const present = nodes.filter((n) => !n.gone);
    const ofOwners = present.filter((n) => owners.includes(n.id));
    for (const entry of this.writes) {
      const released = ofOwners.every((n) => this.#held(n, entry));
      const someoneBelow = ofOwners.some((n) => !includes(n.disk.state.vector, entry));
      for (const { disk } of released ? ofOwners : present) {
        const asEntry = disk.log.includes(entry) || (pooled(entry.actor) && disk.state.early.includes(entry));
        if (includes(disk.state.vector, entry) || asEntry) copies.removals.add(entry);
        const row = disk.row(entry.key);
        for (const key of addedCells(entry).map((cell) => dotKey(cell.dot)))
          if (row.cells.has(key) || (asEntry && someoneBelow)) copies.adds.add(key);
      }
    }
    return copies;
  }

  /** This node is about to lose what it held, by a fault or by right. */
  remember(node: WorldNode): void {
    for (const entry of this.writes)
      if (includes(node.disk.state.vector, entry))
        this.#heldOnce.set(entry, new Set(this.#heldOnce.get(entry)).add(node.id));
  }

  /** An entry left a log: that many other nodes must have held it. */
  forgotten(nodes: readonly WorldNode[], entry: Entry, node: WorldNode, needed: number): void {
    const holders = nodes.filter((n) => n !== node && (n.gone || this.#held(n, entry)));
    if (holders.length < needed) this.violation("forgotten too early", `${nameOf(entry)} at ${node.name}`);
  }

  /** Runs `destroy` on a node's disk and excuses what had its last copy there. */
  whileDestroying(
    nodes: readonly WorldNode[],
    node: WorldNode,
    owners: readonly number[],
    destroy: () => void,
    pooled: (actor: ActorId) => boolean = () => false,
  ): void {
    const before = this.#copies(nodes, owners, pooled);
    this.remember(node);
    for (const entry of this.writes) if (includes(node.disk.state.vector, entry)) this.#wentBack.add(entry);
    destroy();
    const after = this.#copies(nodes, owners, pooled);
    for (const key of before.adds) if (!after.adds.has(key)) this.#excused.add(key);
    for (const entry of before.removals) if (!after.removals.has(entry)) this.#lost.add(entry);
  }

  // ---- sessions

  /** A client with a token is shown `shown` at a place that knows `vector`. */
  shown(client: Client, key: string, shown: ReadonlyMap<DotKey, unknown>, vector: VersionVector): void {
    for (const dot of (client.seen.get(key) ?? []).map((seen: Dot) => dotKey(seen))) {
      if (shown.has(dot) || this.#excused.has(dot)) continue;
      const known = (this.#removers.get(dot) ?? []).some((entry) => includes(vector, entry));
      if (!known) this.violation("session", `${dot} was shown to ${client.name} before and is missing now`);
    }
    for (const dot of shown.keys())
      for (const entry of this.#removers.get(dot) ?? [])
        if (includes(client.token, entry) && !this.#lost.has(entry))
          this.violation("session", `${client.name} knew that ${dot} was removed and is shown it again`);
  }

  /** A disk that went back voids it. */
  quorumHas(entry: Entry): void {
    this.quorum.add(entry);
  }
  onQuorum(key: string): Entry[] {
    return [...this.quorum].filter((entry) => entry.key === key);
  }
  quorumShown(due: readonly Entry[], shown: ReadonlyMap<DotKey, unknown>, vector: VersionVector): void {
    for (const entry of due) {
      const shows = addedCells(entry).every(({ dot }) => shown.has(dotKey(dot)));
      if (!includes(vector, entry) && !this.#wentBack.has(entry) && !shows)
        this.violation("quorum", `${nameOf(entry)} was on a quorum; a quorum read misses it`);
    }
  }

  // ---- at the end

  /** After healing and settling, every owner shows exactly the values that no write named. */
  judge(nodes: readonly WorldNode[], owners: readonly number[]): void {
    const all = nodes.filter((n) => owners.includes(n.id));
    for (const n of all) {
      const { state, log, rows, damaged } = n.disk;
      if (all.some((other) => !state.vector.equals(other.disk.state.vector))) this.violation("stuck vector", n.name);
      if (damaged.size > 0) this.violation("damage that never heals", n.name);
      this.#judgeRows(n);
      for (const other of all) this.#sameAs(n, other);
      for (const entry of log)
        if (!n.disk.mayCut(entry, n.id, owners))
          this.violation("log that can never be cut", `${nameOf(entry)} at ${n.name}`);
      for (const [key, row] of rows)
        if (row.stubs.size > 0) this.violation("stub that never goes", `${key} at ${n.name}`);
    }
    for (const n of nodes)
      if (!n.gone && !owners.includes(n.id) && n.disk.state.vector.size > 0)
        this.violation("guest that never forgets", n.name);
  }

  #judgeRows(n: WorldNode): void {
    for (const [dot, { key }] of this.#dots) {
      const live = n.disk.row(key).cells.has(dot);
      const removers = this.#removers.get(dot) ?? [];
      if (live && removers.some((entry) => !this.#lost.has(entry)))
        this.violation("resurrected", `${dot} at ${n.name}`);
      if (!live && removers.length === 0 && !this.#excused.has(dot))
        this.violation("lost write", `${dot} at ${n.name}`);
    }
    for (const row of n.disk.rows.values())
      for (const { dot } of row.cells.values())
        if (!n.disk.state.vector.covers(dot))
          this.violation("live dot above the vector (I8)", `${dotKey(dot)} at ${n.name}`);
  }

  #sameAs(a: WorldNode, b: WorldNode): void {
    const dots = ({ disk }: WorldNode): string =>
      [...disk.rows.values()]
        .flatMap((row) => [...row.cells.keys()])
        .sort()
        .join();
    const equalSums = a.disk.digests.join() === b.disk.digests.join();
    if (!equalSums) this.violation("digest mismatch that never ends", `${a.name} and ${b.name}`);
    else if (dots(a) !== dots(b)) this.violation("divergence with equal digests", `${a.name} and ${b.name}`);
  }
}
