import type { GroupChange } from "../consensus/core/configuration.ts";
import { OutcomeUnknown, RaftRefusal } from "../consensus/driver/refusal.ts";
import type { RaftStatus } from "../consensus/driver/status.ts";
import { advise } from "../control/autopilot.ts";
import type { Decision, GroupView, Hearsay, Situation } from "../control/group.ts";
import type { ControlState } from "../control/state.ts";
import type { Timer, World } from "../world/world.ts";
import type { Wish } from "./api.ts";

/** What the steward sees, and what it may do. */
export interface Stewardship {
  readonly status: () => RaftStatus;
  readonly state: () => ControlState | null;
  readonly hearsayOf: (node: string) => Hearsay | null;
  readonly propose: (wish: Wish) => Promise<unknown>;
  readonly changeGroup: (change: GroupChange) => Promise<unknown>;
  readonly transfer: (to: string) => void;
}

/** How often the leader looks whether the right ones vote. Shorter: more proposals while something changes. */
const LOOK_MS = 1_000;

/** Of the reason of a command (schemas.ts); names and zones at their longest say more. */
const REASON_CHARS_MAX = 256;

/** Carries out what autopilot advises, at the leader, one step after the other. */
export class Steward {
  readonly #world: World;
  readonly #o: Stewardship;
  /** When each other member's last message came. */
  readonly #heardMs = new Map<string, number>();
  #leaderSinceMs: number | null = null;
  #timer: Timer | null = null;
  #isActing = false;
  #isStopped = false;
  advice: string | null = null;

  constructor(world: World, stewardship: Stewardship) {
    this.#world = world;
    this.#o = stewardship;
  }

  start(): void {
    this.#timer = this.#world.timers.after(LOOK_MS, () => {
      void this.#look().then(() => this.#isStopped || this.start());
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** A message of Raft's came from this member. */
  heard(node: string): void {
    this.#heardMs.set(node, this.#world.clock.monotonicMs());
  }

  /** What this leader knows of who answers; null where it doesn't lead, or only just began to. */
  evidence(): { readonly group: GroupView; readonly nowMs: number } | null {
    const status = this.#o.status();
    if (status.role !== "leader" || this.#leaderSinceMs === null) return null;
    return { group: this.#group(status, this.#leaderSinceMs), nowMs: this.#world.clock.monotonicMs() };
  }

  async #look(): Promise<void> {
    const status = this.#o.status();
    const state = this.#o.state();
    const nowMs = this.#world.clock.monotonicMs();
    if (status.role !== "leader" || status.state !== "running" || state === null) {
      this.#leaderSinceMs = null;
      this.advice = null;
      return;
    }
    this.#leaderSinceMs ??= nowMs;
    // Who is a member no more may be needed to let it go.
    const inGroup = new Set([...status.voters, ...status.outgoingVoters, ...status.learners]);
    for (const node of this.#heardMs.keys())
      if (!state.members.has(node) && !inGroup.has(node)) this.#heardMs.delete(node);
    if (this.#isActing) return;
    await this.#act(advise(this.#situation(state, status, this.#leaderSinceMs, nowMs)));
  }

  #group(status: RaftStatus, leaderSinceMs: number): GroupView {
    const heardSince = (node: string): number | null => {
      const atMs = this.#heardMs.get(node);
      return atMs !== undefined && atMs >= leaderSinceMs ? atMs : null;
    };
    return {
      self: status.node,
      leaderSinceMs,
      configuration: {
        incoming: new Set(status.voters),
        outgoing: new Set(status.outgoingVoters),
        learners: new Set(status.learners),
        learnersNext: new Set(),
        autoLeave: true,
      },
      committed: status.indexes.committed,
      followers: new Map(status.followers.map(({ node, match }) => [node, { match, heardAtMs: heardSince(node) }])),
    };
  }

  #situation(state: ControlState, status: RaftStatus, leaderSinceMs: number, nowMs: number): Situation {
    const hearsay = new Map<string, Hearsay>();
    for (const id of state.members.keys()) {
      const told = this.#o.hearsayOf(id);
      if (told) hearsay.set(id, told);
    }
    return { state, group: this.#group(status, leaderSinceMs), hearsay, nowMs };
  }

  async #act(decision: Decision): Promise<void> {
    // How long one has been silent is no news each second.
    if (withoutNumbers(decision.why) !== withoutNumbers(this.advice ?? ""))
      this.#world.log.info("autopilot", { kind: decision.kind, why: decision.why });
    this.advice = decision.why;
    this.#isActing = true;
    try {
      if (decision.kind === "command")
        await this.#o.propose({
          ...decision.command,
          by: "autopilot",
          reason: decision.why.slice(0, REASON_CHARS_MAX),
          ifVersion: decision.ifVersion,
        });
      else if (decision.kind === "group") await this.#o.changeGroup(decision.change);
      else if (decision.kind === "transfer") this.#o.transfer(decision.to);
    } catch (error) {
      // The next look, with what is known then, decides anew.
      if (!(error instanceof RaftRefusal || error instanceof OutcomeUnknown)) throw error;
      this.#world.log.info("autopilot.not-done", { why: decision.why, reason: error.message });
    } finally {
      this.#isActing = false;
    }
  }
}

function withoutNumbers(text: string): string {
  return text.replace(/\d+/g, "");
}
