import type { Message } from "../wire/messages.ts";
import type { PoolOptions } from "./pool.test-kit.ts";

type Variant = Pick<PoolOptions, "profile" | "sends">;

export const WITH_LIFEGUARD: Variant = {};

/** As far as that goes from outside: no local health (and so no use for nacks), suspicions of one fixed length, and no
 *  word to the suspect itself but what gossip brings it by chance. What isn't Lifeguard's stays: item 16 of the design
 *  (stalls), and that a member defends itself to whoever accuses it. */
export const WITHOUT_LIFEGUARD: Variant = {
  profile: { awarenessMax: 0, suspicionMaxFactor: 1 },
  sends: withoutBuddies,
};

/** The machine puts its own verdict right behind the ping or ack to a suspect; queued news comes after it. */
function withoutBuddies(messages: readonly Message[], from: string, to: string): readonly Message[] {
  const [first, second] = messages;
  if (first?.type !== "ping" && first?.type !== "ack") return messages;
  const isVerdict = (second?.type === "suspect" || second?.type === "dead") && second.node === to;
  return isVerdict && second.from === from ? [first, ...messages.slice(2)] : messages;
}
