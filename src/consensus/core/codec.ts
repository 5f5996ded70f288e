import { InputError } from "../../kernel/assert.ts";
import { compareText, type Reader, type Writer } from "../../kernel/bytes.ts";
import type { GroupChange, MemberChange } from "./configuration.ts";
import type { Payload, SavedGroup, Snapshot } from "./log.ts";
import type { Id } from "./quorum.ts";

// How entries and snapshots are written, on disk and on the wire alike. What is read may be anything: InputError then.

/** A node's id has 32 at most. */
const ID_CHARS_MAX = 64;
const MEMBERS_MAX = 1_024;
const TRANSITIONS = ["auto", "joint-auto-leave", "joint-explicit"] as const;
const MEMBER_KINDS = ["voter", "learner", "remove"] as const;
const PAYLOAD_KINDS = ["nothing", "command", "change"] as const;

export function malformed(what: string): InputError {
  return new InputError("bad-encoding", `malformed: ${what}`);
}

/** One of a list, by its place there. */
export function readChoice<T>(reader: Reader, choices: readonly T[], what: string): T {
  const choice = choices[reader.u8()];
  if (choice === undefined) throw malformed(what);
  return choice;
}

export function writeFlag(writer: Writer, flag: boolean): void {
  writer.u8(flag ? 1 : 0);
}

export function readFlag(reader: Reader): boolean {
  return readChoice(reader, [false, true], "a flag is 0 or 1");
}

export function readId(reader: Reader): Id {
  const id = reader.text();
  if (id.length === 0 || id.length > ID_CHARS_MAX) throw malformed("the id of a member");
  return id;
}

function writeIds(writer: Writer, ids: readonly Id[]): void {
  writer.uint(ids.length);
  for (const id of ids) writer.text(id);
}

function readIds(reader: Reader): Id[] {
  const count = reader.count(2);
  if (count > MEMBERS_MAX) throw malformed("too many members");
  const ids = Array.from({ length: count }, () => readId(reader));
  if (ids.some((id, i) => i > 0 && compareText(ids[i - 1] as Id, id) >= 0)) throw malformed("members are sorted");
  return ids;
}

export function writePayload(writer: Writer, payload: Payload): void {
  writer.u8(PAYLOAD_KINDS.indexOf(payload.kind));
  if (payload.kind === "nothing") return;
  if (payload.kind === "change") writeChange(writer, payload.change);
  writer.bytes(payload.data);
}

export function readPayload(reader: Reader): Payload {
  const kind = readChoice(reader, PAYLOAD_KINDS, "the kind of an entry");
  if (kind === "nothing") return { kind };
  if (kind === "command") return { kind, data: reader.bytes() };
  return { kind, change: readChange(reader), data: reader.bytes() };
}

function writeChange(writer: Writer, { transition, changes }: GroupChange): void {
  writer.u8(TRANSITIONS.indexOf(transition)).uint(changes.length);
  for (const { kind, id } of changes) writer.u8(MEMBER_KINDS.indexOf(kind)).text(id);
}

function readChange(reader: Reader): GroupChange {
  const transition = readChoice(reader, TRANSITIONS, "the kind of a change");
  const count = reader.count(3);
  if (count > MEMBERS_MAX) throw malformed("too many members change");
  const changes = Array.from({ length: count }, (): MemberChange => {
    const kind = readChoice(reader, MEMBER_KINDS, "what becomes of a member");
    return { kind, id: readId(reader) };
  });
  return { transition, changes };
}

export function writeSnapshot(writer: Writer, { index, term, group, data }: Snapshot): void {
  writer.uint(index).uint(term);
  for (const ids of [group.incoming, group.outgoing, group.learners, group.learnersNext]) writeIds(writer, ids);
  writeFlag(writer, group.autoLeave);
  writer.bytes(data);
}

export function readSnapshot(reader: Reader): Snapshot {
  const index = reader.uint();
  const term = reader.uint();
  const group: SavedGroup = {
    incoming: readIds(reader),
    outgoing: readIds(reader),
    learners: readIds(reader),
    learnersNext: readIds(reader),
    autoLeave: readFlag(reader),
  };
  if (index === 0 || term === 0) throw malformed("a snapshot is of something");
  if (group.incoming.length === 0) throw malformed("a group has at least one voter");
  return { index, term, group, data: reader.bytes() };
}
