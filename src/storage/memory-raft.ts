import type { Saved } from "../consensus/core/core.ts";
import type { Snapshot } from "../consensus/core/log.ts";
import { present } from "../kernel/assert.ts";
import {
  afterCompact,
  afterGivingUp,
  afterSave,
  firstState,
  type RaftRecords,
  type RaftState,
  readRecords,
  sealEntry,
  sealSnapshot,
  sealState,
} from "./raft-records.ts";
import { cannotCreate, type RaftIdentity, type RaftLoad, type RaftSave, type RaftStore } from "./raft-store.ts";

/** What a memory store has made durable: a value, replaced as a whole with each write. */
export type RaftImage = RaftRecords;

export const NO_RAFT: RaftImage = { state: null, snapshot: null, entries: [] };

/** A member's durable state in memory, for simulations: a write is durable at once. */
export class MemoryRaftStore implements RaftStore {
  /** The durable state now; also after `close`. */
  image: RaftImage;
  #state: RaftState | null = null;

  constructor(image: RaftImage = NO_RAFT) {
    this.image = image;
  }

  async load(): Promise<RaftLoad> {
    if (this.image === NO_RAFT) return { kind: "nothing" };
    const { load, state } = readRecords(this.image);
    if (state && load.kind === "whole") this.#keep({ ...state, life: load.life, generation: state.generation + 1 });
    return load;
  }

  async create(identity: RaftIdentity, saved: Saved): Promise<void> {
    if (this.image !== NO_RAFT) throw cannotCreate(await this.load());
    await this.replace(identity, saved);
  }

  async replace(identity: RaftIdentity, saved: Saved): Promise<void> {
    const entries = saved.entries.map((entry) => [entry.index, sealEntry(entry)] as const);
    this.#keep(firstState(identity, saved, 0), { snapshot: saved.snapshot && sealSnapshot(saved.snapshot), entries });
  }

  async giveUp(reason: string): Promise<void> {
    this.#keep(afterGivingUp(present(this.#state, "it was loaded"), reason));
    this.#state = null;
  }

  async save(change: RaftSave): Promise<void> {
    const state = afterSave(present(this.#state, "it was loaded"), change);
    const first = change.entries[0]?.index ?? Number.POSITIVE_INFINITY;
    const kept = change.snapshot ? [] : this.image.entries.filter(([index]) => index < first);
    const entries = [...kept, ...change.entries.map((entry) => [entry.index, sealEntry(entry)] as const)];
    const snapshot = change.snapshot ? sealSnapshot(change.snapshot) : this.image.snapshot;
    this.#keep(state, { snapshot, entries });
  }

  async compact(snapshot: Snapshot): Promise<void> {
    const state = afterCompact(present(this.#state, "it was loaded"), snapshot);
    const entries = this.image.entries.filter(([index]) => index > snapshot.index);
    this.#keep(state, { snapshot: sealSnapshot(snapshot), entries });
  }

  async close(): Promise<void> {}

  #keep(state: RaftState, records: Omit<RaftRecords, "state"> = this.image): void {
    this.#state = state;
    this.image = { ...records, state: sealState(state) };
  }
}
