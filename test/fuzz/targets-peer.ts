import { concatBytes, utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import * as frames from "../../src/peer/frames.ts";
import * as bodies from "../../src/replication/peer/bodies.ts";
import { mutateBytes, pick } from "./mutate.ts";
import { claim, type Target, unlessRefused } from "./target.ts";
import { mutated, toMsgpack, treeOf } from "./tree.ts";

const { FRAME, encodeFrame, FrameReader, parseBody } = frames;
const bytes = Uint8Array.of(1, 2, 3, 4);

type Schema = Parameters<typeof parseBody>[0];
interface Kind {
  readonly schema: Schema;
  readonly body: unknown;
}

const hello = {
  cluster: "c-1",
  proof: bytes,
  node: "eu-1",
  region: "eu",
  traffic: "delta",
  partitionBits: 6,
  protocol: { min: 1, max: 1 },
  epoch: 0,
  features: ["a"],
};
const row = { bucket: "b", key: "k", body: bytes };
/** What a request's or a response's body may be; the frame's id chooses. */
const INSIDE: readonly Kind[] = [
  { schema: bodies.entriesBody, body: { entries: [bytes, new Uint8Array(0)] } },
  { schema: bodies.entriesReply, body: { gaps: [{ partition: 1, actor: "a@1.00000000", from: 2 }] } },
  { schema: bodies.rangeBody, body: { partition: 1, actor: "a@1.00000000", from: 2 } },
  { schema: bodies.rangeReply, body: { entries: [bytes], more: true } },
  { schema: bodies.rowsBody, body: { partition: 1, leaves: [0, 255] } },
  { schema: bodies.rowsReply, body: { vector: bytes, sound: [1], rows: [row] } },
  { schema: bodies.copyOpenBody, body: { partition: 3 } },
  { schema: bodies.copyOpenReply, body: { id: 1, rows: 2, vector: bytes, floor: bytes } },
  { schema: bodies.copyReadBody, body: { id: 1, offset: 512 } },
  { schema: bodies.copyReadReply, body: { rows: [row, row] } },
  { schema: bodies.copyCloseBody, body: { id: 1 } },
  { schema: bodies.vectorsReply, body: { vectors: [bytes] } },
  ...[
    { kind: "start", vectors: bytes, sums: bytes },
    { kind: "same" },
    { kind: "hashes", hashes: bytes },
    { kind: "want-vectors", partitions: [0, 63] },
    { kind: "vectors", items: [{ partition: 1, vector: bytes, floor: bytes }] },
    { kind: "want-sums", partition: 1, level: 0, index: 0 },
    { kind: "sums", partition: 1, level: 1, index: 15, sums: bytes },
  ].map((body) => ({ schema: bodies.syncMessage, body })),
];
const OUTSIDE = new Map<number, Kind>([
  [FRAME.hello, { schema: frames.helloBody, body: hello }],
  [FRAME.welcome, { schema: frames.welcomeBody, body: { node: "n", region: "eu", protocol: 1, vectors: [bytes] } }],
  [FRAME.pong, { schema: frames.pongBody, body: { wallMs: 1_900_000_000_000 } }],
  [FRAME.refuse, { schema: frames.refuseBody, body: { reason: "no" } }],
  [FRAME.request, { schema: frames.requestBody, body: { id: 0, op: "entries", body: null } }],
  [FRAME.response, { schema: frames.responseBody, body: { id: 0, error: "no", body: null } }],
]);

function good(): { type: number; body: unknown }[] {
  const inside = INSIDE.flatMap(({ body }, id) => [
    { type: FRAME.request, body: { id, op: "entries", body } },
    { type: FRAME.response, body: { id, body } },
  ]);
  return [
    ...[...OUTSIDE].map(([type, { body }]) => ({ type, body })),
    { type: FRAME.ping, body: null },
    { type: FRAME.pong, body: null },
    ...inside,
  ];
}

const GOOD = good().map(({ type, body }) => ({ type, tree: treeOf(body) }));

function structured(rng: Rng): Uint8Array {
  const { type, tree } = pick(rng, GOOD);
  const packed = toMsgpack(mutated(rng, [tree]), false);
  return concatBytes([lengthOf(packed.length + 1), Uint8Array.of(type), packed]);
}

function lengthOf(length: number): Uint8Array {
  const out = new Uint8Array(4);
  new DataView(out.buffer).setUint32(0, length);
  return out;
}

function framesOf(input: Uint8Array, step: number): { frames: frames.Frame[]; refused: boolean } {
  const reader = new FrameReader();
  const found: frames.Frame[] = [];
  const whole = unlessRefused(() => {
    for (let from = 0; from < input.length; from += step) found.push(...reader.push(input.subarray(from, from + step)));
    return found;
  });
  return { frames: found, refused: whole === undefined };
}

/** Parsed, packed and parsed again it is what it was. */
function checkBody(schema: Schema, body: unknown): { parsed: unknown } | undefined {
  const found = unlessRefused(() => ({ parsed: parseBody(schema, body) }));
  if (!found || schema === frames.requestBody || schema === frames.responseBody) return found;
  const again = new FrameReader().push(encodeFrame(1, found.parsed))[0];
  claim(JSON.stringify(parseBody(schema, again?.body)) === JSON.stringify(found.parsed), "changes on its way");
  return found;
}

function accepts({ type, body }: frames.Frame): boolean {
  const outside = OUTSIDE.get(type);
  if (!outside) return true; // a type without a body of its own
  const found = checkBody(outside.schema, body);
  if (!found || (type !== FRAME.request && type !== FRAME.response)) return found !== undefined;
  const { id, body: inner } = found.parsed as { id: number; body: unknown };
  return checkBody(INSIDE[id % INSIDE.length]?.schema ?? bodies.anyBody, inner) !== undefined;
}

function parseFrames(input: Uint8Array): boolean {
  const whole = framesOf(input, input.length || 1);
  const cut = framesOf(input, 1 + (input.length % 7));
  claim(whole.refused === cut.refused, "is refused in one piece and not in many, or the reverse");
  // One push that ends in a refusal gives no frames: the link is closed at once.
  if (!whole.refused) claim(whole.frames.length === cut.frames.length, "has other frames in pieces");
  const accepted = cut.frames.map(accepts);
  return !cut.refused && accepted.length > 0 && accepted.every(Boolean);
}

const seeds = (): Uint8Array[] => good().map(({ type, body }) => encodeFrame(type, body));

export const PEER_TARGETS: readonly Target[] = [
  {
    name: "peer-frame",
    seeds: () => [...seeds(), concatBytes(seeds().slice(0, 4)), encodeFrame(0x85, utf8("optional"))],
    structured: (rng) =>
      rng.below(4) === 0 ? concatBytes([structured(rng), mutateBytes(rng, [structured(rng)])]) : structured(rng),
    parse: parseFrames,
  },
];
