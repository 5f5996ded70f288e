import { describe, expect, it } from "vitest";
import { encodeFrame, FRAME, FrameReader } from "../../src/peer/frames.ts";
import { type ClockExchange, Link } from "../../src/peer/link.ts";
import type { Stream, StreamHandlers } from "../../src/world/world.ts";
import { SimKernel } from "../sim/world.ts";

const WELCOME = encodeFrame(FRAME.welcome, {});

/** The peer's end of a link, moved by hand. */
class Peer implements Stream {
  readonly remote = { host: "10.1.0.2", port: 7003 };
  readonly queuedBytes = 0;
  readonly heard: { type: number; body: unknown }[] = [];
  closed: string | null = null;
  #handlers: StreamHandlers | null = null;
  readonly #reader = new FrameReader();

  open(handlers: StreamHandlers): void {
    this.#handlers = handlers;
  }

  write(bytes: Uint8Array): void {
    for (const { type, body } of this.#reader.push(bytes)) this.heard.push({ type, body });
  }

  pause(): void {}

  close(): void {
    this.closed = "closed";
  }

  sends(frame: Uint8Array): void {
    this.#handlers?.onData(frame);
  }

  get pings(): number {
    return this.heard.filter(({ type }) => type === FRAME.ping).length;
  }
}

interface Scene {
  readonly kernel: SimKernel;
  readonly peer: Peer;
  readonly link: Link;
  readonly exchanges: readonly ClockExchange[];
  nowMs(): number;
}

/** A link whose welcome has come. */
async function withLink(run: (scene: Scene) => Promise<void>, asksTime = true): Promise<void> {
  const kernel = new SimKernel({ seed: 1 });
  await kernel.run(async () => {
    const { world } = kernel.makeWorld({ name: "eu", region: "eu", host: "10.1.0.1" });
    const peer = new Peer();
    const exchanges: ClockExchange[] = [];
    const handlers = {
      onFirst: () => true,
      onRequest: () => Promise.resolve(null),
      onClose: () => {},
      ...(asksTime && { onClock: (exchange: ClockExchange) => void exchanges.push(exchange) }),
    };
    const link = new Link(world, peer, handlers, 1_000);
    peer.sends(WELCOME);
    await kernel.sleep(1);
    await run({ kernel, peer, link, exchanges, nowMs: () => world.clock.monotonicMs() });
    link.close("the test is over");
  });
}

const pong = (wallMs: number): Uint8Array => encodeFrame(FRAME.pong, { wallMs });

describe("the time of a peer, over its link", () => {
  it("is asked for at once, and told by whoever is asked", async () => {
    await withLink(async ({ peer, kernel }) => {
      expect(peer.pings).toBe(1);
      peer.sends(encodeFrame(FRAME.ping, null));
      await kernel.sleep(1);
      const told = peer.heard.find(({ type }) => type === FRAME.pong)?.body as { wallMs: number };
      expect(Number.isInteger(told.wallMs)).toBe(true);
    });
  });

  it("comes with when it was asked for and answered", async () => {
    await withLink(async ({ peer, kernel, exchanges, link, nowMs }) => {
      await kernel.sleep(79);
      peer.sends(pong(123));
      const [exchange] = exchanges;
      expect(exchange?.peerWallMs).toBe(123);
      expect(exchange?.answered.monotonicMs).toBe(nowMs());
      expect((exchange?.answered.monotonicMs ?? 0) - (exchange?.asked.monotonicMs ?? 0)).toBe(80);
      expect(link.rttMs).toBe(80);
    });
  });

  it("in an answer that took longer than a heartbeat counts with its own ping, not with a newer one", async () => {
    await withLink(async ({ peer, kernel, exchanges, link }) => {
      await kernel.sleep(2_100);
      expect(peer.pings).toBe(3);
      peer.sends(pong(1));
      expect(link.rttMs).toBeCloseTo(2_101, 0);
      peer.sends(pong(2));
      await kernel.sleep(1_000);
      peer.sends(pong(3));
      expect(exchanges.map(({ peerWallMs }) => peerWallMs)).toEqual([1]);
      peer.sends(pong(4));
      expect(exchanges.map(({ peerWallMs }) => peerWallMs)).toEqual([1, 4]);
      expect(link.rttMs).toBeLessThan(200);
    });
  });

  it("is missing in the answers of an older node, whose round trips count all the same", async () => {
    await withLink(async ({ peer, kernel, exchanges, link }) => {
      await kernel.sleep(49);
      peer.sends(encodeFrame(FRAME.pong, null));
      expect([exchanges.length, link.rttMs, peer.closed]).toEqual([0, 50, null]);
    });
  });

  it("in an answer that is no time ends the link with a reason", async () => {
    for (const body of [{}, { wallMs: 1.5 }, { wallMs: Number.NaN }, { wallMs: "noon" }, 7])
      await withLink(async ({ peer, exchanges }) => {
        peer.sends(encodeFrame(FRAME.pong, body));
        expect([exchanges.length, peer.closed]).toEqual([0, "closed"]);
        expect(peer.heard.at(-1)?.type).toBe(FRAME.refuse);
      });
  });

  it("in answers that nobody asked for is nobody's time", async () => {
    await withLink(async ({ peer, exchanges, kernel }) => {
      peer.sends(pong(1));
      peer.sends(pong(2));
      peer.sends(pong(3));
      expect(exchanges.map(({ peerWallMs }) => peerWallMs)).toEqual([1]);
      await kernel.sleep(1_000);
      peer.sends(pong(4));
      expect(exchanges.map(({ peerWallMs }) => peerWallMs)).toEqual([1, 4]);
    });
  });

  it("is not asked for by who has no use for it until the heartbeat asks for a sign of life", async () => {
    await withLink(async ({ peer, kernel }) => {
      expect(peer.pings).toBe(0);
      await kernel.sleep(1_000);
      expect(peer.pings).toBe(1);
    }, false);
  });
});
