import type { Entry, Payload, Snapshot } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import { utf8 } from "../../src/kernel/bytes.ts";

// One of each, for whoever writes or reads them.

export const PAYLOADS: readonly Payload[] = [
  { kind: "nothing" },
  { kind: "command", data: utf8("a command") },
  { kind: "command", data: new Uint8Array(0) },
  {
    kind: "change",
    change: {
      transition: "joint-auto-leave",
      changes: [
        { kind: "voter", id: "n4" },
        { kind: "learner", id: "n2" },
        { kind: "remove", id: "n1" },
      ],
    },
    data: utf8("why"),
  },
  { kind: "change", change: { transition: "joint-explicit", changes: [] }, data: new Uint8Array(0) },
];

export const SNAPSHOT: Snapshot = {
  index: 300,
  term: 4,
  group: {
    incoming: ["n1", "n2", "n3"],
    outgoing: ["n1", "n2", "n4"],
    learners: ["n5"],
    learnersNext: ["n4"],
    autoLeave: true,
  },
  data: utf8("the state"),
};

export function entriesFrom(first: number, term: number): Entry[] {
  return PAYLOADS.map((payload, i) => ({ index: first + i, term, payload }));
}

const between = { from: "n1", to: "n2" } as const;
const head = { ...between, term: 7 } as const;

export const MESSAGES: readonly Message[] = [
  { type: "vote", ...head, pre: true, transfer: false, lastIndex: 200, lastTerm: 6 },
  { type: "vote-reply", ...head, pre: false, granted: true, committed: { index: 3, term: 2 } },
  { type: "append", ...head, prevIndex: 128, prevTerm: 6, entries: entriesFrom(129, 7), committed: 127 },
  { type: "append", ...head, prevIndex: 0, prevTerm: 0, entries: [], committed: 0 },
  { type: "append-reply", ...head, index: 128, accepted: false, hint: { index: 5, term: 1 } },
  { type: "append-reply", ...head, index: 128, accepted: true, hint: null },
  { type: "snapshot", ...head, snapshot: SNAPSHOT },
  { type: "heartbeat", ...head, committed: 12, read: 0 },
  { type: "heartbeat-reply", ...head, read: 2 ** 40 },
  { type: "timeout-now", ...head },
  { type: "propose", ...between, payloads: PAYLOADS },
  { type: "read", ...between, id: 2 ** 33 + 1 },
  { type: "read-reply", ...between, id: 2 ** 33 + 1, index: 9 },
  { type: "transfer", ...between, target: "n3" },
];
