import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodePacket, encodePacket } from "../../gossip/wire/packet.ts";
import { encodeStream, StreamDecoder } from "../../gossip/wire/stream.ts";
import { decodeTags, encodeTags } from "../../gossip/wire/tags.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { fromHex, toHex } from "../../src/kernel/bytes.ts";

// Captures of real serf agents: conformance/memberlist/README.md says what is in them.
const DIRECTORY = `${process.env.STARLING_CONFORMANCE ?? new URL("../../../shared/conformance", import.meta.url).pathname}/memberlist`;
const NONE = new Uint8Array(0);

interface Line {
  readonly n: number;
  readonly proto: "udp" | "tcp";
  readonly hex: string;
}

function linesOf(capture: string): Line[] {
  const text = readFileSync(`${DIRECTORY}/${capture}.jsonl`, "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

/** What a capture's datagrams and streams turn into, by kind; a line whose bytes don't come back is listed. */
function replay(capture: string): { counts: Record<string, number>; different: number[] } {
  const counts: Record<string, number> = {};
  const different: number[] = [];
  const count = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
  };
  for (const { n, proto, hex } of linesOf(capture)) {
    const bytes = fromHex(hex);
    if (proto === "udp") {
      const { messages, rejects } = decodePacket(bytes, NONE);
      for (const message of messages) count(message.type);
      for (const reject of rejects) count(`reject ${reject}`);
      if (rejects.length === 0 && toHex(encodePacket(messages, NONE, bytes[0] === 12)) !== hex) different.push(n);
      continue;
    }
    try {
      const message = new StreamDecoder(NONE, { messageBytes: 100_000, nodes: 100 }).push(bytes);
      count(`tcp ${message?.type}`);
      if (message && toHex(encodeStream(message, NONE)) !== hex) different.push(n);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      count(`tcp reject ${error.slug}`);
    }
  }
  return { counts, different };
}

describe.skipIf(!existsSync(DIRECTORY))("captures of serf agents (skipped when conformance data is absent)", () => {
  // What is compressed is counted as unsupported: its content is for the codec that reads LZW.
  const expected: Record<string, Record<string, number>> = {
    plain: { ping: 17, ack: 16, alive: 8, dead: 5, user: 8, "reject unsupported": 9, "tcp reject unsupported": 2 },
    failure: {
      ping: 42,
      "indirect-ping": 6,
      ack: 28,
      suspect: 12,
      dead: 8,
      nack: 6,
      user: 6,
      "reject unsupported": 14,
      "tcp reject unsupported": 4,
    },
    refute: {
      ping: 39,
      "indirect-ping": 4,
      ack: 37,
      suspect: 10,
      alive: 12,
      nack: 4,
      user: 6,
      "reject unsupported": 14,
      "tcp reject unsupported": 12,
    },
    events: {
      ping: 58,
      "indirect-ping": 5,
      ack: 45,
      suspect: 12,
      alive: 8,
      dead: 12,
      nack: 5,
      user: 52,
      "reject unsupported": 9,
      "tcp push-pull": 3,
      "tcp reject unsupported": 7,
    },
  };

  for (const [capture, counts] of Object.entries(expected))
    it(`${capture}: every datagram and stream decodes at the layers we support and encodes to the same bytes`, () => {
      expect(replay(capture)).toEqual({ counts, different: [] });
    });

  it("encrypted datagrams are rejects, never messages", () => {
    const { counts } = replay("encrypted");
    expect(Object.keys(counts).filter((what) => !what.includes("reject"))).toEqual([]);
  });

  it("tags of real agents are read, and written back as the same bytes", () => {
    const metas = ["plain", "refute", "events"].flatMap((capture) =>
      linesOf(capture)
        .filter(({ proto }) => proto === "udp")
        .flatMap(({ hex }) => decodePacket(fromHex(hex), NONE).messages)
        .flatMap((message) => (message.type === "alive" ? [message.meta] : [])),
    );
    expect(metas.length).toBeGreaterThan(20);
    for (const meta of metas) expect(toHex(encodeTags(decodeTags(meta)))).toBe(toHex(meta));
    expect(metas.some((meta) => decodeTags(meta).get("role") === "db2")).toBe(true);
  });
});
