import type { HardState, Saved } from "../consensus/core/core.ts";
import type { Entry, Snapshot } from "../consensus/core/log.ts";
import { InputError } from "../kernel/assert.ts";

/** Whose log this is: one that was copied to another node would make that one keep promises it never gave. */
export interface RaftIdentity {
  readonly cluster: string;
  readonly node: string;
  /** Of the log itself, 32 lower-case hex digits, drawn by whoever creates it: the log that a node begins anew keeps none of
   *  the promises of the one before, and is told from it by this. */
  readonly instance: string;
}

export type RaftLoad =
  /** Nobody has created it. */
  | { readonly kind: "nothing" }
  | {
      readonly kind: "whole";
      readonly identity: RaftIdentity;
      /** How many times it was loaded, this time included; never the same number twice. */
      readonly life: number;
      readonly saved: Saved;
    }
  /** Something that was saved is not there as it was. What is there must not be used: a log that lost its end would vote as if
   *  it were whole ("Protocol-aware recovery", 2018). */
  | { readonly kind: "damaged"; readonly reason: string };

export type WholeRaftLoad = Extract<RaftLoad, { readonly kind: "whole" }>;

/** What one step of the machine wants to be durable. */
export interface RaftSave {
  /** Null: as it was. */
  readonly hardState: HardState | null;
  /** In place of everything that is there. */
  readonly snapshot: Snapshot | null;
  /** In place of what is there from the first one's index on. */
  readonly entries: readonly Entry[];
}

/** The durable part of a member of a Raft group. One call at a time. Each rejects with DiskFullError when there is no room:
 *  nothing has changed then, and the same may be asked again. After any other rejection (but InputError's) the state of the
 *  disk is unknown: all later calls reject with the same (I13). */
export interface RaftStore {
  load(): Promise<RaftLoad>;
  /** The first state, once. Rejects with InputError when there is one, or a damaged one, or when the instance is no proper
   *  one. Load it then. */
  create(identity: RaftIdentity, saved: Saved): Promise<void>;
  /** A first state in place of whatever there is: a log, a damaged one, or nothing. After a crash there is the old one as it
   *  was, or the new one. Load it then. */
  replace(identity: RaftIdentity, saved: Saved): Promise<void>;
  /** What was loaded is not to be used any more: from now on each load says `damaged` with this reason,
   *  until `replace`. */
  giveUp(reason: string): Promise<void>;
  /** All of it or, after a crash, nothing: snapshot, then entries, then hard state. Resolves when it is durable. */
  save(change: RaftSave): Promise<void>;
  /** The state after `snapshot.index` in place of the entries up to there; those after it stay. */
  compact(snapshot: Snapshot): Promise<void>;
  close(): Promise<void>;
}

export function cannotCreate(found: RaftLoad): InputError {
  return found.kind === "damaged"
    ? new InputError("damaged", `there is a Raft log here already, and it is damaged: ${found.reason}`)
    : new InputError(
        "raft-exists",
        "this node belongs to a group already: to let it found or join another one, give it an empty data directory",
      );
}
