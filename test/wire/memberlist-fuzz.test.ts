import { describe, expect, it } from "vitest";
import { encodeMessage, type Message } from "../../gossip/wire/messages.ts";
import { REJECT_KINDS } from "../../gossip/wire/msgpack.ts";
import { decodePacket, encodePacket } from "../../gossip/wire/packet.ts";
import { encodeStream, StreamDecoder } from "../../gossip/wire/stream.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { concatBytes, toHex } from "../../src/kernel/bytes.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { BARE, labelled } from "../gossip/envelopes.ts";
import { alive, at, NO_BYTES, OneMember, row } from "../gossip/one-member.ts";

const RUNS = 20_000;
const KINDS: ReadonlySet<string> = new Set(REJECT_KINDS);

function randomBytes(rng: Rng, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => rng.u32() & 255);
}

function randomMessage(rng: Rng): Message {
  const node = `m${rng.below(6)}`;
  const from = `m${rng.below(6)}`;
  const incarnation = rng.below(8);
  const seq = rng.below(20);
  const source = { sourceAddr: "10.0.0.2", sourcePort: 1, sourceNode: from };
  const all: Message[] = [
    alive(node, rng.below(6), incarnation),
    { type: "suspect", node, incarnation, from },
    { type: "dead", node, incarnation, from },
    { type: "ping", seq, node: rng.below(2) === 0 ? "me" : node, ...source },
    { type: "indirect-ping", seq, node, target: at(rng.below(6)), nack: rng.below(2) === 0, ...source },
    { type: "ack", seq, payload: NO_BYTES },
    { type: "nack", seq },
    { type: "user", payload: randomBytes(rng, rng.below(20)) },
  ];
  return all[rng.below(all.length)] as Message;
}

/** Random bytes, or a good packet with some bytes changed, cut off, repeated or inserted. */
function hostile(rng: Rng, good: Uint8Array): Uint8Array {
  if (rng.below(4) === 0) return randomBytes(rng, rng.below(100));
  let bytes: Uint8Array = good.slice();
  for (let changes = rng.below(4); changes >= 0; changes--) {
    const place = rng.below(bytes.length);
    const choice = rng.below(5);
    if (choice === 0) bytes = bytes.slice(0, place);
    else if (choice === 1)
      bytes = concatBytes([bytes.subarray(0, place), randomBytes(rng, rng.below(6)), bytes.subarray(place)]);
    else if (choice === 2) bytes = concatBytes([bytes.subarray(0, place), bytes]);
    else if (bytes.length > 0)
      bytes[place] = choice === 3 ? rng.u32() : ([0xdb, 0xdd, 0xdf, 0xc6, 0xff, 0x7f, 0xcf][rng.below(7)] ?? 0);
  }
  return bytes;
}

describe("fuzz", () => {
  it(`${RUNS} hostile packets give messages and known rejects, never a crash`, () => {
    const rng = seededRng(1);
    for (let run = 0; run < RUNS; run++) {
      const header = labelled(rng.below(3) === 0 ? "shop" : "");
      const messages = Array.from({ length: 1 + rng.below(5) }, () => randomMessage(rng));
      const packet = hostile(rng, encodePacket(messages, header, rng.below(2) === 0));
      const decoded = decodePacket(packet, header);
      for (const reject of decoded.rejects)
        if (!KINDS.has(reject)) throw new Error(`run ${run}: ${reject}: ${toHex(packet)}`);
      // What was let in can be passed on.
      for (const message of decoded.messages) encodeMessage(message);
    }
  });

  it(`${RUNS} hostile streams give a message, a known reject or the wish for more, in any chunks`, () => {
    const rng = seededRng(2);
    const good = Array.from({ length: 20 }, (_, i) => {
      const nodes = Array.from({ length: i % 5 }, (_, n) => row(`m${n}`, n, i, "alive"));
      const message = { type: "push-pull", join: i % 2 === 0, nodes, userState: randomBytes(rng, i) } as const;
      return encodeStream(message, i % 3 === 0 ? labelled("shop") : BARE);
    });
    for (let run = 0; run < RUNS; run++) {
      const bytes = hostile(rng, good[rng.below(good.length)] as Uint8Array);
      const decoder = new StreamDecoder(rng.below(3) === 0 ? labelled("shop") : BARE, {
        messageBytes: 5000,
        nodes: 100,
      });
      try {
        for (let i = 0, step = 1 + rng.below(64); i < bytes.length; i += step)
          if (decoder.push(bytes.subarray(i, i + step))) break;
      } catch (error) {
        if (!(error instanceof InputError && KINDS.has(error.slug)))
          throw new Error(`run ${run}: ${toHex(bytes)}`, { cause: error });
      }
    }
  });

  it("any messages in any order leave the machine within its bounds and its own record alive", () => {
    for (let seed = 0; seed < 40; seed++) {
      const rng = seededRng(seed);
      const me = new OneMember({ membersMax: 5 });
      me.step({ kind: "join", seeds: [at(2)] });
      for (let i = 0; i < 300; i++) {
        const messages = Array.from({ length: 1 + rng.below(4) }, () => randomMessage(rng));
        if (rng.below(10) === 0)
          me.table(row(`m${rng.below(6)}`, rng.below(6), rng.below(9), "dead"), row("me", 1, rng.below(30), "left"));
        else me.hear(rng.below(6), ...messages);
        if (rng.below(8) === 0) me.step({ kind: "stalled", byMs: rng.below(5000) });
        me.pass(rng.below(700));
        const { members, queued, relays, claims } = me.swim.sizes();
        expect(members).toBeLessThanOrEqual(5);
        expect(queued).toBeLessThanOrEqual(members);
        expect(relays).toBeLessThanOrEqual(256);
        expect(claims).toBeLessThanOrEqual(64);
        expect(me.swim.self.state).toBe("alive");
        me.forget();
      }
    }
  });
});
