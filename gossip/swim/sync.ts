import type { Rng } from "../../src/kernel/rng.ts";
import { type Endpoint, endpointKey, ipToBytes } from "../wire/address.ts";
import type { NodeState } from "../wire/messages.ts";
import type { PushPull, StreamMessage } from "../wire/stream.ts";
import type { SwimContext } from "./context.ts";
import type { MemberRecord } from "./member-table.ts";
import { pushPullMs } from "./profile.ts";
import type { StreamId } from "./protocol.ts";
import type { Rumours } from "./rumours.ts";
import type { SerfLayer } from "./serf.ts";

/** Connecting, sending both tables and reading them. Longer: a stuck stream holds its place longer. Shorter: large
 *  tables don't get through a slow line. */
export const STREAM_TIMEOUT_MS = 10_000;
/** The first pause after a failed try of the seeds; doubles up to the profile's `seedRetryMsMax`. */
const SEED_RETRY_MS_MIN = 1000;

interface Seed {
  readonly address: Endpoint;
  /** Where a connection to it last ended: the address under which it is a member. */
  resolved: Endpoint;
  joinedMs: number;
  trying: boolean;
}

/** Comparing whole tables: with a random member now and then, with the seeds until each is an alive member, with the
 *  dead in case they are not. */
export class Sync {
  readonly #context: SwimContext;
  readonly #rumours: Rumours;
  readonly #serf: SerfLayer;
  #seeds: Seed[] = [];
  #remembered: readonly Endpoint[] = [];
  #rememberedTry: StreamId = 0;
  #seedTries = 0;
  #seedTimer = 0;
  /** Streams of ours that are under way, with the seed they are for. */
  readonly #open = new Map<StreamId, Seed | undefined>();

  constructor(context: SwimContext, rumours: Rumours, serf: SerfLayer) {
    this.#context = context;
    this.#rumours = rumours;
    this.#serf = serf;
  }

  start(): void {
    const { profile, rng } = this.#context;
    this.#context.setTimer({ kind: "push-pull" }, profile.pushPullIntervalMs * rng.unit());
    this.#context.setTimer({ kind: "reconnect" }, profile.reconnectIntervalMs * rng.unit());
  }

  /** Seeds that stay keep what is known of them, or a changed list would compare tables with all of them again. */
  join(seeds: readonly Endpoint[], remembered: readonly Endpoint[]): void {
    this.#remembered = remembered;
    const known = new Map(this.#seeds.map((seed) => [endpointKey(seed.address), seed]));
    this.#seeds = seeds.map(
      (address) =>
        known.get(endpointKey(address)) ?? {
          address,
          resolved: address,
          joinedMs: Number.NEGATIVE_INFINITY,
          trying: false,
        },
    );
    this.#seedTries = 0;
    this.trySeeds();
  }

  /** For ever: after a cut of any length, or when all seeds were gone at the start, the halves must meet again
   *  unattended. Alone, all seeds are tried; with company one is enough, for what it knows spreads. */
  trySeeds(): void {
    const { leaving, rng, profile, table } = this.#context;
    if (leaving || this.#seeds.length + this.#remembered.length === 0) return;
    const missing = this.#seeds.filter((seed) => !this.#isMember(seed));
    const idle = missing.filter((seed) => !seed.trying);
    const chosen = table.liveCount === 0 ? idle : anyOf(idle, rng);
    const isSettled = missing.length === 0 && table.liveCount > 0;
    const pauseMs = isSettled ? profile.seedRetryMsMax : this.#seedPauseMs();
    this.#seedTries = isSettled ? 0 : Math.min(16, this.#seedTries + 1);
    for (const seed of chosen) this.#pushPull(seed.address, seed);
    if (table.liveCount === 0 && !this.#open.has(this.#rememberedTry))
      for (const address of anyOf(this.#remembered, rng)) this.#rememberedTry = this.#pushPull(address, undefined);
    this.#context.dropTimer(this.#seedTimer);
    this.#seedTimer = this.#context.setTimer({ kind: "seeds" }, this.#jittered(pauseMs));
  }

  pushPullTimer(): void {
    const { leaving, table, profile, nowMs, vivaldi } = this.#context;
    if (leaving) return;
    for (const name of table.reclaim(nowMs - profile.reclaimMs)) vivaldi.forget(name);
    const [partner] = table.sampleLive(1, (record) => record.state === "alive");
    if (partner) this.#pushPull(partner.contact, undefined);
    this.#context.setTimer({ kind: "push-pull" }, pushPullMs(profile, table.poolSize));
  }

  reconnectTimer(): void {
    const { leaving, table, profile, rng } = this.#context;
    if (leaving) return;
    this.#context.setTimer({ kind: "reconnect" }, this.#jittered(profile.reconnectIntervalMs));
    const record = table.anyDead();
    if (record && rng.unit() * table.poolSize < table.deadCount) this.#pushPull(record.contact, undefined);
  }

  /** Merges first, answers then: an accusation against us in the asker's table is refuted in our answer. */
  answer(id: StreamId, request: PushPull): void {
    this.#merge(request);
    this.#context.emit({ kind: "reply", id, message: this.#table(request.join) });
  }

  streamReply(id: StreamId, remote: Endpoint, message: StreamMessage): void {
    const seed = this.#open.get(id);
    if (!this.#open.delete(id)) return;
    if (message.type !== "push-pull") {
      this.#seedFailed(seed, message.type === "error" ? message.text : `it answered with ${message.type}`);
      return;
    }
    this.#merge(message);
    if (!seed) return;
    seed.trying = false;
    seed.resolved = remote;
    seed.joinedMs = this.#context.nowMs;
    this.#context.emit({ kind: "joined", seed: seed.address, members: this.#context.table.poolSize });
  }

  streamFailed(id: StreamId, reason: string): void {
    const seed = this.#open.get(id);
    this.#open.delete(id);
    this.#seedFailed(seed, reason);
  }

  #seedFailed(seed: Seed | undefined, reason: string): void {
    if (!seed) return;
    seed.trying = false;
    const nextTryMs = this.#seedPauseMs();
    this.#context.emit({ kind: "join-failed", seed: seed.address, reason, nextTryMs });
  }

  #seedPauseMs(): number {
    return Math.min(this.#context.profile.seedRetryMsMax, SEED_RETRY_MS_MIN * 2 ** this.#seedTries);
  }

  #pushPull(to: Endpoint, seed: Seed | undefined): StreamId {
    const id = this.#context.nextStream();
    if (seed) seed.trying = true;
    this.#open.set(id, seed);
    const message = this.#table(seed !== undefined);
    this.#context.emit({ kind: "open-stream", id, to, message, timeoutMs: STREAM_TIMEOUT_MS });
    return id;
  }

  #merge(message: PushPull): void {
    for (const node of message.nodes) this.#rumours.row(node);
    this.#serf.merge(message.userState);
  }

  #table(join: boolean): PushPull {
    const nodes: NodeState[] = [];
    for (const record of this.#context.table.records()) nodes.push(rowOf(record));
    return { type: "push-pull", join, nodes, userState: this.#serf.state() };
  }

  /** Ourselves count too: every node may be given the same list of seeds. Where the network doesn't say what a name
   *  resolved to, a seed counts as there for a while after it answered. */
  #isMember(seed: Seed): boolean {
    const { table, nowMs, profile } = this.#context;
    if (ipToBytes(seed.resolved.host) === undefined) return nowMs - seed.joinedMs < profile.pushPullIntervalMs;
    if (this.#context.isOurs(seed.resolved)) return true;
    return table.at(seed.resolved)?.state === "alive";
  }

  #jittered(ms: number): number {
    return ms * (0.75 + 0.25 * this.#context.rng.unit());
  }
}

function rowOf(record: MemberRecord): NodeState {
  const { name, incarnation, state, address, metaBytes, vsn } = record;
  return { node: name, incarnation, state, address, meta: metaBytes, vsn };
}

function anyOf<T>(items: readonly T[], rng: Rng): readonly T[] {
  return items.length === 0 ? [] : [items[rng.below(items.length)] as T];
}
