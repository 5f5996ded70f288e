import type { Config } from "../config/types.ts";
import type { RaftHost } from "../consensus/driver/host.ts";
import { OutcomeUnknown, RaftRefusal } from "../consensus/driver/refusal.ts";
import type { Result } from "../control/apply.ts";
import type { Member } from "../control/schemas.ts";
import { type ControlState, LEVEL_KNOWN } from "../control/state.ts";
import { InputError } from "../kernel/assert.ts";
import { toHex } from "../kernel/bytes.ts";
import { LinkError } from "../peer/link.ts";
import type { World } from "../world/world.ts";
import type { Wish } from "./api.ts";
import { type FoundingPlan, foundingOf, foundingPlan } from "./founding.ts";
import type { Neighbour } from "./neighbours.ts";
import { decodeFoundAnswer, type FoundAnswer } from "./requests.ts";

export interface SeatOptions {
  /** It is asked for only after it was opened. */
  readonly host: () => Pick<RaftHost<Result>, "status" | "found" | "renew" | "reconsider">;
  readonly config: Config;
  readonly world: World;
  readonly partitionBits: number;
  readonly state: () => ControlState | null;
  readonly neighbours: () => readonly Neighbour[];
  /** Where others reach this node; null while it opens its listeners. */
  readonly addresses: () => Member["addresses"] | null;
  readonly propose: (wish: Wish, timeoutMs: number) => Promise<Result>;
  /** Rejects with LinkError or InputError. */
  readonly askToFound: (node: string, timeoutMs: number) => Promise<Uint8Array>;
  /** The state that is known is kept for the next start; false: there was no room. */
  readonly keep: () => Promise<boolean>;
}

const INSTANCE_BYTES = 16;
const CLAIM_TIMEOUT_MS = 3_000;
/** After a refusal: what it depends on changes slowly. */
const CLAIM_RETRY_MS = 5_000;
const ASK_TIMEOUT_MS = 1_000;
/** Whoever was promised that it may found has founded by then, or died. */
const PROMISE_MS = 10_000;

type Host = ReturnType<SeatOptions["host"]>;

/** Which Raft log this node takes part with, if any. Each log has an instance, drawn at its creation, and the cluster knows
 *  whose instance is whose: who lost its log, went back to an older copy of it, or was left behind by a recovered cluster draws
 *  a new one and has it agreed first, by which it leaves the group of voters. So nobody counts a vote or an acknowledgement of
 *  who may have forgotten others (etcd: a member that lost its data comes back as another member). */
export class Seat {
  readonly #o: SeatOptions;
  /** A new log's, while it isn't agreed. */
  #drawn: string | null = null;
  /** The log that the agreed state last knew as this node's, in this run. */
  #held: string | null = null;
  #claimNotBeforeMs = 0;
  #promised: { readonly to: string; readonly untilMs: number } | null = null;
  /** What it waits for; null when it has its place. */
  why: string | null = null;

  constructor(options: SeatOptions) {
    this.#o = options;
  }

  get #host(): Host {
    return this.#o.host();
  }

  /** One step towards the log that it should have. Called now and then. */
  async look(): Promise<void> {
    const { state: doing, instance } = this.#host.status();
    if (doing === "failed" || doing === "stopped" || doing === "waiting") return;
    const state = this.#o.state();
    if (state === null) {
      if (doing === "empty") await this.#found();
      return;
    }
    await this.#host.reconsider();
    const me = state.members.get(this.#self);
    if (!me) {
      this.why = `${this.#self} is no member of ${state.cluster.name}`;
      return;
    }
    if (this.#drawn !== null && me.instance === this.#drawn) await this.#renew(this.#drawn);
    else if (doing === "damaged" || instance === null || me.instance !== instance) {
      this.#drawn ??= toHex(this.#o.world.secretBytes(INSTANCE_BYTES));
      await this.#claim(this.#drawn, me);
    } else {
      this.why = null;
      if (!isSame(me, this.#o.addresses() ?? me.addresses, this.#o.config.node.zone)) await this.#claim(instance, me);
    }
  }

  get #self(): string {
    return this.#o.config.node.id;
  }

  /** May a log take part? Says why not. */
  mayTakePart({ instance, isEmpty }: { readonly instance: string; readonly isEmpty: boolean }): true | string {
    const state = this.#o.state();
    if (state === null) return isEmpty ? "it has heard of no cluster yet" : true;
    const me = state.members.get(this.#self);
    // Who goes is needed until the group has let go of it: of two voters, one can't do that alone.
    if (!me) return this.#held === instance && !isEmpty ? true : `${this.#self} is no member of ${state.cluster.name}`;
    if (me.instance === instance) this.#held = instance;
    if (me.instance !== instance)
      return "its Raft log isn't the one that the cluster knows of it: a new one takes its place when that was agreed";
    // With entries it may still be needed to let it go.
    return me.role !== "none" || !isEmpty ? true : "it isn't needed in the Raft group: others tell it what was agreed";
  }

  // ---- a cluster that isn't there yet

  async #found(): Promise<void> {
    const { config, world, partitionBits } = this.#o;
    const plan = foundingPlan(config, this.#o.neighbours());
    if (plan.kind === "wait") {
      this.why = plan.why;
      return;
    }
    if (!(await this.#isLetFound(plan))) return;
    const instance = toHex(world.secretBytes(INSTANCE_BYTES));
    const atMs = Math.max(0, Math.floor(world.clock.wallMs()));
    const { cluster } = config;
    const data = foundingOf(
      { cluster, self: this.#self },
      plan.founders,
      { instance, partitionBits, atMs },
      world.sha256,
    );
    world.log.info("cluster.founded", { founders: plan.founders.map(({ id }) => id).join(" ") });
    await this.#host.found([this.#self], data, instance);
    this.why = null;
  }

  async #isLetFound({ others, needed }: Extract<FoundingPlan, { kind: "found" }>): Promise<boolean> {
    if (this.#isPromised(this.#self)) {
      this.why = `waiting for ${this.#promised?.to} to found the cluster`;
      return false;
    }
    const { clock } = this.#o.world;
    const untilMs = clock.monotonicMs() + PROMISE_MS / 2;
    // Nobody else is let meanwhile: of two that ask each other, one would go on and the other too.
    this.#promised = { to: this.#self, untilMs: clock.monotonicMs() + PROMISE_MS };
    const answers = await Promise.all(others.map((other) => this.#askToFound(other)));
    const agreeing = answers.filter((answer) => answer === "yes").length;
    if (answers.includes("state")) this.why = "there is a cluster: waiting to hear its state";
    else if (agreeing < needed || answers.includes("other"))
      this.why = `waiting for ${others.join(", ")}: ${agreeing} of ${needed} have said that they know of no cluster yet`;
    else if (clock.monotonicMs() >= untilMs) this.why = "this process stood still: what was promised to it may be over";
    else return this.#host.status().state === "empty" && this.#o.state() === null;
    return false;
  }

  async #askToFound(other: string): Promise<FoundAnswer | null> {
    try {
      return decodeFoundAnswer(await this.#o.askToFound(other, ASK_TIMEOUT_MS));
    } catch (error) {
      if (error instanceof LinkError || error instanceof InputError) return null; // it isn't there yet
      throw error;
    }
  }

  /** What this node says to one that wants to found. */
  answerFound(caller: string): FoundAnswer {
    if (this.#o.state() !== null || this.#host.status().state !== "empty") return "state";
    if (this.#isPromised(caller)) return "other";
    this.#promised = { to: caller, untilMs: this.#o.world.clock.monotonicMs() + PROMISE_MS };
    return "yes";
  }

  #isPromised(butTo: string): boolean {
    const promise = this.#promised;
    return promise !== null && promise.to !== butTo && this.#o.world.clock.monotonicMs() < promise.untilMs;
  }

  // ---- the log of a member

  async #renew(instance: string): Promise<void> {
    // Kept first: without it a start would find a log that nobody knows of, and claim again.
    if (!(await this.#o.keep())) return;
    await this.#host.renew(instance);
    this.#drawn = null;
    this.why = null;
  }

  async #claim(instance: string, { weight }: Readonly<Member>): Promise<void> {
    const { world, propose } = this.#o;
    const addresses = this.#o.addresses();
    if (addresses === null || world.clock.monotonicMs() < this.#claimNotBeforeMs) return;
    this.#claimNotBeforeMs = world.clock.monotonicMs() + CLAIM_RETRY_MS;
    const wish: Wish = {
      kind: "update-member",
      member: this.#self,
      instance,
      addresses,
      protocol: { min: 1, max: LEVEL_KNOWN },
      weight,
      zone: this.#o.config.node.zone,
      by: this.#self,
      reason: null,
      ifVersion: null,
    };
    try {
      const result = await propose(wish, CLAIM_TIMEOUT_MS);
      this.why = result.ok ? null : result.message;
      if (result.ok) this.#claimNotBeforeMs = 0;
      else world.log.warn("seat.refused", { reason: result.message });
    } catch (error) {
      // An address that no member may have is refused before it is asked for: the data goes on without a seat (I10).
      if (!(error instanceof InputError || error instanceof OutcomeUnknown)) throw error;
      this.why = `its part in the Raft group is not agreed yet: ${error.message}`;
      if (error instanceof RaftRefusal || error instanceof OutcomeUnknown) this.#claimNotBeforeMs = 0;
    }
  }
}

function isSame({ addresses, protocol, zone }: Readonly<Member>, mine: Member["addresses"], myZone: string): boolean {
  return (
    zone === myZone &&
    addresses.client === mine.client &&
    addresses.gossip === mine.gossip &&
    addresses.peer === mine.peer &&
    protocol.max === LEVEL_KNOWN
  );
}
