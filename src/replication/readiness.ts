import type { World } from "../world/world.ts";
import type { Owners } from "./owners.ts";
import type { Partition } from "./partitions.ts";
import type { OutgoingPeer } from "./peer/outgoing.ts";

/** After this long a node is ready with a warning: half-old data serves better than none. */
const MAX_WAIT_MS = 10 * 60_000;
/** A peer that could not be reached this often is away: its node waits for us, not we for it. */
const DIALS_UNTIL_AWAY = 3;

/** Has this node caught up with what its peers showed at its start? (api.md, /health/ready) */
export class Readiness {
  readonly #world: World;
  readonly #peers: () => readonly OutgoingPeer[];
  readonly #partitions: readonly Partition[];
  readonly #owners: Owners;
  #startedMs = 0;
  #ready = false;

  constructor(world: World, peers: () => readonly OutgoingPeer[], partitions: readonly Partition[], owners: Owners) {
    this.#world = world;
    this.#owners = owners;
    this.#peers = peers;
    this.#partitions = partitions;
  }

  start(): void {
    this.#startedMs = this.#world.clock.monotonicMs();
  }

  check(): { ready: boolean; warning?: string } {
    const { notServing } = this.#owners;
    if (notServing !== null) return { ready: false, warning: notServing };
    if (this.#ready) return { ready: true };
    const waiting = this.#peers().filter((peer) => !this.#hasCaughtUp(peer));
    this.#ready = waiting.length === 0;
    if (this.#ready) return { ready: true };
    const names = waiting.map((peer) => peer.node).join(", ");
    if (this.#world.clock.monotonicMs() - this.#startedMs > MAX_WAIT_MS)
      return { ready: true, warning: `not caught up with ${names} after 10 minutes` };
    return { ready: false, warning: `catching up with ${names}` };
  }

  /** For who doesn't own anything yet: what each owner that can be reached showed is here, and one at least was. */
  isCaughtUp(): boolean {
    const peers = this.#peers();
    return peers.every((peer) => this.#hasCaughtUp(peer)) && peers.some(({ shownAtStart }) => shownAtStart !== null);
  }

  #hasCaughtUp(peer: OutgoingPeer): boolean {
    const shown = peer.shownAtStart;
    if (!shown) return peer.failedDials >= DIALS_UNTIL_AWAY;
    return this.#partitions.every(({ id, state }) => {
      const vector = shown[id];
      return vector === undefined || state.vector.reaches(vector);
    });
  }
}
