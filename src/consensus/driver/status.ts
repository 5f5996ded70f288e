import type { Role } from "../core/core.ts";
import type { Id } from "../core/quorum.ts";
import type { Raft } from "../core/raft.ts";
import { Latencies, type LatencyFigures } from "./latencies.ts";
import type { LinearReads } from "./linear-reads.ts";
import type { Proposals } from "./proposals.ts";
import type { ReadyLoop } from "./ready-loop.ts";
import type { Ticker } from "./ticker.ts";

/** - `empty`: there is no log here yet: `found` a group, or `join` one.
 *  - `waiting`: the disk is full, so that it can't even begin; tried again.
 *  - `aside`: there is a whole log, with which this node may not take part (`mayTakePart` says why). Nothing is sent, answered
 *    or counted.
 *  - `running`.
 *  - `damaged`: something that was saved is not there as it was. It neither votes nor campaigns nor follows.
 *  - `failed`: a write failed, or a state was impossible: the process must stop (I13).
 *  - `stopped`. */
export type HostState = "empty" | "waiting" | "aside" | "running" | "damaged" | "failed" | "stopped";

export interface FollowerStatus {
  readonly node: Id;
  readonly isLearner: boolean;
  readonly state: "probe" | "replicate" | "snapshot";
  /** The last entry known to be there. */
  readonly match: number;
  readonly lagEntries: number;
  /** Heard of since the leader last counted its quorum. */
  readonly isActive: boolean;
}

export interface RaftFigures {
  /** Terms that began while this node ran, and leaders that it saw. */
  readonly terms: number;
  readonly leaders: number;
  /** Timers so late that this process must have stood still. */
  readonly stalls: number;
  readonly messagesReceived: number;
  readonly messagesRefused: number;
  /** Of this node's own. */
  readonly proposalsInFlight: number;
  readonly proposalsApplied: number;
  readonly proposalsUnknown: number;
  readonly proposalsRefused: number;
  readonly proposalMs: LatencyFigures;
  readonly readsWaiting: number;
  readonly saveMs: LatencyFigures;
  readonly snapshotsTaken: number;
  readonly snapshotsRestored: number;
  readonly snapshotMs: LatencyFigures;
  /** Of the last one taken or restored. */
  readonly snapshotBytes: number;
  /** The state is larger than it may be, and the log is not cut: its size; else null. */
  readonly oversizedBytes: number | null;
}

export interface RaftStatus {
  readonly state: HostState;
  /** Why it doesn't run, and what to do; null while it does. */
  readonly reason: string | null;
  /** Of the log that is here, 32 hex digits; null when there is none, or none that is whole. */
  readonly instance: string | null;
  readonly node: Id;
  readonly role: Role;
  readonly term: number;
  readonly leader: Id | null;
  readonly voters: readonly Id[];
  /** Not empty while two groups must agree. */
  readonly outgoingVoters: readonly Id[];
  readonly learners: readonly Id[];
  readonly indexes: Raft["indexes"];
  /** What a leader knows of the others; empty elsewhere. */
  readonly followers: readonly FollowerStatus[];
  readonly figures: RaftFigures;
}

export type CoreStatus = Omit<RaftStatus, "state" | "reason" | "instance" | "node" | "figures">;

const NO_CORE: CoreStatus = {
  role: "follower",
  term: 0,
  leader: null,
  voters: [],
  outgoingVoters: [],
  learners: [],
  indexes: { last: 0, committed: 0, applied: 0, first: 1 },
  followers: [],
};

export function statusOf<Result>(run: { readonly raft: Raft; readonly loop: ReadyLoop<Result> } | null): CoreStatus {
  if (!run) return NO_CORE;
  const { raft, loop } = run;
  const { role, term, leader, configuration } = raft;
  const indexes = { ...raft.indexes, applied: loop.applied };
  const followers = [...raft.progress()].filter(([node]) => node !== raft.id);
  return {
    role,
    term,
    leader,
    voters: [...configuration.incoming].sort(),
    outgoingVoters: [...configuration.outgoing].sort(),
    learners: [...configuration.learners].sort(),
    indexes,
    followers: followers.map(([node, { isLearner, state, match, recentlyActive }]) => ({
      node,
      isLearner,
      state,
      match,
      lagEntries: indexes.last - match,
      isActive: recentlyActive,
    })),
  };
}

/** Who counts what. */
export interface FigureSources<Result> {
  readonly loop: ReadyLoop<Result>;
  readonly proposals: Proposals<Result>;
  readonly reads: LinearReads;
  readonly ticker: Ticker;
}

type OwnFigures = Omit<RaftFigures, "messagesReceived" | "messagesRefused">;

export function figuresOf<Result>({ loop, proposals, reads, ticker }: FigureSources<Result>): OwnFigures {
  return {
    terms: loop.terms,
    leaders: loop.leaders,
    stalls: ticker.stalls,
    proposalsInFlight: proposals.inFlight,
    proposalsApplied: proposals.applied,
    proposalsUnknown: proposals.unknown,
    proposalsRefused: proposals.refused,
    proposalMs: proposals.latencies.figures(),
    readsWaiting: reads.waiting,
    saveMs: loop.saveMs.figures(),
    snapshotsTaken: loop.snapshotsTaken,
    snapshotsRestored: loop.snapshotsRestored,
    snapshotMs: loop.snapshotMs.figures(),
    snapshotBytes: loop.snapshotBytes,
    oversizedBytes: loop.oversizedBytes,
  };
}

const NO_LATENCIES = new Latencies().figures();

/** Of a member that never ran. */
export const NO_FIGURES: OwnFigures = {
  terms: 0,
  leaders: 0,
  stalls: 0,
  proposalsInFlight: 0,
  proposalsApplied: 0,
  proposalsUnknown: 0,
  proposalsRefused: 0,
  proposalMs: NO_LATENCIES,
  readsWaiting: 0,
  saveMs: NO_LATENCIES,
  snapshotsTaken: 0,
  snapshotsRestored: 0,
  snapshotMs: NO_LATENCIES,
  snapshotBytes: 0,
  oversizedBytes: null,
};
