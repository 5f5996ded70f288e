import { OutcomeUnknown, RaftRefusal } from "../consensus/driver/refusal.ts";
import type { RaftStatus } from "../consensus/driver/status.ts";
import type { Result } from "../control/apply.ts";
import { decodeCommand } from "../control/codec.ts";
import type { Hearsay } from "../control/group.ts";
import type { Member } from "../control/schemas.ts";
import type { ControlState } from "../control/state.ts";
import { InputError } from "../kernel/assert.ts";
import { EMPTY_BYTES } from "../kernel/bytes.ts";
import type { Hello } from "../peer/frames.ts";
import { LinkError } from "../peer/link.ts";
import type { World } from "../world/world.ts";
import { compareTags, leaderAmong, type Neighbour, type StateTag, worthAsking } from "./neighbours.ts";
import {
  decodeLetGoAnswer,
  decodeOutcome,
  encodeFoundAnswer,
  encodeLetGoAnswer,
  encodeOutcome,
  type FoundAnswer,
  type Op,
  type ProposeOutcome,
  parseOp,
} from "./requests.ts";

export interface OutsideOptions {
  readonly self: string;
  readonly world: World;
  readonly neighbours: () => readonly Neighbour[];
  readonly state: () => ControlState | null;
  readonly tag: () => StateTag | null;
  readonly stateBytes: () => Uint8Array | null;
  /** Takes a newer state. Throws InputError when it is none of this cluster's. */
  readonly adopt: (bytes: Uint8Array) => void;
  /** Rejects with LinkError, or with InputError when the other one refused. */
  readonly ask: (node: string, op: Op, body: Uint8Array, timeoutMs: number) => Promise<Uint8Array>;
  /** This node's own part in the group. */
  readonly hasSeat: () => boolean;
  readonly propose: (bytes: Uint8Array, timeoutMs: number) => Promise<Result>;
  readonly read: (timeoutMs: number) => Promise<void>;
  readonly mayFound: (caller: string) => FoundAnswer;
  /** Of the Raft group as this node has applied it. */
  readonly isInGroup: (node: string) => boolean;
}

const PULL_TIMEOUT_MS = 5_000;
/** What a peer asks for takes at most this long here: longer than two elections. */
const ANSWER_TIMEOUT_MS = 5_000;
/** A node in the group is told by Raft, soon: until then nobody need be asked. */
const PATIENCE_MS = 3_000;

/** The way around Raft: nodes without a seat learn what was agreed from any other (they needn't be in the group for that), and
 *  have those propose for them. */
export class Outside {
  readonly #o: OutsideOptions;
  readonly #openedMs: number;
  #behindSinceMs: number | null = null;
  /** Two nodes had different states of one version: a fault that nobody can mend alone. */
  differing = 0;

  constructor(options: OutsideOptions) {
    this.#o = options;
    this.#openedMs = options.world.clock.monotonicMs();
  }

  // ---- asking

  /** Asks for the newest state that anybody says to have, if that is newer than ours. */
  async pull(): Promise<void> {
    const { world, hasSeat, tag } = this.#o;
    const mine = tag();
    const best = this.#newest();
    this.#compare(mine);
    if (best === null || (mine !== null && compareTags(best.tag, mine) <= 0)) {
      this.#behindSinceMs = null;
      // Nobody has it from the only member: there may be a cluster that was founded before its directory was emptied.
      if (best !== null && this.#o.state()?.members.size === 1) await this.#pullFrom(best.id);
      return;
    }
    this.#behindSinceMs ??= world.clock.monotonicMs();
    if (hasSeat() && world.clock.monotonicMs() - this.#behindSinceMs < PATIENCE_MS) return;
    await this.#pullFrom(best.id);
  }

  async #pullFrom(node: string): Promise<void> {
    const { ask, adopt, world } = this.#o;
    try {
      adopt(await ask(node, "state", EMPTY_BYTES, PULL_TIMEOUT_MS));
    } catch (error) {
      // The next look asks again, perhaps another one.
      if (!(error instanceof LinkError || error instanceof InputError)) throw error;
      world.log.info("plane.state-not-pulled", { from: node, reason: error.message });
    }
  }

  #newest(): { readonly id: string; readonly tag: StateTag } | null {
    let best: { readonly id: string; readonly tag: StateTag } | null = null;
    for (const { id, state } of worthAsking(this.#o.neighbours()))
      if (state !== null && (best === null || compareTags(state, best.tag) > 0)) best = { id, tag: state };
    return best;
  }

  #compare(mine: StateTag | null): void {
    if (mine === null) return;
    const other = this.#o
      .neighbours()
      .find(({ isAlive, state }) => isAlive && state && compareTags(state, mine) === 0 && state.hash !== mine.hash);
    this.differing = other ? this.differing + 1 : 0;
    if (this.differing === 1)
      this.#o.world.log.error("plane.states-differ", { with: other?.id, version: mine.version });
  }

  /** Has somebody with a seat propose it. As `RaftHost.propose`. */
  async propose(bytes: Uint8Array, timeoutMs: number): Promise<Result> {
    const { id, answer } = await this.#askSeated("propose", bytes, timeoutMs);
    const outcome = outcomeIn(answer, id);
    if (outcome.kind === "unknown") throw new OutcomeUnknown(outcome.message);
    if (outcome.kind === "refused") throw new RaftRefusal(outcome.slug, outcome.message, outcome.retryAfterMs);
    const version = this.#o.tag()?.version ?? 0;
    if (outcome.result.ok && outcome.result.version > version) await this.#pullFrom(id);
    return outcome.result;
  }

  /** The newest state that anybody had acknowledged when this was called. Rejects with RaftRefusal. */
  async read(timeoutMs: number): Promise<void> {
    const { id, answer } = await this.#askSeated("read", EMPTY_BYTES, timeoutMs);
    try {
      this.#o.adopt(answer);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new RaftRefusal("no-leader", `${id}: ${error.message}`, RETRY_MS);
    }
  }

  /** Has the group let go of this node? It can be asked for that by any of its members that is up to date. Rejects with
   *  RaftRefusal or OutcomeUnknown. */
  async isLetGo(timeoutMs: number): Promise<boolean> {
    const { id, answer } = await this.#askSeated("let-go", EMPTY_BYTES, timeoutMs);
    try {
      return decodeLetGoAnswer(answer);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      throw new RaftRefusal("no-leader", `${id}: ${error.message}`, RETRY_MS);
    }
  }

  async #askSeated(
    op: Op,
    body: Uint8Array,
    timeoutMs: number,
  ): Promise<{ readonly id: string; readonly answer: Uint8Array }> {
    const { self, state, neighbours, ask } = this.#o;
    const known = state();
    const members = known?.members;
    // Everybody would refuse it, and from a refusal alone nobody can tell that nothing has happened.
    if (known && !members?.has(self))
      throw new RaftRefusal("not-a-member", `${self} is no member of ${known.cluster.name}: ask another node`, null);
    // Somebody without a seat would only ask the next.
    const [best] = worthAsking(neighbours()).filter(({ id }) => (members?.get(id)?.role ?? "voter") !== "none");
    if (!best) throw new RaftRefusal("no-leader", "no member of the Raft group can be reached: try again", RETRY_MS);
    try {
      return { id: best.id, answer: await ask(best.id, op, body, timeoutMs) };
    } catch (error) {
      if (error instanceof InputError) throw new RaftRefusal("no-leader", `${best.id}: ${error.message}`, RETRY_MS);
      if (error instanceof LinkError) throw new OutcomeUnknown(`${best.id} did not answer: ${error.message}`);
      throw error;
    }
  }

  /** A node that starts knows what it kept before Raft has told it how that came to be: soon, where there is a leader. */
  get awaitsLog(): boolean {
    return this.#o.hasSeat() && this.#o.world.clock.monotonicMs() - this.#openedMs < PATIENCE_MS;
  }

  /** Of this node itself: it lives, since it runs. */
  hearsayOf(node: string): Hearsay | null {
    if (node === this.#o.self) return { isAlive: true, sinceMs: this.#openedMs };
    return this.#o.neighbours().find(({ id }) => id === node) ?? null;
  }

  /** When a member was last heard of as alive (wall ms; now when it is); null: never. */
  heardAtMs(node: string): number | null {
    const { clock } = this.#o.world;
    const told = this.hearsayOf(node);
    if (told === null) return null;
    const agoMs = told.isAlive ? 0 : Math.max(0, clock.monotonicMs() - told.sinceMs);
    return Math.floor(clock.wallMs() - agoMs);
  }

  /** Without a seat: who leads by hearsay, and who shall vote. */
  statusOf(status: RaftStatus): RaftStatus {
    const { state, neighbours } = this.#o;
    const members = [...(state()?.members.values() ?? [])];
    const withRole = (role: Member["role"]): string[] => members.filter((one) => one.role === role).map(({ id }) => id);
    const leader = leaderAmong(neighbours())?.id ?? null;
    return { ...status, leader, voters: withRole("voter").sort(), learners: withRole("learner").sort() };
  }

  // ---- being asked

  /** Rejects with InputError on what it doesn't take: the caller is told. */
  async answer(op: string, body: Uint8Array, { node }: Pick<Hello, "node">): Promise<Uint8Array> {
    switch (parseOp(op)) {
      case "state":
        return this.#stateToTell();
      case "found":
        return encodeFoundAnswer(this.#o.mayFound(node));
      case "read":
        this.#mustHaveSeat(node);
        await this.#o.read(ANSWER_TIMEOUT_MS);
        return this.#stateToTell();
      case "let-go":
        this.#mustHaveSeat(node);
        await this.#o.read(ANSWER_TIMEOUT_MS);
        return encodeLetGoAnswer(!this.#o.isInGroup(node));
      case "propose":
        this.#mustHaveSeat(node);
        decodeCommand(body); // what isn't one stays out of the log
        return encodeOutcome(await this.#proposeFor(body));
    }
  }

  #stateToTell(): Uint8Array {
    const bytes = this.#o.stateBytes();
    if (bytes === null) throw new InputError("no-cluster", "this node has heard of no cluster yet");
    return bytes;
  }

  #mustHaveSeat(caller: string): void {
    const { state, hasSeat } = this.#o;
    if (!state()?.members.has(caller)) throw new InputError("not-a-member", `${caller} is no member of this cluster`);
    if (!hasSeat()) throw new InputError("no-seat", "this node has no part in the Raft group now: ask another one");
  }

  async #proposeFor(bytes: Uint8Array): Promise<ProposeOutcome> {
    try {
      return { kind: "applied", result: await this.#o.propose(bytes, ANSWER_TIMEOUT_MS) };
    } catch (error) {
      if (error instanceof OutcomeUnknown) return { kind: "unknown", message: error.message };
      if (!(error instanceof RaftRefusal)) throw error;
      return { kind: "refused", slug: error.slug, message: error.message, retryAfterMs: error.retryAfterMs };
    }
  }
}

/** What a later version answers may be unknown here, and what a damaged one does too: that is not this node's failure. */
function outcomeIn(answer: Uint8Array, from: string): ProposeOutcome {
  try {
    return decodeOutcome(answer);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new OutcomeUnknown(`${from} answered what this version can't read: ${error.message}`);
  }
}

const RETRY_MS = 1_000;
