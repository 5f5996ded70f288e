import { encodeMessage, type Message } from "../wire/messages.ts";

interface Broadcast {
  readonly about: string;
  readonly message: Message;
  readonly sizeBytes: number;
  transmits: number;
}

/** A packet is called full after so many that didn't fit: looking on through thousands costs more than the gap. */
const MISFITS_MAX = 8;

/** News to be sent a limited number of times (memberlist's TransmitLimitedQueue): newer news about a member replaces
 *  older, and what was sent least goes first. Never longer than one per member. Among equals the oldest goes first, where
 *  memberlist prefers the largest: nobody's news can be kept waiting by a flood of larger ones. */
export class BroadcastQueue {
  readonly #byName = new Map<string, Broadcast>();
  /** By the number of times sent, each in order of arrival. */
  readonly #tiers: Map<string, Broadcast>[] = [];

  get size(): number {
    return this.#byName.size;
  }

  has(about: string): boolean {
    return this.#byName.has(about);
  }

  put(about: string, message: Message): void {
    this.#remove(about);
    const broadcast = { about, message, sizeBytes: encodeMessage(message).length, transmits: 0 };
    this.#byName.set(about, broadcast);
    this.#tier(0).set(about, broadcast);
  }

  /** Fills up to `roomBytes`, counting `overheadBytes` for each message; forgets what was then sent `limit` times. */
  take(roomBytes: number, overheadBytes: number, limit: number): Message[] {
    const taken: Broadcast[] = [];
    let left = roomBytes;
    let misfits = 0;
    for (const tier of this.#tiers) {
      for (const broadcast of tier.values()) {
        if (misfits > MISFITS_MAX) break;
        const cost = broadcast.sizeBytes + overheadBytes;
        if (cost > left) misfits += 1;
        else {
          left -= cost;
          taken.push(broadcast);
        }
      }
    }
    for (const broadcast of taken) this.#sent(broadcast, limit);
    return taken.map((broadcast) => broadcast.message);
  }

  #sent(broadcast: Broadcast, limit: number): void {
    this.#tiers[broadcast.transmits]?.delete(broadcast.about);
    broadcast.transmits += 1;
    if (broadcast.transmits >= limit) this.#byName.delete(broadcast.about);
    else this.#tier(broadcast.transmits).set(broadcast.about, broadcast);
  }

  #remove(about: string): void {
    const old = this.#byName.get(about);
    if (!old) return;
    this.#byName.delete(about);
    this.#tiers[old.transmits]?.delete(about);
  }

  #tier(transmits: number): Map<string, Broadcast> {
    while (this.#tiers.length <= transmits) this.#tiers.push(new Map());
    return this.#tiers[transmits] as Map<string, Broadcast>;
  }
}
