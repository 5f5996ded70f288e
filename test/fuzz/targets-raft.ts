import { NOTHING_SAVED } from "../../src/consensus/core/core.ts";
import { checkForwarded } from "../../src/consensus/driver/proposals.ts";
import { decodeMessage, encodeMessage } from "../../src/consensus/driver/wire.ts";
import { equalBytes } from "../../src/kernel/bytes.ts";
import { firstState, readRecords, sealEntry, sealSnapshot, sealState } from "../../src/storage/raft-records.ts";
import { checksum, SEAL_BYTES } from "../../src/storage/sqlite-codec.ts";
import { entriesFrom, MESSAGES, SNAPSHOT } from "../consensus/messages.ts";
import { claim, type Target, unlessRefused } from "./target.ts";

const PROPOSAL_BYTES_MAX = 64;

/** What a record says, behind a byte that says which record it is. */
function recordOf(kind: number, sealed: Uint8Array): Uint8Array {
  return Uint8Array.of(kind, ...sealed.subarray(SEAL_BYTES));
}

const STATE = {
  ...firstState({ cluster: "c-1", node: "n1", instance: "0123456789abcdef".repeat(2) }, NOTHING_SAVED, 0),
  hardState: { term: 7, vote: "n2", committed: 300 },
  snapshotIndex: 300,
  snapshotTerm: 4,
  lastIndex: 301,
  lastTerm: 7,
};
const [ENTRY = { index: 301, term: 7, payload: { kind: "nothing" } as const }] = entriesFrom(301, 7);
const SOUND = {
  state: sealState(STATE),
  snapshot: sealSnapshot(SNAPSHOT),
  entries: [[301, sealEntry(ENTRY)]],
} as const;
const GIVEN_UP = sealState({ ...STATE, givenUp: "an older copy" });
const NAMES = [
  ["state", 0],
  ["snapshot", 0],
  ["entry", 301],
] as const;

/** A file in which one record is another one, and whose checksum holds all the same. */
function parseRecord(input: Uint8Array): boolean {
  const kind = (input[0] ?? 0) % 3;
  const body = input.subarray(1);
  const sealed = new Uint8Array(SEAL_BYTES + body.length);
  new DataView(sealed.buffer).setUint32(0, checksum(NAMES[kind] ?? [], body), true);
  sealed.set(body, SEAL_BYTES);
  const records =
    kind === 0
      ? { ...SOUND, state: sealed }
      : kind === 1
        ? { ...SOUND, snapshot: sealed }
        : { ...SOUND, entries: [[301, sealed] as const] };
  const { load } = readRecords(records);
  if (load.kind === "damaged") claim(load.reason.length > 10, "is refused without a reason");
  else if (load.kind === "whole") claim(load.saved.hardState.committed <= 301, "commits what is not there");
  return load.kind === "whole";
}

export const RAFT_TARGETS: readonly Target[] = [
  {
    name: "raft-message",
    seeds: () => MESSAGES.map(encodeMessage),
    parse: (input) => {
      const message = unlessRefused(() => decodeMessage(input));
      // There is one way to write a message.
      if (message) claim(equalBytes(encodeMessage(message), input), "is written otherwise than it was read");
      if (message?.type === "propose")
        for (const payload of message.payloads)
          unlessRefused(() => {
            checkForwarded(payload, PROPOSAL_BYTES_MAX, () => {});
            return payload;
          });
      return message !== undefined;
    },
  },
  {
    name: "raft-record",
    seeds: () => [
      recordOf(0, SOUND.state),
      recordOf(0, GIVEN_UP),
      recordOf(1, SOUND.snapshot),
      recordOf(2, SOUND.entries[0][1]),
    ],
    parse: parseRecord,
  },
];
