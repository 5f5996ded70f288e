import { Packr } from "msgpackr";
import { z } from "zod";
import { InputError } from "../kernel/assert.ts";
import { concatBytes } from "../kernel/bytes.ts";

// A frame: u32 length (of what follows), u8 type, msgpack body (architecture.md, Processes and ports). The length is
// checked before anything is allocated for it. A type with the high bit set is optional: who doesn't know it skips it.

export const FRAME = { hello: 1, welcome: 2, refuse: 3, ping: 4, pong: 5, request: 6, response: 7, note: 8 } as const;
export const OPTIONAL_BIT = 0x80;
/** Holds the largest record (4 MiB by default) with room; more would let one frame delay a link for longer. */
export const MAX_FRAME_BYTES: number = 16 * 2 ** 20;

const packr = new Packr({ useRecords: false, moreTypes: false, mapsAsObjects: true });

export function encodeFrame(type: number, body: unknown): Uint8Array {
  const packed = packr.pack(body);
  const frame = new Uint8Array(5 + packed.length);
  new DataView(frame.buffer).setUint32(0, packed.length + 1);
  frame[4] = type;
  frame.set(packed, 5);
  return frame;
}

export interface Frame {
  readonly type: number;
  readonly body: unknown;
  readonly bytes: number;
}

/** Cuts a stream into frames. `push` throws InputError when the peer speaks something else. */
export class FrameReader {
  #parts: Uint8Array[] = [];
  #held = 0;
  /** Bytes to wait for before anything is joined: a large frame in small pieces is joined once. */
  #needs = 5;

  push(bytes: Uint8Array): Frame[] {
    this.#parts.push(bytes);
    this.#held += bytes.length;
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | null {
    if (this.#held < this.#needs) return null;
    const head = this.#joined(5);
    const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
    if (length < 1 || length > MAX_FRAME_BYTES)
      throw new InputError("bad-frame", `a frame of ${length} bytes: the limit is ${MAX_FRAME_BYTES}`);
    this.#needs = Math.max(5, 4 + length);
    if (this.#held < 4 + length) return null;
    const all = this.#joined(4 + length);
    const frame = all.subarray(0, 4 + length);
    this.#parts = all.length > 4 + length ? [all.subarray(4 + length)] : [];
    this.#held -= 4 + length;
    this.#needs = 5;
    return { type: frame[4] as number, body: unpack(frame.subarray(5)), bytes: frame.length };
  }

  /** The held bytes, their first `length` in one piece. */
  #joined(length: number): Uint8Array {
    const [first] = this.#parts;
    if (first && first.length >= length && this.#parts.length === 1) return first;
    const all = concatBytes(this.#parts);
    this.#parts = [all];
    return all;
  }
}

function unpack(bytes: Uint8Array): unknown {
  try {
    return packr.unpack(bytes);
  } catch {
    throw new InputError("bad-frame", "a frame's body is not MessagePack");
  }
}

/** Parses what a peer sent into a precise type; InputError says where it is off. */
export function parseBody<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new InputError(
    "bad-frame",
    `a frame's body is malformed at ${issue?.path.join(".") ?? "?"}: ${issue?.message ?? ""}`,
  );
}

export const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array, "bytes");
export const text = z.string().max(4096);
export const count = z.number().int().nonnegative();
export const MAX_PARTITIONS = 16_384;

export const helloBody = z.object({
  cluster: text,
  /** Proves the salt without showing it. */
  proof: bytes,
  node: text,
  region: text,
  /** What this connection carries: so that a bulk copy never delays a push, nor a push a vote. */
  traffic: z.enum(["control", "delta", "bulk"]),
  partitionBits: count,
  /** Of a cluster whose partitions have another number of leaves than usual. */
  leafBits: count.optional(),
  protocol: z.object({ min: count, max: count }),
  epoch: count,
  features: z.array(text).max(64),
});
export type Hello = z.infer<typeof helloBody>;
export type Traffic = Hello["traffic"];

export const welcomeBody = z.object({
  node: text,
  region: text,
  protocol: count,
  vectors: z.array(bytes).max(MAX_PARTITIONS),
});
export type Welcome = z.infer<typeof welcomeBody>;
/** Null from nodes that don't tell their time yet. */
export const pongBody = z.object({ wallMs: z.number().int() }).nullable();
export const refuseBody = z.object({ reason: text });

export const requestBody = z.object({ id: count, op: text, body: z.unknown() });
export const responseBody = z.object({ id: count, error: text.optional(), body: z.unknown() });
