import { describe, expect, test } from "vitest";
import { InputError } from "../../src/kernel/assert.ts";
import { concatBytes, utf8 } from "../../src/kernel/bytes.ts";
import { type NetworkRules, type ShapedNetwork, shapeNetwork } from "../../src/world/shaping.ts";
import type { Address, Stream } from "../../src/world/world.ts";
import { SimKernel, type SimNode } from "./world.ts";

const OPEN: NetworkRules = { cut: [], delayMs: {}, lossPercent: 0 };
const CUT: NetworkRules = { ...OPEN, cut: [["us", "eu"]] };

interface Side {
  readonly node: SimNode;
  readonly shaped: ShapedNetwork;
  readonly received: Uint8Array[];
  readonly closed: string[];
  drains: number;
  /** Of an accepted connection. */
  stream: Stream | undefined;
}

/** Node eu connects to node us; both are shaped. The simulated network itself is perfect, and takes 10 ms a way. */
async function withShapes(body: (eu: Side, us: Side, kernel: SimKernel) => Promise<void>): Promise<void> {
  const kernel = new SimKernel({ seed: 1 });
  kernel.links.setQuality("eu", "us", { delayMs: 10, jitterMs: 0 });
  const side = (region: string): Side => {
    const node = kernel.makeWorld({ name: region, region });
    const { network, timers, rng } = node.world;
    const regionOf = ({ host, port }: Address) => (port < 100 ? (host === eu?.node.host ? "eu" : "us") : undefined);
    const shaped = shapeNetwork(network, { self: region, timers, rng, regionOf });
    return { node, shaped, received: [], closed: [], drains: 0, stream: undefined };
  };
  let eu: Side | undefined;
  eu = side("eu");
  const us = side("us");
  await kernel.run(() => body(eu, us, kernel));
}

function record(side: Side, stream: Stream): Stream {
  side.stream = stream;
  stream.open({
    onData: (bytes) => side.received.push(bytes),
    onDrain: () => {
      side.drains++;
    },
    onClose: (reason) => side.closed.push(reason),
  });
  return stream;
}

async function link(eu: Side, us: Side): Promise<[near: Stream, far: Stream]> {
  await us.shaped.network.listen({ host: "us", port: 71 }, (stream) => record(us, stream));
  const near = record(eu, await eu.shaped.network.connect({ host: "us", port: 71 }, 1_000));
  return [near, us.stream as Stream];
}

const text = (side: Side): string => String.fromCharCode(...concatBytes(side.received));

describe("rules for datagrams", () => {
  /** How many of `count` datagrams from eu to us arrive within so many ms. */
  async function arriving(eu: Side, us: Side, kernel: SimKernel, count: number, withinMs: number): Promise<number> {
    let arrived = 0;
    const there = await us.shaped.network.bindDatagrams({ host: "us", port: 70 }, () => void arrived++);
    const here = await eu.shaped.network.bindDatagrams({ host: "eu", port: 70 }, () => {});
    for (let i = 0; i < count; i++) here.send({ host: "us", port: 70 }, utf8("x"));
    await kernel.sleep(withinMs);
    const seen = arrived;
    await kernel.sleep(200); // nothing of this is left for the next
    here.close();
    there.close();
    return seen;
  }

  test("a cut region hears nothing of us, and we nothing of it, whoever of both applied the rule", () =>
    withShapes(async (eu, us, kernel) => {
      expect(await arriving(eu, us, kernel, 3, 50)).toBe(3);
      eu.shaped.apply(CUT);
      expect(await arriving(eu, us, kernel, 3, 50)).toBe(0);
      eu.shaped.apply(OPEN);
      us.shaped.apply(CUT);
      expect(await arriving(eu, us, kernel, 3, 50)).toBe(0);
      us.shaped.apply({ ...OPEN, cut: [["ap", "eu"]] }); // others' cuts are none of ours
      expect(await arriving(eu, us, kernel, 3, 50)).toBe(3);
    }));

  test("a delay holds them back, and a cut takes those that are on their way", () =>
    withShapes(async (eu, us, kernel) => {
      eu.shaped.apply({ ...OPEN, delayMs: { "us-eu": 80 } });
      expect(await arriving(eu, us, kernel, 3, 85)).toBe(0);
      expect(await arriving(eu, us, kernel, 3, 95)).toBe(3);
      const cutting = arriving(eu, us, kernel, 3, 200);
      await kernel.sleep(40);
      eu.shaped.apply(CUT);
      expect(await cutting).toBe(0);
    }));

  test("loss is for the pair, or for all when it is a plain number", () =>
    withShapes(async (eu, us, kernel) => {
      for (const lossPercent of [{ "eu-us": 30 }, 30]) {
        eu.shaped.apply({ ...OPEN, lossPercent });
        expect((await arriving(eu, us, kernel, 1_000, 50)) / 1_000).toBeCloseTo(0.7, 1);
      }
      eu.shaped.apply({ ...OPEN, lossPercent: { "ap-us": 100 } });
      expect(await arriving(eu, us, kernel, 10, 50)).toBe(10);
    }));

  test("above 10,000 on their way through a delay they are lost", () =>
    withShapes(async (eu, us, kernel) => {
      eu.shaped.apply({ ...OPEN, delayMs: { "eu-us": 100 } });
      expect(await arriving(eu, us, kernel, 10_010, 200)).toBe(10_000);
    }));
});

describe("rules for connecting", () => {
  test("to a cut region it times out, as in a real cut", () =>
    withShapes(async (eu, us, kernel) => {
      await link(eu, us);
      eu.shaped.apply(CUT);
      const startMs = kernel.nowMs;
      const attempt = eu.shaped.network.connect({ host: "us", port: 71 }, 700);
      await expect(attempt).rejects.toThrow("cannot connect to us:71: no answer within 700 ms");
      expect(kernel.nowMs - startMs).toBe(700);
    }));

  test("takes a round trip of the delay longer, and times out when that is too long", () =>
    withShapes(async (eu, us, kernel) => {
      await link(eu, us);
      eu.shaped.apply({ ...OPEN, delayMs: { "eu-us": 100 } });
      const startMs = kernel.nowMs;
      await eu.shaped.network.connect({ host: "us", port: 71 }, 1_000);
      expect(kernel.nowMs - startMs).toBe(220);
      await expect(eu.shaped.network.connect({ host: "us", port: 71 }, 150)).rejects.toThrow(/no answer within 150 ms/);
    }));
});

describe("rules for streams", () => {
  test("a delay keeps the order, also when it becomes shorter on the way", () =>
    withShapes(async (eu, us, kernel) => {
      const [near] = await link(eu, us);
      eu.shaped.apply({ ...OPEN, delayMs: { "eu-us": 80 } });
      near.write(utf8("a"));
      await kernel.sleep(10);
      eu.shaped.apply({ ...OPEN, delayMs: { "eu-us": 5 } });
      near.write(utf8("b"));
      eu.shaped.apply(OPEN);
      near.write(utf8("c"));
      expect(near.queuedBytes).toBe(3);
      await kernel.sleep(70);
      expect(text(us)).toBe("");
      await kernel.sleep(20);
      expect(text(us)).toBe("abc");
      expect([near.queuedBytes, eu.drains]).toEqual([0, 1]);
    }));

  test("what waits for its delay still arrives when the stream is closed", () =>
    withShapes(async (eu, us, kernel) => {
      const [near] = await link(eu, us);
      eu.shaped.apply({ ...OPEN, delayMs: { "eu-us": 80 } });
      near.write(utf8("last words"));
      near.close();
      await kernel.sleep(50);
      expect([eu.closed, us.closed]).toEqual([["closed here"], []]);
      await kernel.sleep(100);
      expect([text(us), us.closed]).toEqual(["last words", ["closed by the other side"]]);
    }));
});

describe("cuts and streams", () => {
  test("across a cut both directions are silent; healed, they go on in order", () =>
    withShapes(async (eu, us, kernel) => {
      const [near, far] = await link(eu, us);
      eu.shaped.apply(CUT);
      for (const word of ["to ", "the ", "right"]) near.write(utf8(word));
      for (const word of ["to ", "the ", "left"]) far.write(utf8(word));
      await kernel.sleep(60_000);
      expect([text(eu), text(us)]).toEqual(["", ""]);
      eu.shaped.apply(OPEN);
      near.write(utf8(", and on"));
      await kernel.sleep(1_000);
      expect([text(eu), text(us)]).toEqual(["to the left", "to the right, and on"]);
      expect([eu.closed, us.closed]).toEqual([[], []]);
    }));

  test("what was on its way to us when the cut came waits for its end, in order", () =>
    withShapes(async (eu, us, kernel) => {
      const [, far] = await link(eu, us);
      far.write(utf8("on its way, "));
      await kernel.sleep(1);
      eu.shaped.apply(CUT);
      far.write(utf8("too late"));
      await kernel.sleep(1_000);
      expect(text(eu)).toBe("");
      eu.shaped.apply(OPEN);
      await kernel.sleep(100);
      expect(text(eu)).toBe("on its way, too late");
    }));

  test("what the other side sends during a cut waits with it, however much", () =>
    withShapes(async (eu, us, kernel) => {
      const [, far] = await link(eu, us);
      eu.shaped.apply(CUT);
      for (let i = 0; i < 64; i++) far.write(new Uint8Array(65_536));
      await kernel.sleep(1_000);
      expect(far.queuedBytes).toBeGreaterThan(3_000_000);
      eu.shaped.apply(OPEN);
      await kernel.sleep(5_000);
      expect([concatBytes(eu.received).length, eu.closed]).toEqual([64 * 65_536, []]);
    }));

  test("a reader that had paused stays paused over a cut", () =>
    withShapes(async (eu, us, kernel) => {
      const [near, far] = await link(eu, us);
      near.pause(true);
      eu.shaped.apply(CUT);
      far.write(utf8("later"));
      eu.shaped.apply(OPEN);
      await kernel.sleep(100);
      expect(text(eu)).toBe("");
      near.pause(false);
      await kernel.sleep(100);
      expect(text(eu)).toBe("later");
    }));

  test("that the other side ended during a cut is not known before it heals", () =>
    withShapes(async (eu, us, kernel) => {
      const [, far] = await link(eu, us);
      eu.shaped.apply(CUT);
      us.node.crash();
      far.close();
      await kernel.sleep(5_000);
      expect(eu.closed).toEqual([]);
      eu.shaped.apply(OPEN);
      await kernel.sleep(100);
      expect(eu.closed).toEqual(["reset after a cut"]);
    }));
});

describe("cuts at the edge", () => {
  test("more than 1 MiB held during a cut closes the stream", () =>
    withShapes(async (eu, us, kernel) => {
      const [near] = await link(eu, us);
      eu.shaped.apply(CUT);
      for (let i = 0; i < 16; i++) near.write(new Uint8Array(65_536));
      await kernel.sleep(10);
      expect([near.queuedBytes, eu.closed]).toEqual([1_048_576, []]);
      near.write(utf8("!"));
      await kernel.sleep(10);
      expect(eu.closed).toEqual(["more than 1048576 bytes held during a cut"]);
      near.write(utf8("?"));
      near.close();
      await kernel.sleep(10);
      expect(eu.closed).toHaveLength(1);
    }));

  test("an accepted stream obeys the rules once it is known whose it is", () =>
    withShapes(async (eu, us, kernel) => {
      const [near, far] = await link(eu, us);
      us.shaped.apply(CUT);
      near.write(utf8("who is it? "));
      await kernel.sleep(100);
      expect(text(us)).toBe("who is it? ");
      us.shaped.attribute(far, "eu");
      near.write(utf8("silence"));
      far.write(utf8("silence"));
      await kernel.sleep(1_000);
      expect([text(eu), text(us)]).toEqual(["", "who is it? "]);
      us.shaped.apply({ ...OPEN, delayMs: { "eu-us": 80 } });
      await kernel.sleep(100);
      expect([text(eu), text(us)]).toEqual(["silence", "who is it? silence"]);
    }));

  test("a stream made during a cut, by whoever has not heard of it, is silent from the start", () =>
    withShapes(async (eu, us, kernel) => {
      eu.shaped.apply({ ...OPEN, delayMs: { "eu-us": 20 } });
      await us.shaped.network.listen({ host: "us", port: 71 }, (stream) => record(us, stream));
      const connecting = eu.shaped.network.connect({ host: "us", port: 71 }, 1_000);
      await kernel.sleep(50);
      eu.shaped.apply(CUT);
      record(eu, await connecting).write(utf8("hello"));
      us.stream?.write(utf8("hello"));
      await kernel.sleep(1_000);
      expect([text(eu), text(us)]).toEqual(["", ""]);
      eu.shaped.apply(OPEN);
      await kernel.sleep(1_000);
      expect([text(eu), text(us)]).toEqual(["hello", "hello"]);
    }));
});

describe("the rules themselves", () => {
  test("nonsense is refused, and nothing changes", () =>
    withShapes(async ({ shaped }) => {
      shaped.apply(CUT);
      for (const bad of [{ delayMs: { "eu-us": -1 } }, { delayMs: { "eu-us": Number.NaN } }, { lossPercent: 101 }]) {
        expect(() => shaped.apply({ ...OPEN, ...bad })).toThrow(InputError);
      }
      expect(() => shaped.apply({ ...OPEN, lossPercent: { "eu-us": -1 } })).toThrow(/from 0 to 100/);
      expect(shaped.rules()).toEqual(CUT);
    }));
});
