/** A message seen at one of its ends. */
export interface Sighting {
  readonly ms: number;
  readonly lane: number;
  readonly kind: string;
  readonly hash: string | undefined;
  /** Where a send goes, if that is known. */
  readonly to: number | undefined;
}

export interface Matched {
  readonly messages: [send: number, arrival: number][];
  /** Sends of which nothing was seen again. */
  readonly lost: number[];
}

/** Streams give up what is stuck for longer (streams.ts, GIVE_UP_MS): need not be searched any more. */
const GIVEN_UP_MS = 25_000;

interface Send {
  readonly at: number;
  readonly ms: number;
  readonly lane: number;
  readonly to: number | undefined;
  isSeen: boolean;
}

/** Finds the send of each arrival: the same bytes, from elsewhere. Equal bytes (heartbeats) of many sends are told apart
 *  by how long a way takes, which unequal ones show; still, they may be taken for each other where sends don't tell
 *  their target. */
export function matchMessages(sightings: readonly Sighting[]): Matched {
  const leastMs = leastDelays(sightings);
  const sends = new Map<string, Send[]>();
  const messages: [number, number][] = [];
  const lost: number[] = [];
  for (const [at, { ms, lane, kind, hash, to }] of sightings.entries()) {
    if (hash === undefined) continue;
    const same = sends.get(hash) ?? [];
    if (kind === "send") {
      // Rarely: one move of many instead of one shift per send.
      if (same[0] && same[0].ms < ms - 2 * GIVEN_UP_MS) {
        const firstYoung = same.findIndex((send) => send.ms >= ms - GIVEN_UP_MS);
        lost.push(...unseen(same.splice(0, firstYoung < 0 ? same.length : firstYoung)));
      }
      same.push({ at, ms, lane, to, isSeen: false });
      sends.set(hash, same);
    } else if (isArrival(kind)) {
      const send = sendOf(same, lane, (from) => ms - (leastMs.get(way(from, lane)) ?? 0));
      if (!send) continue;
      send.isSeen = true;
      messages.push([send.at, at]);
    }
  }
  for (const same of sends.values()) lost.push(...unseen(same));
  return { messages, lost: lost.sort((a, b) => a - b) };
}

const isArrival = (kind: string): boolean => kind === "datagram" || kind === "data";
const way = (from: number, to: number): string => `${from} ${to}`;
const unseen = (sends: readonly Send[]): number[] => sends.flatMap(({ isSeen, at }) => (isSeen ? [] : [at]));

/** The shortest time that each way took, by the bytes that were sent once only. */
function leastDelays(sightings: readonly Sighting[]): Map<string, number> {
  const first = new Map<string, Sighting>();
  const isRepeated = new Set<string>();
  for (const sighting of sightings) {
    if (sighting.hash === undefined || sighting.kind !== "send") continue;
    if (first.has(sighting.hash)) isRepeated.add(sighting.hash);
    else first.set(sighting.hash, sighting);
  }
  const least = new Map<string, number>();
  for (const { ms, lane, kind, hash } of sightings) {
    const send = hash === undefined || isRepeated.has(hash) ? undefined : first.get(hash);
    if (!send || !isArrival(kind) || send.lane === lane) continue;
    const name = way(send.lane, lane);
    least.set(name, Math.min(least.get(name) ?? ms - send.ms, ms - send.ms));
  }
  return least;
}

/** The last that can have come by now; else, a duplicate, one that has arrived already. */
function sendOf(sends: readonly Send[], arrivalLane: number, sentBy: (lane: number) => number): Send | undefined {
  const isPossible = ({ lane, to, ms }: Send): boolean =>
    lane !== arrivalLane && (to === undefined || to === arrivalLane) && ms <= sentBy(lane);
  return sends.findLast((send) => !send.isSeen && isPossible(send)) ?? sends.findLast(isPossible);
}
