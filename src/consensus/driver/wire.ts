import { assertNever } from "../../kernel/assert.ts";
import { Reader, Writer } from "../../kernel/bytes.ts";
import {
  malformed,
  readChoice,
  readFlag,
  readId,
  readPayload,
  readSnapshot,
  writeFlag,
  writePayload,
  writeSnapshot,
} from "../core/codec.ts";
import type { Entry, Payload } from "../core/log.ts";
import type { Append, Message } from "../core/messages.ts";

/** Of the messages' form. Another one is refused: nodes of different versions agree on one in their hello. */
const VERSION = 1;
/** More entries in one message than any leader sends: it cuts them by bytes. */
const ENTRIES_MAX = 65_536;
/** Smallest entry: its term and its kind. */
const ENTRY_BYTES_MIN = 2;

const TYPES = [
  "vote",
  "vote-reply",
  "append",
  "append-reply",
  "snapshot",
  "heartbeat",
  "heartbeat-reply",
  "timeout-now",
  "propose",
  "read",
  "read-reply",
  "transfer",
] as const satisfies readonly Message["type"][];

export function encodeMessage(message: Message): Uint8Array {
  const writer = new Writer().u8(VERSION).u8(TYPES.indexOf(message.type)).text(message.from).text(message.to);
  if ("term" in message) writer.uint(message.term);
  switch (message.type) {
    case "vote":
      writeFlag(writer, message.pre);
      writeFlag(writer, message.transfer);
      writer.uint(message.lastIndex).uint(message.lastTerm);
      break;
    case "vote-reply":
      writeFlag(writer, message.pre);
      writeFlag(writer, message.granted);
      writer.uint(message.committed.index).uint(message.committed.term);
      break;
    case "append":
      writeAppend(writer, message);
      break;
    case "append-reply":
      writer.uint(message.index);
      writeFlag(writer, message.accepted);
      writeFlag(writer, message.hint !== null);
      if (message.hint) writer.uint(message.hint.index).uint(message.hint.term);
      break;
    case "snapshot":
      writeSnapshot(writer, message.snapshot);
      break;
    case "heartbeat":
      writer.uint(message.committed).uint(message.read);
      break;
    case "heartbeat-reply":
      writer.uint(message.read);
      break;
    case "timeout-now":
      break;
    case "propose":
      writer.uint(message.payloads.length);
      for (const payload of message.payloads) writePayload(writer, payload);
      break;
    case "read":
      writer.uint(message.id);
      break;
    case "read-reply":
      writer.uint(message.id).uint(message.index);
      break;
    case "transfer":
      writer.text(message.target);
      break;
    default:
      assertNever(message);
  }
  return writer.finish();
}

/** Throws InputError on anything that `encodeMessage` cannot have made. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new Reader(bytes);
  if (reader.u8() !== VERSION) throw malformed("a Raft message of another version");
  const type = readChoice(reader, TYPES, "the type of a Raft message");
  const between = { from: readId(reader), to: readId(reader) };
  const message = readBody(reader, type, between);
  reader.end();
  return message;
}

type Between = Pick<Message, "from" | "to">;

function readBody(reader: Reader, type: Message["type"], between: Between): Message {
  switch (type) {
    case "propose":
      return { type, ...between, payloads: readPayloads(reader) };
    case "read":
      return { type, ...between, id: reader.uint() };
    case "read-reply":
      return { type, ...between, id: reader.uint(), index: reader.uint() };
    case "transfer":
      return { type, ...between, target: readId(reader) };
    default:
      return readInTerm(reader, type, { ...between, term: reader.uint() });
  }
}

type TermType = Extract<Message, { term: number }>["type"];

function readInTerm(reader: Reader, type: TermType, head: Between & { readonly term: number }): Message {
  switch (type) {
    case "vote": {
      const [pre, transfer] = [readFlag(reader), readFlag(reader)];
      return { type, ...head, pre, transfer, lastIndex: reader.uint(), lastTerm: reader.uint() };
    }
    case "vote-reply": {
      const [pre, granted] = [readFlag(reader), readFlag(reader)];
      return { type, ...head, pre, granted, committed: readPlace(reader) };
    }
    case "append":
      return readAppend(reader, head);
    case "append-reply": {
      const [index, accepted] = [reader.uint(), readFlag(reader)];
      return { type, ...head, index, accepted, hint: readFlag(reader) ? readPlace(reader) : null };
    }
    case "snapshot": {
      const snapshot = readSnapshot(reader);
      if (snapshot.term > head.term) throw malformed("a snapshot of a later term than its leader's");
      return { type, ...head, snapshot };
    }
    case "heartbeat":
      return { type, ...head, committed: reader.uint(), read: reader.uint() };
    case "heartbeat-reply":
      return { type, ...head, read: reader.uint() };
    case "timeout-now":
      return { type, ...head };
    default:
      return assertNever(type);
  }
}

function readPlace(reader: Reader): { readonly index: number; readonly term: number } {
  return { index: reader.uint(), term: reader.uint() };
}

/** The entries follow each other: their indexes aren't written. */
function writeAppend(writer: Writer, { prevIndex, prevTerm, committed, entries }: Append): void {
  writer.uint(prevIndex).uint(prevTerm).uint(committed).uint(entries.length);
  for (const { term, payload } of entries) writePayload(writer.uint(term), payload);
}

function readAppend(reader: Reader, head: Between & { readonly term: number }): Append {
  const [prevIndex, prevTerm, committed] = [reader.uint(), reader.uint(), reader.uint()];
  const count = reader.count(ENTRY_BYTES_MIN);
  if (count > ENTRIES_MAX || !Number.isSafeInteger(prevIndex + count)) throw malformed("too many entries");
  const entries: Entry[] = [];
  let before = prevTerm;
  for (let i = 1; i <= count; i++) {
    const term = reader.uint();
    if (term < before || term > head.term || term === 0) throw malformed("terms of a log only grow, to the leader's");
    before = term;
    entries.push({ index: prevIndex + i, term, payload: readPayload(reader) });
  }
  return { type: "append", ...head, prevIndex, prevTerm, entries, committed };
}

function readPayloads(reader: Reader): Payload[] {
  const count = reader.count(1);
  if (count > ENTRIES_MAX) throw malformed("too many proposals");
  return Array.from({ length: count }, () => readPayload(reader));
}
