/** The constants of a pool. All members should use the same profile: a member that probes more slowly than others
 *  suspect is suspected. */
export interface Profile {
  /** How often each member probes one other (SWIM's protocol period T). Longer: failures are found later, in
   *  proportion. Shorter: more idle traffic. */
  readonly probeIntervalMs: number;
  /** How long a direct ack may take before relays are asked: three times the measured round trip, within these bounds.
   *  Longer: less time is left for the relays. Shorter: slow members cost relays' work on every probe. */
  readonly probeTimeoutMsMin: number;
  readonly probeTimeoutMsMax: number;
  /** Relays asked when a direct ping goes unanswered. More: a lossy path is told from a dead member more surely, at k
   *  packets more for each real failure. */
  readonly indirectProbes: number;
  /** How many protocol periods (times log10 N) a suspected member has for its refutation once enough others confirm.
   *  Larger: fewer false deaths, later true ones. */
  readonly suspicionMultiplier: number;
  /** How many times longer it has as long as nobody confirms (Lifeguard). Larger: an accuser that is itself slow does
   *  less harm, and in a small pool deaths are found later. */
  readonly suspicionMaxFactor: number;
  /** How far a member's distrust of itself may go (Lifeguard's S): up to so many probe intervals and time-outs more. Larger:
   *  a member in a bad state accuses more slowly, and finds real failures later. 0: it never doubts itself. */
  readonly awarenessMax: number;
  /** How often queued news is sent, and to how many. More often or to more: news is everywhere sooner, for more traffic
   *  while there is news; idle pools send none. */
  readonly gossipIntervalMs: number;
  readonly gossipFanOut: number;
  /** Each piece of news is sent this often times ⌈log10(N+1)⌉. Smaller: a lossy pool misses news until push/pull brings
   *  it. Larger: more traffic for each change. */
  readonly retransmitMultiplier: number;
  /** How often two members compare whole tables (times 1 + log2(N/32) in pools above 32). Longer: missed news stays
   *  missed longer. Shorter: tables of N rows cross the wire more often. */
  readonly pushPullIntervalMs: number;
  /** How long a dead member still gets news, its own death among it, so that it can refute. Longer: more packets into
   *  the void for each failure. */
  readonly gossipToTheDeadMs: number;
  /** How often a push/pull with some dead member is tried (as serf: with probability dead/live, so that the whole pool
   *  tries each dead member about once per interval). Longer: halves of a healed cut meet later. */
  readonly reconnectIntervalMs: number;
  /** How long the dead and the left stay in the table. Longer: more memory, larger push/pulls. Shorter: halves of a long
   *  cut forget each other (configured seeds are tried for ever all the same), and old rumours can revive the dead. */
  readonly reclaimMs: number;
  /** The slowest pace at which missing seeds are tried. Longer: a pool whose halves know each other only by their seeds
   *  heals later. Shorter: more connection attempts to what may be gone for good. */
  readonly seedRetryMsMax: number;
  /** True: a relay in the target's region and a gossip target outside ours, so that a region that can't be reached from
   *  here isn't taken for dead members, and news doesn't go round in one region only. */
  readonly regionAware: boolean;
}

const DAY_MS = 86_400_000;

/** memberlist's DefaultLANConfig. */
export const LAN: Profile = {
  probeIntervalMs: 1000,
  probeTimeoutMsMin: 500,
  probeTimeoutMsMax: 500,
  indirectProbes: 3,
  suspicionMultiplier: 4,
  suspicionMaxFactor: 6,
  awarenessMax: 8,
  gossipIntervalMs: 200,
  gossipFanOut: 3,
  retransmitMultiplier: 4,
  pushPullIntervalMs: 30_000,
  gossipToTheDeadMs: 30_000,
  reconnectIntervalMs: 30_000,
  reclaimMs: DAY_MS,
  seedRetryMsMax: 15_000,
  regionAware: false,
};

/** Members in many regions: round trips up to half a second, losses of whole regions at once. */
export const GEO: Profile = {
  probeIntervalMs: 2000,
  probeTimeoutMsMin: 300,
  probeTimeoutMsMax: 1000,
  indirectProbes: 3,
  suspicionMultiplier: 5,
  suspicionMaxFactor: 6,
  awarenessMax: 8,
  gossipIntervalMs: 500,
  gossipFanOut: 4,
  retransmitMultiplier: 4,
  pushPullIntervalMs: 60_000,
  gossipToTheDeadMs: 30_000,
  reconnectIntervalMs: 30_000,
  reclaimMs: DAY_MS,
  seedRetryMsMax: 20_000,
  regionAware: true,
};

/** memberlist's DefaultLocalConfig: all on one machine, where packets are neither lost nor late. */
export const LOCAL: Profile = {
  ...LAN,
  probeTimeoutMsMin: 200,
  probeTimeoutMsMax: 200,
  indirectProbes: 1,
  suspicionMultiplier: 3,
  gossipIntervalMs: 100,
  retransmitMultiplier: 2,
  pushPullIntervalMs: 15_000,
  gossipToTheDeadMs: 15_000,
  reconnectIntervalMs: 10_000,
  seedRetryMsMax: 5000,
};

/** `wan` is what users of other pools call `geo`. */
export type ProfileName = "lan" | "geo" | "wan" | "local";
export const PROFILES: Readonly<Record<ProfileName, Profile>> = { lan: LAN, geo: GEO, wan: GEO, local: LOCAL };

/** A refutation must have time to go round before a suspicion ends: in gossip rounds. */
const SUSPICION_ROUNDS_MIN = 10;

/** What is wrong with these constants together. @returns sentences; empty when all is well */
export function profileProblems(profile: Profile): string[] {
  const { probeIntervalMs, probeTimeoutMsMin, probeTimeoutMsMax, gossipIntervalMs, suspicionMultiplier } = profile;
  const { reclaimMs, reconnectIntervalMs, pushPullIntervalMs, gossipToTheDeadMs } = profile;
  const suspicionMs = suspicionMultiplier * probeIntervalMs;
  const problems: [boolean, string][] = [
    [
      probeTimeoutMsMin > probeTimeoutMsMax,
      `the shortest probe time-out (${probeTimeoutMsMin} ms) is above the longest (${probeTimeoutMsMax} ms)`,
    ],
    [
      2 * probeTimeoutMsMax > probeIntervalMs,
      `a probe time-out of ${probeTimeoutMsMax} ms leaves relays no time: at most half of the probe interval (${probeIntervalMs} ms)`,
    ],
    [
      suspicionMs < SUSPICION_ROUNDS_MIN * gossipIntervalMs,
      `a suspicion of ${suspicionMs} ms ends before a refutation went round: the suspicion multiplier times the probe ` +
        `interval is at least ${SUSPICION_ROUNDS_MIN} gossip intervals (${gossipIntervalMs} ms each)`,
    ],
    [
      gossipToTheDeadMs < gossipIntervalMs,
      `the dead hear news for ${gossipToTheDeadMs} ms, less than one gossip interval (${gossipIntervalMs} ms): they could not refute`,
    ],
    [
      reclaimMs < 10 * Math.max(reconnectIntervalMs, pushPullIntervalMs, gossipToTheDeadMs),
      `the dead are forgotten after ${reclaimMs} ms, before all members heard of them or tried them again: at least ten ` +
        `times the intervals of push/pull (${pushPullIntervalMs} ms), reconnecting (${reconnectIntervalMs} ms) and ` +
        `gossip to the dead (${gossipToTheDeadMs} ms)`,
    ],
  ];
  return problems.filter(([isWrong]) => isWrong).map(([, sentence]) => sentence);
}

/** Above this many members tables are compared more rarely, so that their cost stays flat (memberlist). */
const PUSH_PULL_SCALE_FROM = 32;

/** How long a suspicion lasts at least: with every confirmation there. */
export function suspicionMsMin(profile: Profile, members: number): number {
  return profile.suspicionMultiplier * Math.max(1, Math.log10(Math.max(1, members))) * profile.probeIntervalMs;
}

/** How many confirmations a pool of this size is expected to give; 0 where it has too few members to wait for any. */
export function expectedConfirmations(profile: Profile, members: number): number {
  const expected = profile.suspicionMultiplier - 2;
  return members - 2 < expected ? 0 : expected;
}

/** How long a suspicion lasts with `confirmations` of `expected` (Lifeguard, §IV-B): from max down to min, most for
 *  the first confirmation. */
export function suspicionMs(minMs: number, maxMs: number, confirmations: number, expected: number): number {
  if (expected < 1) return minMs;
  return Math.max(minMs, maxMs - ((maxMs - minMs) * Math.log(confirmations + 1)) / Math.log(expected + 1));
}

export function retransmitLimit(multiplier: number, members: number): number {
  return multiplier * Math.ceil(Math.log10(members + 1));
}

export function pushPullMs(profile: Profile, members: number): number {
  if (members <= PUSH_PULL_SCALE_FROM) return profile.pushPullIntervalMs;
  return profile.pushPullIntervalMs * (Math.ceil(Math.log2(members) - Math.log2(PUSH_PULL_SCALE_FROM)) + 1);
}

export function probeTimeoutMs(profile: Profile, rttMs: number | null): number {
  if (rttMs === null) return profile.probeTimeoutMsMax;
  return Math.min(profile.probeTimeoutMsMax, Math.max(profile.probeTimeoutMsMin, 3 * rttMs));
}

/** 2025-01-01T00:00Z. */
const INCARNATION_EPOCH_MS = 1_735_689_600_000;
/** Two incarnations per second: they last until 2093, and a life would have to refute more than twice a second on
 *  average to rise above its successor's start. */
const INCARNATION_MS = 500;
export const INCARNATION_MAX = 0xffff_ffff;
/** Room for the refutations of a life whose clock is far in the future. */
const INCARNATION_START_MAX: number = INCARNATION_MAX - 2 ** 20;

/** The first incarnation of a life that starts now: above every earlier life's, so that a restarted member is alive for
 *  all without a refutation round. Where a clock went back it isn't, and the refutation (rule 3) does its work. */
export function incarnationOfStart(startMs: number): number {
  const incarnation = Math.floor((startMs - INCARNATION_EPOCH_MS) / INCARNATION_MS);
  return Math.min(INCARNATION_START_MAX, Math.max(1, incarnation));
}
