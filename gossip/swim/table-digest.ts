import { concatBytes, equalBytes } from "../../src/kernel/bytes.ts";
import type { Sha256 } from "../../src/kernel/hashing.ts";
import { writeNodeState } from "../wire/messages.ts";
import { MsgpackWriter } from "../wire/msgpack.ts";
import type { PushPull, StreamMessage } from "../wire/stream.ts";

// memberlist compares tables by sending them whole, so an idle pool's traffic grows with N. Members that say so in a tag are
// sent a hash of the table first, in a user message on a stream, and answer with theirs. Agents are never asked: serf would
// log each as an unknown message.

/** The tag of a member that answers, and the way tables are hashed. */
export const DIGEST_TAG = "digest";
export const DIGEST_WAY = "1";

/** Serf's types of messages go up to 10. */
const DIGEST = 200;
/** Nobody gains by forging one: who can is a member, and could keep to itself what it knows. */
const DIGEST_BYTES = 16;

/** @param table rows and user state in an order that doesn't depend on who came when */
export function digestOf({ nodes, userState }: PushPull, sha256: Sha256): Uint8Array {
  const out = new MsgpackWriter();
  for (const node of nodes) writeNodeState(out, node);
  return sha256(out.plain(userState).finish()).slice(0, DIGEST_BYTES);
}

export function digestMessage(digest: Uint8Array): Extract<StreamMessage, { type: "user" }> {
  return { type: "user", payload: concatBytes([Uint8Array.of(DIGEST), digest]) };
}

export function isDigest(message: StreamMessage): boolean {
  return message.type === "user" && message.payload.length === 1 + DIGEST_BYTES && message.payload[0] === DIGEST;
}

/** True when the other side's table is the one that has this digest. */
export function isSameTable(answer: StreamMessage, digest: Uint8Array): boolean {
  return isDigest(answer) && answer.type === "user" && equalBytes(answer.payload.subarray(1), digest);
}
