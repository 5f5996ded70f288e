import type { HardState, Saved } from "../../src/consensus/core/core.ts";
import type { Entry } from "../../src/consensus/core/log.ts";
import type { Ready } from "../../src/consensus/core/raft.ts";

/** A node's log as it showed itself: what it began with, and what its batches said since. */
export class Mirror {
  #first: number;
  #baseTerm: number;
  #entries: Entry[];
  hardState: HardState;
  /** The index of the last change of the group that was applied; -1 while that is not known. */
  lastChange = 0;

  constructor({ hardState, snapshot, entries }: Saved) {
    this.#first = (snapshot?.index ?? 0) + 1;
    this.#baseTerm = snapshot?.term ?? 0;
    this.#entries = [...entries];
    this.hardState = hardState;
  }

  get baseIndex(): number {
    return this.#first - 1;
  }

  get lastIndex(): number {
    return this.#first + this.#entries.length - 1;
  }

  entry(index: number): Entry | undefined {
    return this.#entries[index - this.#first];
  }

  termAt(index: number): number | undefined {
    return index === this.baseIndex ? this.#baseTerm : this.entry(index)?.term;
  }

  /** Returns entries that are no longer there, replaced by others. */
  take({ snapshot, entries, hardState }: Ready): readonly Entry[] {
    if (hardState) this.hardState = hardState;
    if (snapshot) {
      this.#first = snapshot.index + 1;
      this.#baseTerm = snapshot.term;
      this.#entries = [];
    }
    const [next] = entries;
    if (!next) return [];
    const before = this.#entries.splice(next.index - this.#first);
    this.#entries.push(...entries);
    return before.filter((entry) => !isSame(entry, this.entry(entry.index)));
  }
}

/** Entries travel by reference here; the terms say most where they don't. */
export function isSame(a: Entry, b: Entry | undefined): boolean {
  return a === b || (b !== undefined && a.term === b.term && a.index === b.index && textOf(a) === textOf(b));
}

function textOf({ payload }: Entry): string {
  return payload.kind === "nothing" ? "" : JSON.stringify(payload);
}
