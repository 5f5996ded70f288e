import { EMPTY_BYTES } from "../../src/kernel/bytes.ts";
import { Envelope } from "../wire/envelope.ts";
import type { Message } from "../wire/messages.ts";
import { encodePacket } from "../wire/packet.ts";
import { encodeStream, type StreamMessage } from "../wire/stream.ts";
import { kitHash, Pool, type PoolMeter, type PoolOptions, type StartOptions } from "./pool.test-kit.ts";
import { LAN, pushPullMs } from "./profile.ts";

/** As a node's by default: a label, compression where it shortens, no keys. */
const ENVELOPE = new Envelope({ label: "starling", compress: true });
/** Tables of an idle pool are alike, and compressing each would take longer than all the rest. */
const ONE_TABLE_IN = 20;

/** Sent by one member, on average; what it receives is as much. */
export interface Idle {
  readonly packetsPerSecond: number;
  readonly udpBytesPerSecond: number;
  /** Tables and their hashes, without what TCP adds. */
  readonly tableBytesPerSecond: number;
}

/** Encodes what is sent as the driver does, and counts it. */
class ByteMeter implements PoolMeter {
  /** Not before the pool is idle. */
  runs = false;
  packets = 0;
  udpBytes = 0;
  #hashBytes = 0;
  #tables = 0;
  #weighed = 0;
  #weighedBytes = 0;
  readonly #counts: (name: string) => boolean;

  constructor(counts: (name: string) => boolean) {
    this.#counts = counts;
  }

  packet(from: string, messages: readonly Message[], crc: boolean): void {
    if (!this.runs || !this.#counts(from)) return;
    this.packets += 1;
    this.udpBytes += encodePacket(messages, ENVELOPE, crc).length;
  }

  stream(from: string, message: StreamMessage): void {
    if (!this.runs || !this.#counts(from)) return;
    if (message.type === "user") {
      this.#hashBytes += encodeStream(message, ENVELOPE).length;
      return;
    }
    this.#tables += 1;
    if (this.#tables % ONE_TABLE_IN !== 1) return;
    this.#weighed += 1;
    this.#weighedBytes += encodeStream(message, ENVELOPE).length;
  }

  get tableBytes(): number {
    return this.#hashBytes + (this.#weighed === 0 ? 0 : (this.#tables * this.#weighedBytes) / this.#weighed);
  }
}

/** A node's tags (metaOf in src/members.ts). */
function metaOf(name: string): Record<string, string> {
  const n = Number(name.slice(1));
  const host = `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`;
  const region = ["eu-central", "us-east", "ap-south"][n % 3] as string;
  return { id: name, region, zone: "a", client: `${host}:7400`, peer: `${host}:7401`, proto: "1-1" };
}

/** All members are real machines that know each other.
 *  @param hashes false: as agents do, who know no hashes of tables */
export function idle(members: number, minutes: number, seed: number, hashes = true): Idle {
  const meter = new ByteMeter(() => true);
  const options = { seed, meter, metaOf, ...(!hashes && { sha256: null }) };
  return measured(Pool.full(members, options), meter, members, minutes);
}

/** `members` tables of `members` rows don't fit in memory where there are thousands. So `sampled` members are as they
 *  would be. The others, the same machine, know only these, and probe and ask them as often as all of so large a pool
 *  would: their own intervals are as much longer as the members they choose from are fewer. Where
 *  hashes of tables are compared they say that of the last whole one. Only what the sampled send counts. */
export function idleSampled(members: number, sampled: number, minutes: number, seed: number, hashes = true): Idle {
  const isSampled = (name: string): boolean => Number(name.slice(1)) < sampled;
  const meter = new ByteMeter(isSampled);
  const options: PoolOptions = { seed, meter, metaOf, ...(!hashes && { sha256: null }) };
  const pool = new Pool(options);
  let wholeTable: Uint8Array = EMPTY_BYTES;
  const rarer = (members - 1) / sampled;
  const scaleOfFew = pushPullMs(LAN, sampled + 1) / LAN.pushPullIntervalMs;
  const standIn: StartOptions = {
    ...(hashes && { sha256: () => wholeTable }),
    membersMax: sampled + 1,
    profile: {
      probeIntervalMs: LAN.probeIntervalMs * rarer,
      pushPullIntervalMs: (pushPullMs(LAN, members) * rarer) / scaleOfFew,
    },
  };
  const keepingHash = (bytes: Uint8Array): Uint8Array => {
    wholeTable = kitHash(bytes);
    return wholeTable;
  };
  const whole: StartOptions = hashes ? { sha256: keepingHash } : {};
  for (let i = 0; i < members; i++) pool.start(`n${i}`, isSampled(`n${i}`) ? whole : standIn);
  const { names } = pool;
  const few = names.filter(isSampled);
  pool.fill((name) => (isSampled(name) ? names : [...few, name]));
  return measured(pool, meter, sampled, minutes);
}

function measured(pool: Pool, meter: ByteMeter, senders: number, minutes: number): Idle {
  pool.run(60_000); // probing has come into its step
  meter.runs = true;
  pool.run(minutes * 60_000);
  if (pool.log.length > 0) throw new Error(`not idle: ${pool.log[0]?.event.kind}`);
  const memberSeconds = senders * minutes * 60;
  return {
    packetsPerSecond: meter.packets / memberSeconds,
    udpBytesPerSecond: meter.udpBytes / memberSeconds,
    tableBytesPerSecond: meter.tableBytes / memberSeconds,
  };
}
