import type { User } from "../../gossip/wire/messages.ts";
import { decodeSerf, encodeKeyRequest, encodeSerf, type Query, type SerfMessage } from "../../gossip/wire/serf.ts";
import { actor, alive, NO_BYTES, OneMember, tags } from "./one-member.ts";

export function user(message: SerfMessage): User {
  return { type: "user", payload: encodeSerf(message) };
}

/** Serf's messages that were sent since `forget`, each once for each packet. */
export function told<T extends SerfMessage["type"]>(me: OneMember, type: T): Extract<SerfMessage, { type: T }>[] {
  return me
    .sent("user")
    .map(({ message }) => decodeSerf(message.payload))
    .filter((message): message is Extract<SerfMessage, { type: T }> => message?.type === type);
}

export function query(name: string, key: Uint8Array = NO_BYTES, change: Partial<Query> = {}): Query {
  return {
    type: "query",
    lTime: 5,
    id: 77,
    addr: Uint8Array.of(10, 0, 0, 2),
    port: 7946,
    sourceNode: "m2",
    filters: [],
    flags: 0,
    relayFactor: 0,
    timeoutNs: 3e9,
    name,
    payload: encodeKeyRequest(key),
    ...change,
  };
}

/** Members of ours have an actor, agents haven't. */
export function withAgent(options: ConstructorParameters<typeof OneMember>[0] = {}): OneMember {
  const me = new OneMember({ meta: { actor: actor("me", 1) }, ...options }).meet(2);
  me.hear(3, alive("m3", 3, 5, tags({ actor: actor("m3", 1) })));
  me.answers = () => true;
  me.pass(5000);
  me.forget();
  return me;
}
