import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { InputError } from "../../src/kernel/assert.ts";
import { encodeFrame, FrameReader, MAX_FRAME_BYTES } from "../../src/peer/frames.ts";

describe("frames of the peer port", () => {
  it("come out as they went in, however the stream is cut into pieces", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300, size: "max" }), { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 70 })),
        (bodies, cuts) => {
          const all = Buffer.concat(bodies.map((body, i) => encodeFrame(i, { body })));
          const reader = new FrameReader();
          const frames = [];
          let at = 0;
          for (const size of [...cuts, all.length]) {
            frames.push(...reader.push(all.subarray(at, at + size)));
            at += size;
          }
          expect(frames.map(({ type }) => type)).toEqual(bodies.map((_, i) => i));
          expect(frames.map(({ body }) => new Uint8Array((body as { body: Uint8Array }).body))).toEqual(bodies);
        },
      ),
    );
  });

  it("refuses a length over the limit before anything is allocated for it", () => {
    const reader = new FrameReader();
    const head = new Uint8Array(5);
    new DataView(head.buffer).setUint32(0, MAX_FRAME_BYTES + 1);
    expect(() => reader.push(head)).toThrow(InputError);
  });

  it("turns any bytes into frames or an InputError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400, size: "max" }), (bytes) => {
        const reader = new FrameReader();
        try {
          reader.push(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
        }
      }),
      { numRuns: 20_000 },
    );
  });

  it("keeps `__proto__` in a body from touching any prototype", () => {
    const hostile = Buffer.concat([
      Buffer.from([0x81, 0xa9]),
      Buffer.from("__proto__"),
      Buffer.from([0x81, 0xa1, 0x78, 1]),
    ]);
    const frame = new Uint8Array(5 + hostile.length);
    new DataView(frame.buffer).setUint32(0, hostile.length + 1);
    frame.set(hostile, 5);
    new FrameReader().push(frame);
    expect(({} as { x?: number }).x).toBeUndefined();
  });
});
