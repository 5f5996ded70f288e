import { InputError, InternalError } from "../kernel/assert.ts";
import type { Rng } from "../kernel/rng.ts";
import { ShapedStream, type Shaper } from "./shaped-stream.ts";
import { type Address, formatAddress, type Network, type Stream, type Timers } from "./world.ts";

/** What this node's drivers let through. Pairs of regions have no direction; only pairs with our own region matter here. */
export interface NetworkRules {
  /** Nothing passes between these regions, in both directions. */
  readonly cut: readonly (readonly [string, string])[];
  /** One way, by pair "eu-us": what we send to that region arrives that much later. */
  readonly delayMs: Readonly<Record<string, number>>;
  /** Of the datagrams that we send, by pair "eu-us"; a plain number holds for all of them. */
  readonly lossPercent: Readonly<Record<string, number>> | number;
}

export interface ShapedNetwork {
  readonly network: Network;
  /** Replaces all rules at once. Throws InputError ("bad-network-rules"); then nothing has changed. */
  apply(rules: NetworkRules): void;
  rules(): NetworkRules;
  /** Says in which region the other side of an accepted stream is, once it has said who it is. */
  attribute(stream: Stream, region: string): void;
}

export interface ShapingParts {
  /** The region that this node is in. */
  readonly self: string;
  readonly timers: Timers;
  readonly rng: Rng;
  /** Where an address is, as far as known; rules don't apply to the unknown. Asked again each time. */
  readonly regionOf: (address: Address) => string | undefined;
}

const DELAY_MS_MAX = 60_000;
/** Datagrams under way through a delay. Those above are lost, as in any full queue. */
const DELAYED_DATAGRAMS_MAX = 10_000;

/** The network of a node whose drivers can be told to cut, delay and lose: dev mode shows partitions on one machine with
 *  it. Clients' HTTP passes untouched. A cut connection is silent, as in life: connecting times out, streams hold their
 *  bytes (shaped-stream.ts) until the cut heals. */
export function shapeNetwork(network: Network, parts: ShapingParts): ShapedNetwork {
  const rulebook = new Rulebook(parts);
  return {
    network: {
      bindDatagrams: (local, onPacket) => bindShaped(network, parts, rulebook, local, onPacket),
      connect: (to, timeoutMs) => connectShaped(network, parts, rulebook, to, timeoutMs),
      listen: (local, onStream) => network.listen(local, (stream) => onStream(rulebook.shape(stream, () => undefined))),
      serveHttp: (local, handler, limits) => network.serveHttp(local, handler, limits),
      resolve: (name, limits) => network.resolve(name, limits),
      resolveServices: (name, limits) => network.resolveServices(name, limits),
      httpGet: (request) => network.httpGet(request),
    },
    apply: (rules) => rulebook.apply(rules),
    rules: () => rulebook.rules,
    attribute(stream, region) {
      if (!(stream instanceof ShapedStream)) throw new InternalError("only streams of this network can be attributed");
      stream.attribute(region);
    },
  };
}

/** The rules of the moment as seen from our own region, and the streams that must hear of new ones. */
class Rulebook implements Shaper {
  readonly timers: Timers;
  readonly #self: string;
  readonly #streams = new Set<ShapedStream>();
  #rules: NetworkRules = { cut: [], delayMs: {}, lossPercent: 0 };
  #cutRegions = new Set<string>();
  #delays = new Map<string, number>();
  #losses = new Map<string, number>();

  constructor(parts: ShapingParts) {
    this.timers = parts.timers;
    this.#self = parts.self;
  }

  get rules(): NetworkRules {
    return this.#rules;
  }

  apply(rules: NetworkRules): void {
    checkRules(rules);
    const self = this.#self;
    this.#rules = rules;
    this.#cutRegions = new Set(rules.cut.flatMap(([a, b]) => (a === self ? [b] : b === self ? [a] : [])));
    this.#delays = new Map(Object.entries(rules.delayMs));
    this.#losses = new Map(typeof rules.lossPercent === "number" ? [] : Object.entries(rules.lossPercent));
    // A copy: a stream that can't go on closes, and leaves the set.
    for (const stream of [...this.#streams]) stream.rulesChanged();
  }

  isCut(region: string | undefined): boolean {
    return region !== undefined && this.#cutRegions.has(region);
  }

  delayMs(region: string | undefined): number {
    return this.#ofPair(this.#delays, region);
  }

  lossPercent(region: string | undefined): number {
    const { lossPercent } = this.#rules;
    return typeof lossPercent === "number" ? lossPercent : this.#ofPair(this.#losses, region);
  }

  #ofPair(values: Map<string, number>, region: string | undefined): number {
    if (values.size === 0 || region === undefined) return 0;
    return values.get(`${this.#self}-${region}`) ?? values.get(`${region}-${this.#self}`) ?? 0;
  }

  shape(stream: Stream, region: () => string | undefined): ShapedStream {
    const shaped = new ShapedStream(stream, region, this);
    this.#streams.add(shaped);
    return shaped;
  }

  forget(stream: ShapedStream): void {
    this.#streams.delete(stream);
  }
}

async function connectShaped(
  network: Network,
  { regionOf, timers }: ShapingParts,
  rulebook: Rulebook,
  to: Address,
  timeoutMs: number,
): Promise<Stream> {
  const pass = (ms: number): Promise<void> => new Promise((resolve) => void timers.after(ms, resolve));
  const roundTripMs = Math.min(timeoutMs, 2 * rulebook.delayMs(regionOf(to)));
  if (roundTripMs > 0) await pass(roundTripMs);
  const leftMs = timeoutMs - roundTripMs;
  if (leftMs > 0 && !rulebook.isCut(regionOf(to))) {
    return rulebook.shape(await network.connect(to, leftMs), () => regionOf(to));
  }
  await pass(leftMs);
  throw new Error(`cannot connect to ${formatAddress(to)}: no answer within ${timeoutMs} ms`);
}

async function bindShaped(
  network: Network,
  { regionOf, timers, rng }: ShapingParts,
  rulebook: Rulebook,
  local: Address,
  onPacket: (bytes: Uint8Array, from: Address) => void,
): ReturnType<Network["bindDatagrams"]> {
  const socket = await network.bindDatagrams(local, (bytes, from) => {
    if (!rulebook.isCut(regionOf(from))) onPacket(bytes, from);
  });
  let delayed = 0;
  const send = (to: Address, bytes: Uint8Array): void => {
    const region = regionOf(to);
    const lossPercent = rulebook.lossPercent(region);
    if (rulebook.isCut(region) || (lossPercent > 0 && rng.unit() * 100 < lossPercent)) return;
    const waitMs = rulebook.delayMs(region);
    if (waitMs === 0) {
      socket.send(to, bytes);
      return;
    }
    if (delayed === DELAYED_DATAGRAMS_MAX) return;
    delayed++;
    timers.after(waitMs, () => {
      delayed--;
      if (!rulebook.isCut(region)) socket.send(to, bytes);
    });
  };
  return { local: socket.local, receiveBufferBytes: socket.receiveBufferBytes, send, close: () => socket.close() };
}

function checkRules(rules: NetworkRules): void {
  for (const [pair, ms] of Object.entries(rules.delayMs)) checkNumber(`delayMs of ${pair}`, ms, DELAY_MS_MAX);
  const { lossPercent } = rules;
  const losses = typeof lossPercent === "number" ? { "all pairs": lossPercent } : lossPercent;
  for (const [pair, percent] of Object.entries(losses)) checkNumber(`lossPercent of ${pair}`, percent, 100);
}

function checkNumber(name: string, value: number, max: number): void {
  if (!(value >= 0 && value <= max)) {
    throw new InputError("bad-network-rules", `${name} is ${value}; give a number from 0 to ${max}`);
  }
}
