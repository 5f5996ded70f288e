import {
  malformed,
  readFlag,
  readId,
  readPayload,
  readSnapshot,
  writeFlag,
  writePayload,
  writeSnapshot,
} from "../consensus/core/codec.ts";
import type { HardState, Saved } from "../consensus/core/core.ts";
import type { Entry, Snapshot } from "../consensus/core/log.ts";
import { assert, InputError } from "../kernel/assert.ts";
import { Reader, Writer } from "../kernel/bytes.ts";
import type { RaftIdentity, RaftLoad, RaftSave } from "./raft-store.ts";
import { checksum, SEAL_BYTES, unseal } from "./sqlite-codec.ts";

// How a member's durable state is written, whatever holds it: one state record, a snapshot perhaps, one record for each entry.
// Each has a CRC over itself and its place; the state record says how far the others reach, so that none can be missing.

const VERSION = 2;
const INSTANCE = /^[0-9a-f]{32}$/;

export interface RaftState {
  readonly identity: RaftIdentity;
  readonly life: number;
  /** Of writes: counts every one. */
  readonly generation: number;
  readonly hardState: HardState;
  /** Of the snapshot; 0 without one. */
  readonly snapshotIndex: number;
  readonly snapshotTerm: number;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** Why it is not to be used any more. */
  readonly givenUp: string | null;
}

export interface RaftRecords {
  readonly state: Uint8Array | null;
  readonly snapshot: Uint8Array | null;
  /** In the order of their index. */
  readonly entries: readonly (readonly [index: number, sealed: Uint8Array])[];
}

function seal(name: string, place: number, body: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(SEAL_BYTES + body.length);
  new DataView(sealed.buffer).setUint32(0, checksum([name, place], body), true);
  sealed.set(body, SEAL_BYTES);
  return sealed;
}

export function sealState({ identity, life, generation, hardState, givenUp, ...reach }: RaftState): Uint8Array {
  const { cluster, node, instance } = identity;
  const writer = new Writer().u8(VERSION).text(cluster).text(node).text(instance).uint(life).uint(generation);
  writer.uint(hardState.term).uint(hardState.committed);
  writeFlag(writer, hardState.vote !== null);
  if (hardState.vote !== null) writer.text(hardState.vote);
  writer.uint(reach.snapshotIndex).uint(reach.snapshotTerm).uint(reach.lastIndex).uint(reach.lastTerm);
  writeFlag(writer, givenUp !== null);
  if (givenUp !== null) writer.text(givenUp);
  return seal("state", 0, writer.finish());
}

function readState(reader: Reader): RaftState {
  if (reader.u8() !== VERSION) throw malformed("another version's state: run the version of Starling that wrote it");
  const identity = { cluster: reader.text(), node: reader.text(), instance: reader.text() };
  if (!INSTANCE.test(identity.instance)) throw malformed("the instance of a log");
  const [life, generation, term, committed] = [reader.uint(), reader.uint(), reader.uint(), reader.uint()];
  const vote = readFlag(reader) ? readId(reader) : null;
  const [snapshotIndex, snapshotTerm, lastIndex, lastTerm] = [
    reader.uint(),
    reader.uint(),
    reader.uint(),
    reader.uint(),
  ];
  const hardState = { term, vote, committed };
  const givenUp = readFlag(reader) ? reader.text() : null;
  return { identity, life, generation, hardState, snapshotIndex, snapshotTerm, lastIndex, lastTerm, givenUp };
}

export function sealSnapshot(snapshot: Snapshot): Uint8Array {
  const writer = new Writer();
  writeSnapshot(writer, snapshot);
  return seal("snapshot", 0, writer.finish());
}

export function sealEntry({ index, term, payload }: Entry): Uint8Array {
  const writer = new Writer().uint(term);
  writePayload(writer, payload);
  return seal("entry", index, writer.finish());
}

/** A new log's, with its first state in it. Throws InputError when it has no proper instance. @param generation of the last write of the log that was here before, 0 without */
export function firstState(identity: RaftIdentity, saved: Saved, generation: number): RaftState {
  if (!INSTANCE.test(identity.instance))
    throw new InputError("bad-instance", "a Raft log's instance has 32 lower-case hex digits: draw them at random");
  const hardState = { term: 0, vote: null, committed: 0 };
  const nowhere = { snapshotIndex: 0, snapshotTerm: 0, lastIndex: 0, lastTerm: 0 };
  return afterSave({ identity, life: 0, generation, hardState, ...nowhere, givenUp: null }, saved);
}

/** The state record after a save. A save that doesn't fit what is there is an impossible state. */
export function afterSave(before: RaftState, { hardState, snapshot, entries }: RaftSave): RaftState {
  let state: RaftState = { ...before, generation: before.generation + 1 };
  if (snapshot) {
    const { index, term } = snapshot;
    assert(index > 0, "a snapshot is of something");
    state = { ...state, snapshotIndex: index, snapshotTerm: term, lastIndex: index, lastTerm: term };
  }
  const [first, last] = [entries[0], entries.at(-1)];
  if (first && last) {
    assert(first.index > state.snapshotIndex && first.index <= state.lastIndex + 1, "a log has no gaps");
    assert(
      entries.every(({ index }, i) => index === first.index + i),
      "entries follow each other",
    );
    state = { ...state, lastIndex: last.index, lastTerm: last.term };
  }
  state = { ...state, hardState: hardState ?? state.hardState };
  return withCommitted(state, state.snapshotIndex);
}

export function afterGivingUp(before: RaftState, reason: string): RaftState {
  return { ...before, generation: before.generation + 1, givenUp: reason };
}

export function afterCompact(before: RaftState, { index, term }: Snapshot): RaftState {
  assert(index >= before.snapshotIndex && index <= before.lastIndex, "only what is on disk can be compacted");
  const state = { ...before, generation: before.generation + 1, snapshotIndex: index, snapshotTerm: term };
  return withCommitted(state, index);
}

/** What a snapshot holds is committed, also where that was not worth a write before. */
function withCommitted(state: RaftState, index: number): RaftState {
  const committed = Math.max(state.hardState.committed, index);
  assert(committed <= state.lastIndex, "only what is on disk is known to be committed");
  return { ...state, hardState: { ...state.hardState, committed } };
}

/** Whole, or what is wrong with it. `life` counts this load already. */
export function readRecords(records: RaftRecords): { readonly load: RaftLoad; readonly state: RaftState | null } {
  try {
    const { state, saved } = readWhole(records);
    const { identity, life } = state;
    return { load: { kind: "whole", identity, life: life + 1, saved }, state };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { load: { kind: "damaged", reason: error.message }, state: null };
  }
}

function readWhole(records: RaftRecords): { readonly state: RaftState; readonly saved: Saved } {
  if (!records.state) throw damaged("its state record is missing");
  const state = unsealed("state", 0, records.state, "the state record", readState);
  const { hardState, snapshotIndex, snapshotTerm, lastIndex, lastTerm } = state;
  if (state.givenUp !== null) throw damaged(`it was given up: ${state.givenUp}`);
  const snapshot = records.snapshot && unsealed("snapshot", 0, records.snapshot, "the snapshot", readSnapshot);
  if ((snapshot?.index ?? 0) !== snapshotIndex || (snapshot?.term ?? 0) !== snapshotTerm)
    throw damaged(`its snapshot is not the one after entry ${snapshotIndex} that was saved`);
  const entries = records.entries.map(([index, sealed], i): Entry => {
    const wanted = snapshotIndex + 1 + i;
    if (index !== wanted) throw damaged(`entry ${wanted} of its log is missing`);
    return unsealed("entry", index, sealed, `entry ${index} of its log`, (reader) => {
      const term = reader.uint();
      return { index, term, payload: readPayload(reader) };
    });
  });
  const reaches = snapshotIndex + entries.length;
  if (reaches !== lastIndex) throw damaged(`its log ends at entry ${reaches}, and ${lastIndex} was saved`);
  if ((entries.at(-1)?.term ?? snapshotTerm) !== lastTerm)
    throw damaged("the last entry of its log is not the one that was saved");
  if (hardState.committed < snapshotIndex || hardState.committed > lastIndex)
    throw damaged("its log ends before what was committed");
  return { state, saved: { hardState, snapshot, entries } };
}

function unsealed<T>(name: string, place: number, sealed: Uint8Array, what: string, read: (reader: Reader) => T): T {
  const body = unseal(sealed, [name, place]);
  if (!body) throw damaged(`the checksum of ${what} does not hold`);
  const reader = new Reader(body);
  const value = read(reader);
  reader.end();
  return value;
}

function damaged(reason: string): InputError {
  return new InputError("damaged", reason);
}
