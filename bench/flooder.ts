import { createSocket } from "node:dgram";
import { Envelope } from "../gossip/wire/envelope.ts";
import type { Message } from "../gossip/wire/messages.ts";
import { encodePacket } from "../gossip/wire/packet.ts";
import { concatBytes } from "../src/kernel/bytes.ts";
import { type Rng, seededRng } from "../src/kernel/rng.ts";

// A process that sends junk to a gossip port at a steady rate, and says in the end how much it sent.
// node dist/bench/flooder.js PORT PACKETS_PER_SECOND SECONDS LABEL NODE

/** Different packets; sent in turn. */
const PACKETS = 5_000;
/** What a late timer may catch up with: a sender that was held up doesn't burst. */
const CATCH_UP_SECONDS = 0.1;
const SLICE_MS = 2;

export interface Flooded {
  readonly sent: number;
  readonly seconds: number;
}

/** All that a flood is of: bytes that mean nothing, packets of another cluster, packets that were hurt on their way, types
 *  that nobody knows, and questions of a stranger. Forged accusations are not among it: who knows the label may make
 *  them, and keys keep them out. */
export function junkPackets(count: number, label: string, node: string): Uint8Array[] {
  const rng = seededRng(1);
  const ours = new Envelope({ label, compress: true });
  const theirs = new Envelope({ label: `not ${label}`, compress: true });
  const kinds: readonly (() => Uint8Array)[] = [
    () => noise(rng),
    () => hurt(rng, encodePacket(talk(rng, node), theirs, true), 0),
    () => hurt(rng, encodePacket(talk(rng, node), ours, true), ours.header.length),
    () => concatBytes([ours.header, Uint8Array.of(20 + rng.below(200)), noise(rng)]),
    () => encodePacket([question(rng, node)], ours, false),
  ];
  return Array.from({ length: count }, (_, i) => (kinds[i % kinds.length] as () => Uint8Array)());
}

function noise(rng: Rng): Uint8Array {
  return Uint8Array.from({ length: 20 + rng.below(400) }, () => rng.u32() & 255);
}

function question(rng: Rng, node: string): Message {
  return { type: "ping", seq: rng.u32(), node, sourceAddr: "127.0.0.1", sourcePort: 9, sourceNode: "stranger" };
}

function talk(rng: Rng, node: string): Message[] {
  const seq = rng.u32();
  return [
    question(rng, node),
    { type: "ack", seq, payload: noise(rng) },
    { type: "nack", seq },
    { type: "user", payload: noise(rng) },
  ];
}

/** Some bytes behind the label are others: the checksum tells. */
function hurt(rng: Rng, packet: Uint8Array, from: number): Uint8Array {
  for (let changes = 1 + rng.below(4); changes > 0; changes--) {
    const at = from + rng.below(packet.length - from);
    packet[at] = (packet[at] ?? 0) ^ (1 << rng.below(8));
  }
  return packet;
}

async function flood(port: number, perSecond: number, seconds: number, packets: Uint8Array[]): Promise<Flooded> {
  // An address is its own answer: dgram would ask the resolver for each packet.
  const socket = createSocket({ type: "udp4", lookup: (host, _, done) => done(null, host, 4) });
  const startMs = performance.now();
  const elapsed = (): number => (performance.now() - startMs) / 1000;
  let sent = 0;
  let given = 0;
  while (elapsed() < seconds) {
    const due = Math.floor(elapsed() * perSecond);
    given = Math.max(given, due - Math.floor(CATCH_UP_SECONDS * perSecond));
    for (; given < due; given++) {
      socket.send(packets[sent % packets.length] as Uint8Array, port, "127.0.0.1");
      sent += 1;
    }
    await new Promise((resolve) => setTimeout(resolve, SLICE_MS));
  }
  await new Promise<void>((resolve) => socket.close(resolve));
  return { sent, seconds: elapsed() };
}

const [port, perSecond, seconds] = process.argv.slice(2).map(Number) as [number, number, number];
const [label, node] = process.argv.slice(5) as [string, string];
console.log(JSON.stringify(await flood(port, perSecond, seconds, junkPackets(PACKETS, label, node))));
