import type { Entry, Payload, Snapshot } from "./log.ts";
import type { Id } from "./quorum.ts";

interface Between {
  readonly from: Id;
  readonly to: Id;
}

/** Of a term. In an answer to a pre-vote it is the term that was asked for. */
interface InTerm extends Between {
  readonly term: number;
}

export interface Vote extends InTerm {
  readonly type: "vote";
  /** It only asks whether it would be elected (Ongaro 2014, §9.6); `term` is the one that it would have. */
  readonly pre: boolean;
  readonly lastIndex: number;
  readonly lastTerm: number;
  /** The leader has handed over: nobody waits for it. */
  readonly transfer: boolean;
}

export interface VoteReply extends InTerm {
  readonly type: "vote-reply";
  readonly pre: boolean;
  readonly granted: boolean;
  /** What the voter knows to be committed. A candidate may lack no more than this knowledge: that it was itself the last one
   *  needed to remove this voter, whose own log is longer and which will never be a candidate again. */
  readonly committed: { readonly index: number; readonly term: number };
}

export interface Append extends InTerm {
  readonly type: "append";
  readonly prevIndex: number;
  readonly prevTerm: number;
  readonly entries: readonly Entry[];
  readonly committed: number;
}

export interface AppendReply extends InTerm {
  readonly type: "append-reply";
  /** Accepted: the last index that is there. Refused: the one that was asked for before the entries. */
  readonly index: number;
  readonly accepted: boolean;
  /** Refused: where the logs may part, at the latest. */
  readonly hint: { readonly index: number; readonly term: number } | null;
}

export interface InstallSnapshot extends InTerm {
  readonly type: "snapshot";
  readonly snapshot: Snapshot;
}

export interface Heartbeat extends InTerm {
  readonly type: "heartbeat";
  readonly committed: number;
  /** Of the newest read that waits for it, 0 for none. */
  readonly read: number;
}

export interface HeartbeatReply extends InTerm {
  readonly type: "heartbeat-reply";
  readonly read: number;
}

/** The leader hands over: be a candidate now. */
export interface TimeoutNow extends InTerm {
  readonly type: "timeout-now";
}

/** Forwarded to the leader; outside terms. */
export interface Propose extends Between {
  readonly type: "propose";
  readonly payloads: readonly Payload[];
}

export interface AskRead extends Between {
  readonly type: "read";
  readonly id: number;
}

export interface ReadReply extends Between {
  readonly type: "read-reply";
  readonly id: number;
  readonly index: number;
}

export interface AskTransfer extends Between {
  readonly type: "transfer";
  readonly target: Id;
}

export type Message =
  | Vote
  | VoteReply
  | Append
  | AppendReply
  | InstallSnapshot
  | Heartbeat
  | HeartbeatReply
  | TimeoutNow
  | Propose
  | AskRead
  | ReadReply
  | AskTransfer;
