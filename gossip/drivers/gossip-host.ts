import { assertNever, present } from "../../src/kernel/assert.ts";
import type { Address, DatagramSocket, Listener } from "../../src/world/world.ts";
import { formatAddress } from "../../src/world/world.ts";
import { type AskedSource, parseSeed, type SeedSource } from "../discovery/notation.ts";
import {
  canonicalHost,
  decodePacket,
  type Effect,
  type Envelope,
  encodePacket,
  incarnationOfStart,
  type KeyOperation,
  type Member,
  type MemberEvent,
  roomForMessages,
  Swim,
  type SwimCounts,
  type SwimEvent,
} from "../index.ts";
import { checkConfig, envelopeOf, type GossipOptions, MEMBERS_MAX, startOf, usableAddress } from "./gossip-options.ts";
import { GossipStreams } from "./gossip-streams.ts";
import { LateTimers } from "./late-timers.ts";
import { SeedFinder, type SeedSourceView } from "./seed-finder.ts";

export type { KeyOperation, Member, MemberEvent } from "../index.ts";
export type { GossipConfig, GossipOptions, GossipWorld } from "./gossip-options.ts";
export type { LookupConfig, SeedSourceView } from "./seed-finder.ts";
export type KeyReport = Pick<Extract<Effect, { kind: "key-report" }>, "members" | "answers">;

export interface GossipHost {
  /** What others are told. */
  readonly local: Address;
  readonly self: Member;
  /** Everyone we know, ourselves included, the dead and the left until they are reclaimed. Hearsay (I11). */
  members(): Member[];
  member(name: string): Member | undefined;
  /** Throws InputError above 512 bytes; nothing has changed then. */
  updateMeta(meta: ReadonlyMap<string, string>): void;
  /** This member's keys, the one in use first; empty when gossip is not encrypted. */
  ownKeys(): readonly Uint8Array[];
  /** Changes the keyring of all members, or asks for it; resolves when all have answered, or with those who did in time.
   *  `key` is empty for "list". */
  keys(operation: KeyOperation, key: Uint8Array): Promise<KeyReport>;
  /** Tells the others that we go; resolves when the news is on its way (≤ 7 s). Then `close`. */
  leave(): Promise<void>;
  /** Ends all at once, without a word to the others. */
  close(): Promise<void>;
  figures(): GossipFigures;
  /** How the sources of seeds stand that have to be asked. */
  seedSources(): readonly SeedSourceView[];
}

/** Counted since the start, but for what is so now. */
export interface GossipFigures extends SwimCounts {
  /** What was dropped, by reason. */
  readonly rejects: ReadonlyMap<string, number>;
  /** Now: how unwell this member is (0 to 8), and news about members that is still being sent. */
  readonly awareness: number;
  readonly queuedNews: number;
  readonly packetsSent: number;
  readonly packetsReceived: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** How often this process stood still, and for how long in all. */
  readonly stalls: number;
  readonly stalledMs: number;
  /** What the kernel granted of the 4 MiB that were asked for; in a flood, more of it keeps more. */
  readonly receiveBufferBytes: number;
}

/** A port that UDP got may be taken on TCP: how many are tried. */
const PORT_TRIES = 10;
/** Shorter stalls are everyday life, longer ones the operator should know of. */
const STALL_WARN_MS = 500;

/** Starts a member and joins its seeds in the background, for ever.
 *  Rejects with InputError when an option is unusable or an address can't be bound. */
export async function startGossip(options: GossipOptions): Promise<GossipHost> {
  const { config, world } = options;
  checkConfig(config);
  const seeds = config.seeds.map(parseSeed);
  const host = new Host(options);
  await host.listen();
  try {
    host.run(seeds, (config.remembered ?? []).flatMap(usableAddress));
  } catch (error) {
    await host.close(); // or the port stays taken
    throw error;
  }
  world.log.info("gossip.started", { name: config.name, local: formatAddress(host.local), seeds: config.seeds });
  return host;
}

class Host implements GossipHost {
  readonly #options: GossipOptions;
  readonly #envelope: Envelope;
  readonly #rejects = new Map<string, number>();
  readonly #traffic = {
    packetsSent: 0,
    packetsReceived: 0,
    sentBytes: 0,
    receivedBytes: 0,
    stalls: 0,
    stalledMs: 0,
  };
  readonly #timers: LateTimers;
  readonly #streams: GossipStreams;
  #machine: Swim | undefined;
  #finder: SeedFinder | undefined;
  #socket: DatagramSocket | undefined;
  #listener: Listener | undefined;
  #closed = false;
  /** Effects not yet carried out; a host that calls back from an event adds to their end. */
  #effects: Effect[] = [];
  #performing = false;
  #thrown: { readonly error: unknown } | null = null;
  #lastKeyAsker = 0;
  readonly #keyAskers = new Map<number, (report: KeyReport) => void>();
  readonly #leavers: (() => void)[] = [];
  #left = false;

  constructor(options: GossipOptions) {
    this.#options = options;
    this.#envelope = envelopeOf(options);
    const { world } = options;
    this.#timers = new LateTimers(world, (byMs) => {
      world.log[byMs >= STALL_WARN_MS ? "warn" : "debug"]("gossip.stalled", { byMs });
      this.#traffic.stalls += 1;
      this.#traffic.stalledMs += byMs;
      this.#step({ kind: "stalled", byMs });
    });
    this.#streams = new GossipStreams({
      world,
      timers: this.#timers,
      envelope: this.#envelope,
      nodesMax: MEMBERS_MAX,
      step: (event) => this.#step(event),
      onReject: (reason) => this.#count(reason),
    });
  }

  /** Binds UDP and TCP on one port. */
  async listen(): Promise<void> {
    const { bind } = this.#options.config;
    const { network, log } = this.#options.world;
    for (let attempt = 1; ; attempt++) {
      const socket = await network.bindDatagrams(bind, (bytes, from) => this.#onPacket(bytes, from));
      try {
        const local = { host: bind.host, port: socket.local.port };
        this.#listener = await network.listen(local, (stream) => this.#streams.accept(stream));
        this.#socket = socket;
        log.info("gossip.listening", { local: formatAddress(local), receiveBufferBytes: socket.receiveBufferBytes });
        return;
      } catch (error) {
        socket.close();
        if (bind.port !== 0 || attempt >= PORT_TRIES) throw error;
      }
    }
  }

  run(sources: readonly SeedSource[], remembered: readonly Address[]): void {
    const { config, meta, world } = this.#options;
    const { profile, name } = config;
    const self = { name, address: this.local, meta, incarnation: incarnationOfStart(startOf(meta, world)) };
    const packetBytes = roomForMessages(this.#envelope);
    const swim = {
      profile,
      packetBytes,
      membersMax: MEMBERS_MAX,
      keyring: this.#envelope.keyring,
      sha256: world.sha256,
    };
    this.#machine = new Swim(swim, self, world.rng.fork());
    this.#step({ kind: "start" });
    const fixed = sources.flatMap((source) => (source.kind === "static" ? [source.address] : []));
    const join = (seeds: readonly Address[]): void => this.#step({ kind: "join", seeds, remembered });
    join(fixed);
    const asked = sources.filter((source): source is AskedSource => source.kind !== "static");
    if (asked.length === 0) return;
    const { lookups } = config;
    this.#finder = new SeedFinder({ world, lookups, fixed, sources: asked, onSeeds: join });
    this.#finder.start();
  }

  get local(): Address {
    const { bind, advertise } = this.#options.config;
    const boundPort = present(this.#socket, "a host is handed out when it listens").local.port;
    const { host, port } = advertise ?? bind;
    return { host: canonicalHost(host), port: port === 0 ? boundPort : port };
  }

  get self(): Member {
    return this.#running().self;
  }

  members(): Member[] {
    return this.#running().members();
  }

  member(name: string): Member | undefined {
    return this.#running().member(name);
  }

  figures(): GossipFigures {
    const machine = this.#running();
    return {
      ...machine.counts,
      ...this.#traffic,
      rejects: this.#rejects,
      awareness: machine.awareness,
      queuedNews: machine.sizes().queued,
      receiveBufferBytes: present(this.#socket, "a host is handed out when it listens").receiveBufferBytes,
    };
  }

  seedSources(): readonly SeedSourceView[] {
    return this.#finder?.views() ?? [];
  }

  updateMeta(meta: ReadonlyMap<string, string>): void {
    this.#step({ kind: "update-meta", meta });
  }

  ownKeys(): readonly Uint8Array[] {
    return this.#envelope.keyring?.keys ?? [];
  }

  keys(operation: KeyOperation, key: Uint8Array): Promise<KeyReport> {
    if (this.#closed) return Promise.resolve({ members: 0, answers: new Map() });
    this.#lastKeyAsker += 1;
    const id = this.#lastKeyAsker;
    return new Promise((resolve) => {
      this.#keyAskers.set(id, resolve);
      this.#step({ kind: "ask-keys", id, operation, key });
    });
  }

  leave(): Promise<void> {
    if (this.#left || this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      this.#leavers.push(resolve);
      this.#step({ kind: "leave" });
    });
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#finder?.close();
    this.#timers.close();
    this.#streams.close();
    this.#socket?.close();
    this.#endLeave();
    for (const resolve of this.#keyAskers.values()) resolve({ members: 0, answers: new Map() });
    this.#keyAskers.clear();
    await this.#listener?.close();
  }

  #running(): Swim {
    return present(this.#machine, "a host is handed out when it runs");
  }

  #onPacket(bytes: Uint8Array, from: Address): void {
    if (this.#closed || !this.#machine) return;
    this.#timers.arrived();
    this.#traffic.packetsReceived += 1;
    this.#traffic.receivedBytes += bytes.length;
    const { messages, rejects, sealed = false } = decodePacket(bytes, this.#envelope);
    for (const reason of rejects) this.#count(reason);
    if (messages.length === 0) return;
    const roomBytes = bytes.length - this.#envelope.overheadBytes;
    const sender = { host: canonicalHost(from.host), port: from.port };
    this.#step({ kind: "packet", from: sender, messages, roomBytes, sealed });
  }

  #step(event: SwimEvent): void {
    if (this.#closed) return;
    this.#effects.push(...this.#running().step(event, this.#options.world.clock.monotonicMs()));
    if (this.#performing) return;
    this.#performing = true;
    try {
      while (this.#effects.length > 0 && !this.#closed) {
        const effects = this.#effects;
        this.#effects = [];
        for (const effect of effects) this.#perform(effect);
      }
    } finally {
      this.#performing = false;
    }
    const thrown = this.#thrown;
    this.#thrown = null;
    if (thrown) throw thrown.error;
  }

  #perform(effect: Effect): void {
    const { log } = this.#options.world;
    switch (effect.kind) {
      case "send":
        this.#send(effect);
        break;
      case "open-stream":
        this.#streams.open(effect);
        break;
      case "reply":
        this.#streams.reply(effect.id, effect.message);
        break;
      case "close-stream":
        this.#streams.closeInbound(effect.id);
        break;
      case "set-timer":
        this.#timers.after(effect.delayMs, () => this.#step({ kind: "timer", token: effect.token }));
        break;
      case "notify":
        this.#tell(effect.event);
        break;
      case "joined":
        log.info("gossip.joined", { seed: formatAddress(effect.seed), members: effect.members });
        break;
      case "join-failed":
        log.info("gossip.join-failed", { ...effect, seed: formatAddress(effect.seed) });
        break;
      case "reject":
        this.#count(effect.reason);
        break;
      case "key-report":
        this.#keyAskers.get(effect.id)?.(effect);
        this.#keyAskers.delete(effect.id);
        break;
      case "leave-done":
        this.#endLeave();
        break;
      default:
        assertNever(effect);
    }
  }

  /** Whoever throws in it is told so, when what the machine wanted is done. */
  #tell(event: MemberEvent): void {
    try {
      this.#options.onEvent(event);
    } catch (error) {
      this.#thrown ??= { error };
    }
  }

  #send({ to, messages, crc }: Extract<Effect, { kind: "send" }>): void {
    const bytes = encodePacket(messages, this.#envelope, crc);
    this.#traffic.packetsSent += 1;
    this.#traffic.sentBytes += bytes.length;
    this.#socket?.send(to, bytes);
  }

  #endLeave(): void {
    this.#left = true;
    for (const resolve of this.#leavers.splice(0)) resolve();
  }

  #count(reason: string): void {
    this.#rejects.set(reason, (this.#rejects.get(reason) ?? 0) + 1);
  }
}
