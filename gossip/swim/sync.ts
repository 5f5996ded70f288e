import type { Rng } from "../../src/kernel/rng.ts";
import { type Endpoint, endpointKey, ipToBytes } from "../wire/address.ts";
import type { NodeState } from "../wire/messages.ts";
import type { PushPull, StreamMessage } from "../wire/stream.ts";
import type { SwimContext } from "./context.ts";
import type { MemberRecord } from "./member-table.ts";
import { pushPullMs } from "./profile.ts";
import type { Effect, StreamId } from "./protocol.ts";
import type { Rumours } from "./rumours.ts";
import type { SerfLayer } from "./serf.ts";
import { DIGEST_TAG, DIGEST_WAY, digestMessage, digestOf, isDigest, isSameTable } from "./table-digest.ts";

/** Connecting, sending both tables and reading them. Longer: a stuck stream holds its place longer. Shorter: large
 *  tables don't get through a slow line. */
export const STREAM_TIMEOUT_MS = 10_000;
/** The first pause after a failed try of the seeds; doubles up to the profile's `seedRetryMsMax`. */
const SEED_RETRY_MS_MIN = 1000;

type OpenStream = Extract<Effect, { kind: "open-stream" }>;

interface Seed {
  readonly address: Endpoint;
  /** Where a connection to it last ended: the address under which it is a member. */
  resolved: Endpoint;
  joinedMs: number;
  trying: boolean;
}

/** What a stream of ours is for: a seed, or a hash of the table that whoever is there may have as well. */
interface Asked {
  readonly seed?: Seed | undefined;
  readonly sent?: { readonly digest: Uint8Array; readonly to: Endpoint };
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
  /** Streams of ours that are under way. */
  readonly #open = new Map<StreamId, Asked>();

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
    if (partner) this.#compare(partner);
    this.#context.setTimer({ kind: "push-pull" }, pushPullMs(profile, table.poolSize));
  }

  reconnectTimer(): void {
    const { leaving, table, profile, rng } = this.#context;
    if (leaving) return;
    this.#context.setTimer({ kind: "reconnect" }, this.#jittered(profile.reconnectIntervalMs));
    const record = table.anyDead();
    if (record && rng.unit() * table.poolSize < table.deadCount) this.#pushPull(record.contact, undefined);
  }

  /** A question for a hash of our table; anything else that comes as a user message on a stream gets no answer. */
  answerDigest(id: StreamId, message: StreamMessage): void {
    const digest = isDigest(message) ? this.#digest() : null;
    if (digest) this.#context.emit({ kind: "reply", id, message: digestMessage(digest) });
    else this.#context.emit({ kind: "close-stream", id });
  }

  /** Merges first, answers then: an accusation against us in the asker's table is refuted in our answer. */
  answer(id: StreamId, request: PushPull): void {
    this.#merge(request);
    this.#context.emit({ kind: "reply", id, message: this.#tableOf(this.#context.table.records(), request.join) });
  }

  streamReply(id: StreamId, remote: Endpoint, message: StreamMessage): void {
    const asked = this.#open.get(id);
    if (!asked) return;
    this.#open.delete(id);
    const { seed, sent } = asked;
    if (sent) {
      if (!isSameTable(message, sent.digest)) this.#differs(sent.to);
      return;
    }
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
    const asked = this.#open.get(id);
    this.#open.delete(id);
    // Perhaps it knows no hashes, whatever its tag says: it is asked as anybody is.
    if (asked?.sent) this.#differs(asked.sent.to);
    else this.#seedFailed(asked?.seed, reason);
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

  /** Whole tables only where their hashes differ: in an idle pool they don't, however large it is. */
  #compare({ contact: to, meta }: MemberRecord): void {
    const digest = meta.get(DIGEST_TAG) === DIGEST_WAY ? this.#digest() : null;
    this.#context.counts.tableComparisons += 1;
    if (digest) this.#openStream(to, digestMessage(digest), { sent: { digest, to } });
    else this.#differs(to);
  }

  #differs(to: Endpoint): void {
    if (this.#context.leaving) return;
    this.#context.counts.tableDifferences += 1;
    this.#pushPull(to, undefined);
  }

  /** Null where the host gave no hash function. */
  #digest(): Uint8Array | null {
    const { sha256 } = this.#context.config;
    const records = [...this.#context.table.records()].sort((a, b) => (a.name < b.name ? -1 : 1));
    return sha256 ? digestOf(this.#tableOf(records, false), sha256) : null;
  }

  #pushPull(to: Endpoint, seed: Seed | undefined): StreamId {
    if (seed) seed.trying = true;
    return this.#openStream(to, this.#tableOf(this.#context.table.records(), seed !== undefined), { seed });
  }

  #openStream(to: Endpoint, message: OpenStream["message"], asked: Asked): StreamId {
    const id = this.#context.nextStream();
    this.#open.set(id, asked);
    this.#context.emit({ kind: "open-stream", id, to, message, timeoutMs: STREAM_TIMEOUT_MS });
    return id;
  }

  #merge(message: PushPull): void {
    for (const node of message.nodes) this.#rumours.row(node);
    this.#serf.merge(message.userState);
  }

  #tableOf(records: Iterable<MemberRecord>, join: boolean): PushPull {
    const rows = [...records];
    return { type: "push-pull", join, nodes: rows.map(rowOf), userState: this.#serf.state(rows) };
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
