import type { Snapshotted } from "../consensus/driver/ready-loop.ts";
import type { RaftStatus } from "../consensus/driver/status.ts";
import type { Result } from "../control/apply.ts";
import type { Going, Obstacle } from "../control/checks.ts";
import type { Command } from "../control/commands.ts";
import type { Feed } from "../control/feed.ts";
import type { ControlState } from "../control/state.ts";

export { OutcomeUnknown, RaftRefusal } from "../consensus/driver/refusal.ts";
export type { RaftStatus } from "../consensus/driver/status.ts";

type Envelope = "id" | "basis" | "level" | "atMs";
type Without<C, K extends string> = C extends unknown ? Omit<C, K> : never;
/** A command as it is asked for; time, id and basis are added by the plane. */
export type Wish = Without<Command, Envelope>;

/** How the way to another member of the group is. */
export interface ControlLink {
  readonly node: string;
  readonly isUp: boolean;
  readonly rttMs: number | null;
  readonly dropped: number;
  readonly reason: string | null;
}

/** What a node's seat in the control plane offers to the HTTP API. */
export interface PlaneApi {
  /** The latest committed state that this node has; null before it heard of any. Nobody waits for a newer one. */
  readonly state: ControlState | null;
  /** Of the state, hex: equal where the versions are. */
  readonly hash: string | null;
  readonly feed: Pick<Feed, "version" | "since">;
  /** What the leader's autopilot did last, and why; null elsewhere. */
  readonly advice: string | null;
  /** What this node waits for before it has its place, or leaves it; null when there is nothing. */
  readonly waitsFor: string | null;
  status(): RaftStatus;
  links(): readonly ControlLink[];
  /** Calls after each change of the state or of the leader, until the returned function is called. */
  onChange(listener: () => void): () => void;
  /** Resolves when the command was applied here, with what became of it. Rejects with RaftRefusal when nothing has
   *  happened, with OutcomeUnknown when nobody can say; with InputError when it says what no command may. */
  propose(wish: Wish, timeoutMs: number): Promise<Result>;
  /** What would become of it, as far as this node's state tells; InputError when it says what no command may. */
  preview(wish: Wish): Result;
  /** What speaks against a member's going, the gravest first. Whether the others could still decide is asked only where this
   *  node leads: nobody else knows who answers. */
  obstacles(going: Going, id: string): readonly Obstacle[];
  /** When a member was last heard of as alive, by gossip (wall ms; now when it is); null: never. */
  heardAtMs(id: string): number | null;
  /** A state no older than what any node had acknowledged when this was called. Rejects with RaftRefusal. */
  read(timeoutMs: number): Promise<ControlState>;
  /** Puts the state in the place of the log's applied entries now. Rejects with RaftRefusal. */
  snapshot(): Promise<Snapshotted>;
}
