import { sizeOf } from "../core/log.ts";
import type { Append, AppendReply, Message } from "../core/messages.ts";
import type { Id } from "../core/quorum.ts";

/** The same in fewer messages. The core makes one for each proposal and each acknowledgement; what came of many while the
 *  disk was busy can go at once: appends that continue each other as one, and of replies that say how far a log reaches the last.
 *  What one member gets stays in its order, and no message of appends has more than `bytesMax` of entries by this. */
export function coalesced(messages: readonly Message[], bytesMax: number): readonly Message[] {
  const out: Message[] = [];
  /** Where in `out` the last message to each member is, and the size of its entries. */
  const lastTo = new Map<Id, { readonly at: number; readonly bytes: number }>();
  for (const message of messages) {
    const bytes = message.type === "append" ? message.entries.reduce((sum, entry) => sum + sizeOf(entry), 0) : 0;
    const last = lastTo.get(message.to);
    const before = last && out[last.at];
    const joined = before && last.bytes + bytes <= bytesMax ? join(before, message) : null;
    if (joined && last) {
      out[last.at] = joined;
      lastTo.set(message.to, { at: last.at, bytes: last.bytes + bytes });
    } else {
      lastTo.set(message.to, { at: out.length, bytes });
      out.push(message);
    }
  }
  return out;
}

function join(before: Message, after: Message): Message | null {
  if (before.type === "append" && after.type === "append") return joinAppends(before, after);
  if (before.type === "append-reply" && after.type === "append-reply") return joinReplies(before, after);
  return null;
}

function joinAppends(before: Append, after: Append): Append | null {
  const last = before.entries.at(-1) ?? { index: before.prevIndex, term: before.prevTerm };
  if (after.term !== before.term || after.prevIndex !== last.index || after.prevTerm !== last.term) return null;
  return {
    ...before,
    entries: [...before.entries, ...after.entries],
    committed: Math.max(before.committed, after.committed),
  };
}

function joinReplies(before: AppendReply, after: AppendReply): AppendReply | null {
  const isCovered = before.accepted && after.accepted && before.term === after.term && before.index <= after.index;
  return isCovered ? after : null;
}
