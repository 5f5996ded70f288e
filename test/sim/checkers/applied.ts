import type { Cell, DotKey } from "../../../crdt/index.ts";
import type { Written } from "./disk-state.ts";
import type { KeyId } from "./history.ts";
import { liveCells } from "./naive.ts";

/** Which writes of a key are applied somewhere: each such set once, for all disks that have applied the same. A set is
 *  named by a bit for each of its writes, at the write's index. */
export class AppliedSets {
  readonly #writesOf: (id: KeyId) => readonly Written[];
  readonly #sets = new Map<KeyId, Map<bigint, ReadonlySet<Written>>>();
  readonly #live = new WeakMap<ReadonlySet<Written>, ReadonlyMap<DotKey, Cell>>();

  constructor(writesOf: (id: KeyId) => readonly Written[]) {
    this.#writesOf = writesOf;
  }

  of(id: KeyId, bits: bigint): ReadonlySet<Written> {
    let sets = this.#sets.get(id);
    if (!sets) {
      sets = new Map();
      this.#sets.set(id, sets);
    }
    let applied = sets.get(bits);
    if (!applied) {
      applied = new Set(this.#writesOf(id).filter((write) => (bits & bitOf(write)) !== 0n));
      sets.set(bits, applied);
    }
    return applied;
  }

  /** Worked out from all its entries; once for each set. */
  liveOf(applied: ReadonlySet<Written>): ReadonlyMap<DotKey, Cell> {
    let live = this.#live.get(applied);
    if (!live) {
      live = liveCells(applied);
      this.#live.set(applied, live);
    }
    return live;
  }
}

export function bitOf({ index }: Pick<Written, "index">): bigint {
  return 1n << BigInt(index);
}
