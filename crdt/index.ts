// The explicit list of what others may use: `starling/crdt`.

export { decodeRow, encodeRow } from "./codec.ts";
export type { Content, SlotType } from "./content.ts";
export { slotTypeOf } from "./content.ts";
export type { CrdtType, Plan, SlotView } from "./contract.ts";
export { counter } from "./counter.ts";
export type { Digest, Layout } from "./digest.ts";
export {
  addDigest,
  digestDelta,
  hashKey,
  leafOf,
  NO_DIGEST,
  partitionOf,
  readSum,
  rowDigest,
  rowInventory,
  slotOf,
  slotsOf,
} from "./digest.ts";
export type { Dot, DotKey } from "./dot.ts";
export { compareDots, dotKey, parseDotKey, readDots, writeDots } from "./dot.ts";
export type { ElementValue } from "./element.ts";
export { decodeElement, encodeElement } from "./element.ts";
export type { Add, Entry } from "./entry.ts";
export { addedCells, decodeEntry, encodeEntry, lastSeq, MAX_ADDS, MAX_DEPTH, MAX_REMOVES } from "./entry.ts";
export { flag } from "./flag.ts";
export type { Hlc, Stamp } from "./hlc.ts";
export { compareHlc, HLC_ZERO, observeHlc, tickHlc } from "./hlc.ts";
export type { PartitionState, RemovedAbove, TravellingRow } from "./partition.ts";
export {
  admitEntry,
  adoptRow,
  adoptVector,
  applyEntry,
  copyHeals,
  copyPartition,
  emptyPartition,
  foldStubs,
  holdEarly,
  includes,
  joinAnswers,
  mayCut,
  mayDrop,
  mayHeal,
  repairRow,
  takeReady,
  wantsCopy,
} from "./partition.ts";
export type { Sibling } from "./register.ts";
export { register } from "./register.ts";
export type { Cell, OpenRow, Row } from "./row.ts";
export { EMPTY_ROW, isEmptyRow, openRow } from "./row.ts";
export { set } from "./set.ts";
export { CLOSED, VersionVector } from "./version-vector.ts";
export type { Op, Seen, SlotOp } from "./write.ts";
export { planWrite, samePath, slotTypeOfOp, startsWith, typesAt } from "./write.ts";
