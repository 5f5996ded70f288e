import type { RaftConfig } from "../core/core.ts";

/** What of a member's driver may be tuned. Times in ms, sizes in bytes. */
export interface RaftSettings {
  /** A heartbeat's interval; an election's time is counted in it. At least the longest round trip between voters, better ten
   *  times that in `electionTicks` of them. Shorter: faster failover, and elections that nobody needed on a slow network. */
  readonly tickMs: number;
  /** How many ticks a follower waits for its leader, at least (twice that at most). */
  readonly electionTicks: number;
  /** Proposals of this node whose outcome is awaited; more are refused. */
  readonly inFlightMax: number;
  /** Of one proposal. A larger one is refused. */
  readonly proposalBytesMax: number;
  /** Applied entries after which the state is saved in their place. Fewer: more writes of the whole state. More: longer
   *  starts, and members that were away get more entries where the state would do. */
  readonly compactEntries: number;
  /** The same in bytes of entries, for large ones. */
  readonly compactBytes: number;
  /** Of the state. It travels in one frame of the peer link (16 MiB), so the state machine must refuse what would make it
   *  larger. While it is larger all the same, the log is not cut: nothing is lost, and the log grows. */
  readonly snapshotBytesMax: number;
  /** Of entries that wait for a quorum, at the leader; further proposals are refused until there is one. */
  readonly uncommittedBytesMax: number;
}

export const RAFT_SETTINGS: RaftSettings = {
  tickMs: 100,
  electionTicks: 10,
  inFlightMax: 1_024,
  proposalBytesMax: 2 ** 20,
  compactEntries: 1_024,
  compactBytes: 4 * 2 ** 20,
  snapshotBytesMax: 12 * 2 ** 20,
  uncommittedBytesMax: 8 * 2 ** 20,
};

/** Of entries in one message: a vote must not wait long behind it. */
export const MESSAGE_BYTES_MAX = 256 * 2 ** 10;
const INFLIGHT_MESSAGES_MAX = 64;
const INFLIGHT_BYTES_MAX = 2 * 2 ** 20;

export function coreConfig(id: string, { electionTicks, uncommittedBytesMax }: RaftSettings): RaftConfig {
  return {
    id,
    electionTicks,
    heartbeatTicks: 1,
    messageBytesMax: MESSAGE_BYTES_MAX,
    inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
    inflightBytesMax: INFLIGHT_BYTES_MAX,
    uncommittedBytesMax,
  };
}
