import { NOTHING_SAVED, type Saved } from "../consensus/core/core.ts";
import type { Entry, SavedGroup, Snapshot } from "../consensus/core/log.ts";
import { utf8 } from "../kernel/bytes.ts";
import type { RaftIdentity, RaftLoad, RaftSave, RaftStore } from "./raft-store.ts";

/** A kind of Raft store and the means to look at it from outside. */
export interface RaftSubject {
  /** The name of a data directory that nobody has used. */
  newDir(): Promise<string>;
  open(dataDir: string): Promise<RaftStore>;
  /** A directory with what a crash would leave at this moment, also while the store is open and writes. */
  crashed(dataDir: string): Promise<string>;
  /** The records of a closed store, with how many bytes each has. */
  records(dataDir: string): Promise<readonly { readonly name: string; readonly bytes: number }[]>;
  /** Changes one byte of a record of a closed store, or takes the record out. Called again it undoes a change. */
  damage(dataDir: string, record: string, how: { readonly flip: number } | "remove"): Promise<void>;
}

export const IDENTITY: RaftIdentity = { cluster: "c-1", node: "n1", instance: "0123456789abcdef".repeat(2) };
const GROUP: SavedGroup = {
  incoming: ["n1", "n2", "n3"],
  outgoing: ["n1", "n2", "n4"],
  learners: ["n5"],
  learnersNext: ["n4"],
  autoLeave: true,
};

export function entryOf(index: number, term: number, data: string | Uint8Array = `entry ${index}.${term}`): Entry {
  return { index, term, payload: { kind: "command", data: typeof data === "string" ? utf8(data) : data } };
}

export const entriesOf = (first: number, last: number, term: number): Entry[] =>
  Array.from({ length: last - first + 1 }, (_, i) => entryOf(first + i, term));

export const snapshotOf = (index: number, term: number): Snapshot => ({
  index,
  term,
  group: GROUP,
  data: utf8(`the state after ${index}`),
});

export function saveOf(change: Partial<RaftSave>): RaftSave {
  return { hardState: null, snapshot: null, entries: [], ...change };
}

export const stateOf = (term: number, committed: number, vote: string | null = null) => ({ term, vote, committed });

export async function wholeOf(store: RaftStore): Promise<Saved> {
  const load = await store.load();
  if (load.kind !== "whole") throw new Error(`not whole: ${JSON.stringify(load)}`);
  return load.saved;
}

/** Opens, runs, closes. */
export async function within<T>(
  subject: RaftSubject,
  dataDir: string,
  run: (store: RaftStore) => Promise<T>,
): Promise<T> {
  const store = await subject.open(dataDir);
  try {
    return await run(store);
  } finally {
    await store.close();
  }
}

/** A directory whose store was created from `saved`. */
export async function created(subject: RaftSubject, saved: Saved = NOTHING_SAVED): Promise<string> {
  const dataDir = await subject.newDir();
  await within(subject, dataDir, (store) => store.create(IDENTITY, saved));
  return dataDir;
}

/** What another life finds. */
export const reloaded = (subject: RaftSubject, dataDir: string): Promise<RaftLoad> =>
  within(subject, dataDir, (store) => store.load());
