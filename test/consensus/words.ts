// How stories write what is sent and stored.

import type { GroupChange } from "../../src/consensus/core/configuration.ts";
import type { Entry, Payload, SavedGroup } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";

export function textBytes(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** `12@3`: the twelfth entry, of term 3. */
export function entryText({ index, term, payload }: Entry): string {
  return `${index}@${term} ${payloadText(payload)}`;
}

/** Long ones by their length. */
function payloadText(payload: Payload): string {
  if (payload.kind === "nothing") return "nothing";
  if (payload.kind === "change") return changeText(payload.change);
  const text = String.fromCharCode(...payload.data);
  return text.length > 12 ? `${text.slice(0, 4)}… (${text.length})` : text;
}

function changeText({ transition, changes }: GroupChange): string {
  if (changes.length === 0) return "[leave joint]";
  const how = transition === "auto" ? "" : `${transition}: `;
  return `[${how}${changes.map(({ kind, id }) => `${kind} ${id}`).join(", ")}]`;
}

export function groupOf({ incoming, outgoing, learners, learnersNext, autoLeave }: SavedGroup): string {
  const parts = [incoming.join(" ")];
  if (outgoing.length > 0) parts.push(`and ${outgoing.join(" ")}${autoLeave ? " (leaves by itself)" : ""}`);
  if (learners.length > 0) parts.push(`learners ${learners.join(" ")}`);
  if (learnersNext.length > 0) parts.push(`then learners ${learnersNext.join(" ")}`);
  return parts.join(", ");
}

export function messageText(message: Message): string {
  return `${message.from} > ${message.to}: ${bodyText(message)}`;
}

function bodyText(message: Message): string {
  switch (message.type) {
    case "vote": {
      const { pre, term, lastIndex, lastTerm, transfer } = message;
      const how = transfer ? ", handed over" : "";
      return `${pre ? "pre-vote" : "vote"} for term ${term}? log ends ${lastIndex}@${lastTerm}${how}`;
    }
    case "vote-reply":
      return `${message.pre ? "pre-vote " : ""}${message.granted ? "yes" : "no"}, term ${message.term}`;
    case "append": {
      const { term, prevIndex, prevTerm, entries, committed } = message;
      const what = entries.length === 0 ? "nothing more" : entries.map(entryText).join(", ");
      return `append in term ${term} after ${prevIndex}@${prevTerm}: ${what}; committed ${committed}`;
    }
    case "append-reply":
      return appendReplyText(message);
    case "snapshot": {
      const { index, term, group } = message.snapshot;
      return `snapshot ${index}@${term} in term ${message.term}, group ${groupOf(group)}`;
    }
    case "heartbeat":
      return `beat in term ${message.term}, committed ${message.committed}${readText(message.read)}`;
    case "heartbeat-reply":
      return `beat heard in term ${message.term}${readText(message.read)}`;
    case "timeout-now":
      return `lead, after term ${message.term}`;
    case "propose":
      return `please propose ${message.payloads.map(payloadText).join(", ")}`;
    case "read":
      return `read ${message.id}?`;
    case "read-reply":
      return `read ${message.id} after ${message.index}`;
    case "transfer":
      return `please hand over to ${message.target}`;
  }
}

function appendReplyText({ term, index, accepted, hint }: Extract<Message, { type: "append-reply" }>): string {
  if (accepted) return `has ${index}, term ${term}`;
  return hint ? `lacks ${index}, try ${hint.index}@${hint.term}, term ${term}` : `refused, term is ${term}`;
}

function readText(read: number): string {
  return read > 0 ? `, read round ${read}` : "";
}
