import { InputError } from "../../kernel/assert.ts";
import type { Message } from "../core/messages.ts";
import type { Raft } from "../core/raft.ts";

/** A term is an election, of which there is one in a second at most: no member is so many behind. */
const TERMS_AHEAD_MAX = 2 ** 32;
/** Entries take longer than microseconds each; a recovered group begins a million later. */
const ENTRIES_AHEAD_MAX = 2 ** 40;

/** Throws InputError on a message of a term, or about an entry, that no group can have come to since this member was in it.
 *  Raft itself has no such bound: one damaged or mistaken message would carry all members to the end of the whole numbers,
 *  where nobody can be elected ever again. (Members are trusted: one that lies can go there in many steps.) */
export function checkPlausible(message: Message, { term, indexes: { last } }: Pick<Raft, "term" | "indexes">): void {
  if ("term" in message && message.term > term + TERMS_AHEAD_MAX)
    throw new InputError("bad-term", `a Raft message of term ${message.term}: this member is in term ${term}`);
  const index = furthestIn(message);
  if (index > last + ENTRIES_AHEAD_MAX)
    throw new InputError("bad-index", `a Raft message about entry ${index}: the log here ends at ${last}`);
}

function furthestIn(message: Message): number {
  switch (message.type) {
    case "vote":
      return message.lastIndex;
    case "vote-reply":
      return message.committed.index;
    case "append":
      return Math.max(message.prevIndex, message.committed);
    case "append-reply":
      return Math.max(message.index, message.hint?.index ?? 0);
    case "snapshot":
      return message.snapshot.index;
    case "heartbeat":
      return message.committed;
    case "read-reply":
      return message.index;
    default:
      return 0;
  }
}
