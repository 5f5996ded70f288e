import type { HardState, Saved } from "../../src/consensus/core/core.ts";
import type { Entry, Snapshot } from "../../src/consensus/core/log.ts";
import type { Ready } from "../../src/consensus/core/raft.ts";
import { assert } from "../../src/kernel/assert.ts";
import type { Rng } from "../../src/kernel/rng.ts";

type Write =
  | { readonly kind: "install" | "compact"; readonly snapshot: Snapshot }
  | { readonly kind: "entry"; readonly entry: Entry }
  | { readonly kind: "state"; readonly state: HardState };

/** A disk that has what was synced; of what was written since, a crash keeps the first writes or none. */
export class Disk {
  #state: HardState;
  #snapshot: Snapshot | null;
  #entries: Entry[];
  #pending: { readonly write: Write; readonly batch: number }[] = [];
  #batch = 0;

  constructor({ hardState, snapshot, entries }: Saved) {
    this.#state = hardState;
    this.#snapshot = snapshot;
    this.#entries = [...entries];
  }

  /** What is durable. */
  get saved(): Saved {
    return { hardState: this.#state, snapshot: this.#snapshot, entries: [...this.#entries] };
  }

  get hardState(): HardState {
    return this.#state;
  }

  get lastIndex(): number {
    return this.#snapshotIndex + this.#entries.length;
  }

  get #snapshotIndex(): number {
    return this.#snapshot?.index ?? 0;
  }

  /** In the order that Ready asks for: what hard state says of the log must be there before it.
   *  Returns true when somebody waits for the sync. */
  write({ snapshot, entries, hardState }: Ready): boolean {
    const isPromise =
      hardState !== null && (hardState.term !== this.#newest.term || hardState.vote !== this.#newest.vote);
    this.#batch += 1;
    if (snapshot) this.#push({ kind: "install", snapshot });
    for (const entry of entries) this.#push({ kind: "entry", entry });
    if (hardState) this.#push({ kind: "state", state: hardState });
    return snapshot !== null || entries.length > 0 || isPromise;
  }

  compact(snapshot: Snapshot): void {
    this.#batch += 1;
    this.#push({ kind: "compact", snapshot });
  }

  get hasPending(): boolean {
    return this.#pending.length > 0;
  }

  /** What a sync that begins now will have made durable when it ends. */
  get pending(): number {
    return this.#pending.length;
  }

  sync(count: number): void {
    for (const { write } of this.#pending.splice(0, count)) this.#perform(write);
  }

  /** @param isTorn a crash may also part the writes of one batch */
  crash(rng: Rng, keeps: boolean, isTorn: boolean): void {
    let kept = keeps ? rng.below(this.#pending.length + 1) : 0;
    const isSplit = (): boolean => kept > 0 && this.#pending[kept - 1]?.batch === this.#pending[kept]?.batch;
    while (!isTorn && isSplit()) kept -= 1;
    this.sync(kept);
    this.#pending = [];
  }

  /** The log's end is gone, and with it something that is known to be committed. Returns false where nothing can be. */
  loseEnd(rng: Rng): boolean {
    const committed = Math.min(this.#state.committed, this.lastIndex);
    const spare = committed - this.#snapshotIndex;
    if (spare <= 0) return false;
    this.#entries.length = rng.below(spare);
    return true;
  }

  get #newest(): HardState {
    const last = this.#pending.findLast(({ write }) => write.kind === "state")?.write;
    return last?.kind === "state" ? last.state : this.#state;
  }

  #push(write: Write): void {
    this.#pending.push({ write, batch: this.#batch });
  }

  #perform(write: Write): void {
    if (write.kind === "state") this.#state = write.state;
    else if (write.kind === "entry") {
      const at = write.entry.index - this.#snapshotIndex - 1;
      assert(at >= 0 && at <= this.#entries.length, "a log on disk has no gaps");
      this.#entries.length = at;
      this.#entries.push(write.entry);
    } else {
      const { index } = write.snapshot;
      this.#entries = write.kind === "install" ? [] : this.#entries.slice(Math.max(0, index - this.#snapshotIndex));
      this.#snapshot = write.snapshot;
    }
  }
}
