import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { InputError } from "../kernel/assert.ts";
import { concatBytes, toHex, utf8 } from "../kernel/bytes.ts";
import type { Address, HttpHandler, HttpLimits, Stream, World } from "./world.ts";

/** Two worlds that can reach each other, and what a test needs beside them. */
export interface WorldsUnderTest {
  readonly left: World;
  readonly right: World;
  /** Where `right` listens. */
  readonly rightHost: string;
  /** Nobody answers there, ever. */
  readonly silent: Address;
  /** A client's request. */
  fetch(request: Request): Promise<Pick<Response, "status" | "headers" | "body" | "text">>;
  /** Runs a test's body while time goes on in these worlds. */
  run(body: () => Promise<void>): Promise<void>;
}

const LIMITS: HttpLimits = { requestTimeoutMs: 10_000, headerBytes: 16_384, connections: 100 };

/** What every World must do, whatever it is made of. */
export function describeWorld(name: string, make: () => WorldsUnderTest): void {
  describe(name, () => {
    let worlds: WorldsUnderTest;
    /** Undone after each test, so that nothing listens on. */
    let cleanups: (() => unknown)[];
    beforeEach(() => {
      worlds = make();
      cleanups = [];
    });
    afterEach(() =>
      worlds.run(async () => {
        for (const cleanup of cleanups.reverse()) await cleanup();
      }),
    );
    const claim = (
      what: string,
      body: (worlds: WorldsUnderTest, after: (cleanup: () => unknown) => void) => Promise<void>,
    ) => test(what, () => worlds.run(() => body(worlds, (cleanup) => cleanups.push(cleanup))));

    claimTime(claim);
    claimStreams(claim);
    claimStreamEnds(claim);
    claimConnecting(claim);
    claimDatagrams(claim);
    claimHttp(claim);
    claimHttpEnds(claim);
    claimHttpClose(claim);
  });
}

type Claim = (
  what: string,
  body: (worlds: WorldsUnderTest, after: (cleanup: () => unknown) => void) => Promise<void>,
) => void;

function claimTime(claim: Claim): void {
  claim(
    "timers fire in order of their time, those of one time in the order in which they were asked for",
    async ({ left }) => {
      const fired: string[] = [];
      await new Promise<void>((resolve) => {
        left.timers.after(40, resolve);
        left.timers.after(20, () => fired.push("late"));
        left.timers.after(5, () => fired.push("early"));
        left.timers.after(5, () => fired.push("early too"));
      });
      expect(fired).toEqual(["early", "early too", "late"]);
    },
  );

  claim("a timer never fires before its delay has passed", async ({ left }) => {
    const startMs = left.clock.monotonicMs();
    for (const delayMs of [0, 0.3, 1, 2.5, 7]) {
      const askedAtMs = left.clock.monotonicMs();
      await wait(left, delayMs);
      expect(left.clock.monotonicMs() - askedAtMs).toBeGreaterThanOrEqual(delayMs);
    }
    expect(left.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(10.8);
  });

  claim("a cancelled timer does not fire, and may be cancelled again", async ({ left }) => {
    let fired = false;
    const timer = left.timers.after(5, () => {
      fired = true;
    });
    timer.cancel();
    await wait(left, 15);
    timer.cancel();
    expect(fired).toBe(false);
  });

  claim("soon comes after the call that asked for it, and before a timer that is not due", async ({ left }) => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      left.timers.after(50, resolve);
      left.timers.soon(() => order.push("soon"));
      order.push("now");
    });
    expect(order).toEqual(["now", "soon"]);
  });

  claim("sha256 is the standard's, in bytes of their own", async ({ left }) => {
    const digest = left.sha256(utf8("abc"));
    expect(toHex(digest)).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(digest.constructor).toBe(Uint8Array);
  });
}

function claimStreams(claim: Claim): void {
  claim("a stream carries all bytes in order, both ways", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    near.stream.write(utf8("to the right, "));
    near.stream.write(utf8("in two writes"));
    far.stream.write(utf8("to the left"));
    await poll(worlds.left, () => text(near) === "to the left" && text(far) === "to the right, in two writes");
    expect(near.closed).toEqual([]);
  });

  claim("a paused reader slows the writer down, and then gets every byte", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    far.stream.pause(true);
    const chunks = Array.from({ length: 256 }, (_, i) => new Uint8Array(65_536).fill(i));
    for (const chunk of chunks) near.stream.write(chunk);
    await wait(worlds.left, 100);
    expect(near.stream.queuedBytes).toBeGreaterThan(0);
    const receivedWhilePaused = size(far);
    far.stream.pause(false);
    await poll(worlds.left, () => size(far) === 256 * 65_536);
    expect(receivedWhilePaused).toBe(0);
    expect(worlds.left.sha256(concatBytes(far.received))).toEqual(worlds.left.sha256(concatBytes(chunks)));
    await poll(worlds.left, () => near.drains > 0);
  });

  claim("a reader that pauses in the middle gets nothing more until it goes on", async (worlds, after) => {
    const accepted: Stream[] = [];
    const listener = await worlds.right.network.listen({ host: worlds.rightHost, port: 0 }, (s) => accepted.push(s));
    after(() => listener.close());
    const near = recorded(await worlds.left.network.connect(listener.local, 5_000));
    await poll(worlds.left, () => accepted.length === 1);
    const [far] = accepted as [Stream];
    let deliveries = 0;
    let bytesRead = 0;
    const onData = (bytes: Uint8Array): void => {
      deliveries++;
      bytesRead += bytes.length;
      far.pause(true);
    };
    far.open({ onData, onClose: () => {} });
    for (let i = 0; i < 8; i++) near.stream.write(new Uint8Array(65_536));
    await poll(worlds.left, () => deliveries > 0);
    await wait(worlds.left, 20);
    expect(deliveries).toBe(1);
    while (bytesRead < 8 * 65_536) {
      const before = deliveries;
      far.pause(false);
      await poll(worlds.left, () => deliveries > before);
    }
    near.stream.close();
    far.close();
  });

  claim("queuedBytes counts what was just written; the drain comes when it is zero", async (worlds, after) => {
    const { near } = await connected(worlds, after);
    near.stream.write(new Uint8Array(1_000));
    expect(near.stream.queuedBytes).toBe(1_000);
    await poll(worlds.left, () => near.drains === 1);
    expect(near.stream.queuedBytes).toBe(0);
  });

  claim("what comes before the stream is opened waits for it", async (worlds, after) => {
    const accepted: Stream[] = [];
    const listener = await worlds.right.network.listen({ host: worlds.rightHost, port: 0 }, (s) => accepted.push(s));
    after(() => listener.close());
    const near = recorded(await worlds.left.network.connect(listener.local, 5_000));
    near.stream.write(utf8("early"));
    await wait(worlds.left, 50);
    const far = recorded(accepted[0] as Stream);
    await poll(worlds.left, () => text(far) === "early");
    near.stream.close();
    await poll(worlds.left, () => far.closed.length === 1);
  });

  claim("received bytes are the receiver's own, and plain", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    const sent = utf8("mine");
    near.stream.write(sent);
    await poll(worlds.left, () => size(far) === 4);
    far.received[0]?.fill(0);
    expect(sent).toEqual(utf8("mine"));
    expect(far.received[0]?.constructor).toBe(Uint8Array);
  });
}

function claimStreamEnds(claim: Claim): void {
  claim("each side hears of the end once, and why; what was written before it arrives", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    near.stream.write(utf8("last words"));
    near.stream.close();
    near.stream.close();
    near.stream.write(utf8("too late"));
    expect(near.closed).toEqual([]); // never from within the call
    await poll(worlds.left, () => near.closed.length > 0 && far.closed.length > 0);
    await wait(worlds.left, 20);
    expect(near.closed).toEqual(["closed here"]);
    expect(far.closed).toEqual(["closed by the other side"]);
    expect(text(far)).toBe("last words");
  });

  claim("nothing is delivered after close", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    near.stream.close();
    far.stream.write(utf8("anybody there?"));
    await poll(worlds.left, () => far.closed.length > 0);
    expect(size(near)).toBe(0);
  });

  claim("a refusal in words reaches a peer that is still sending", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    for (let i = 0; i < 20; i++) near.stream.write(new Uint8Array(10_000));
    far.stream.pause(true);
    await wait(worlds.left, 20);
    far.stream.write(utf8("wrong cluster"));
    far.stream.close();
    await poll(worlds.left, () => near.closed.length > 0);
    expect(text(near)).toBe("wrong cluster");
  });

  claim("streams outlive their listener, whose port is free at once", async (worlds, after) => {
    const { near, far, listener } = await connected(worlds, after);
    await listener.close();
    const again = await worlds.right.network.listen(listener.local, () => {});
    after(() => again.close());
    near.stream.write(utf8("still here"));
    await poll(worlds.left, () => text(far) === "still here");
  });
}

function claimConnecting(claim: Claim): void {
  claim("connect rejects when nobody listens", async ({ left, right, rightHost }) => {
    const listener = await right.network.listen({ host: rightHost, port: 0 }, () => {});
    await listener.close();
    await expect(left.network.connect(listener.local, 5_000)).rejects.toThrow(/cannot connect to .*ECONNREFUSED/);
  });

  claim("connect rejects when nobody answers in time", async ({ left, silent }) => {
    await expect(left.network.connect(silent, 50)).rejects.toThrow(/cannot connect to/);
  });

  claim("connect to what is no address rejects", async ({ left, right, rightHost }, after) => {
    const listener = await right.network.listen({ host: rightHost, port: 0 }, () => {});
    after(() => listener.close());
    for (const to of [
      { host: rightHost, port: 0 },
      { host: rightHost, port: 70_000 },
      { host: "", port: listener.local.port },
    ]) {
      await expect(left.network.connect(to, 50)).rejects.toThrow(/cannot connect to/);
    }
  });

  claim("an address in use, or of another machine, is refused with what to do", async ({ right, rightHost }, after) => {
    const first = await right.network.listen({ host: rightHost, port: 0 }, () => {});
    after(() => first.close());
    const second = right.network.listen(first.local, () => {});
    await expect(second).rejects.toThrow(/in use/);
    await expect(second).rejects.toBeInstanceOf(InputError);
    await expect(right.network.serveHttp(first.local, () => new Response(), LIMITS)).rejects.toBeInstanceOf(InputError);
    const socket = await right.network.bindDatagrams({ host: rightHost, port: 0 }, () => {});
    after(() => socket.close());
    await expect(right.network.bindDatagrams(socket.local, () => {})).rejects.toBeInstanceOf(InputError);
    const elsewhere = right.network.listen({ host: "198.51.100.7", port: 0 }, () => {});
    await expect(elsewhere).rejects.toThrow(/no such address/);
  });
}

function claimDatagrams(claim: Claim): void {
  claim("datagrams arrive whole, with an address that answers", async ({ left, right, rightHost }, after) => {
    const answers: string[] = [];
    const there = await right.network.bindDatagrams({ host: rightHost, port: 0 }, (bytes, from) => {
      expect(bytes.constructor).toBe(Uint8Array);
      there.send(from, concatBytes([utf8("re: "), bytes]));
    });
    after(() => there.close());
    const here = await left.network.bindDatagrams({ host: anyHost(rightHost), port: 0 }, (bytes) => {
      answers.push(String.fromCharCode(...bytes));
    });
    after(() => here.close());
    expect(here.local.port).toBeGreaterThan(0);
    expect(here.receiveBufferBytes).toBeGreaterThan(0);
    here.send(there.local, utf8("hello"));
    await poll(left, () => answers.length > 0);
    expect(answers).toEqual(["re: hello"]);
  });

  claim("a datagram to nobody, to no port or after close is lost without a word", async ({ left, rightHost }) => {
    const here = await left.network.bindDatagrams({ host: anyHost(rightHost), port: 0 }, () => {});
    here.send({ host: rightHost, port: 9 }, utf8("nobody"));
    here.send({ host: rightHost, port: 0 }, utf8("no port"));
    here.send({ host: rightHost, port: 70_000 }, utf8("no port"));
    here.close();
    here.close();
    here.send({ host: rightHost, port: 9 }, utf8("closed"));
    await wait(left, 20);
  });
}

function claimHttp(claim: Claim): void {
  claim("a request reaches the handler whole, its answer comes back whole", async (worlds, after) => {
    const url = await serve(worlds, after, async (request) => {
      const { method, headers } = request;
      const body = `${method} ${new URL(request.url).pathname} ${headers.get("x-a")} ${await request.text()}`;
      return new Response(body, { status: 201, headers: { "x-b": "answer" } });
    });
    const response = await worlds.fetch(
      new Request(`${url}/k/%C3%A9`, { method: "PUT", body: "value", headers: { "x-a": "asked" } }),
    );
    expect([response.status, response.headers.get("x-b")]).toEqual([201, "answer"]);
    expect(await response.text()).toBe("PUT /k/%C3%A9 asked value");
  });

  claim("an answer without a body has none", async (worlds, after) => {
    const url = await serve(worlds, after, () => new Response(null, { status: 204 }));
    const response = await worlds.fetch(new Request(`${url}/`, { method: "DELETE" }));
    expect([response.status, await response.text()]).toEqual([204, ""]);
  });

  claim("a handler that fails is a 500, and the next request is served", async (worlds, after) => {
    let calls = 0;
    const url = await serve(worlds, after, () => {
      if (calls++ === 0) throw new Error("planted");
      return new Response("fine");
    });
    expect((await worlds.fetch(new Request(`${url}/`))).status).toBe(500);
    expect(await (await worlds.fetch(new Request(`${url}/`))).text()).toBe("fine");
  });

  claim("bodies stream both ways, as they come", async (worlds, after) => {
    const url = await serve(worlds, after, (request) => new Response(request.body));
    const source = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await wait(worlds.left, 5);
        controller.enqueue(utf8("piece "));
        if (++pieces === 3) controller.close();
      },
    });
    let pieces = 0;
    const response = await worlds.fetch(new Request(`${url}/`, { method: "POST", body: source, duplex: "half" }));
    expect(await response.text()).toBe("piece piece piece ");
  });

  claim("a body of many pieces arrives whole", async (worlds, after) => {
    const body = new Uint8Array(3_000_000).map((_, i) => i % 251);
    const sum = (bytes: Uint8Array): string => toHex(worlds.left.sha256(bytes));
    const url = await serve(
      worlds,
      after,
      async (request) => new Response(sum(new Uint8Array(await request.arrayBuffer()))),
    );
    const response = await worlds.fetch(new Request(`${url}/`, { method: "PUT", body }));
    expect(await response.text()).toBe(sum(body));
  });

  claim("a client that reads slowly slows the answer's source down, and gets all of it", async (worlds, after) => {
    const pieces = 1_000;
    let made = 0;
    const url = await serve(worlds, after, () => {
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(new Uint8Array(65_536));
          if (++made === pieces) controller.close();
        },
      });
      return new Response(body);
    });
    const response = await worlds.fetch(new Request(`${url}/`));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await wait(worlds.left, 200);
    expect(made).toBeLessThan(pieces);
    let bytes = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) bytes += part.value.length;
    expect(bytes).toBe(pieces * 65_536);
  });
}

function claimHttpEnds(claim: Claim): void {
  claim("a client that goes away ends the answer at its source", async (worlds, after) => {
    let cancelled = false;
    let sent = 0;
    const url = await serve(worlds, after, () => {
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await wait(worlds.right, 2);
          controller.enqueue(utf8(`event ${sent++}`));
        },
        cancel() {
          cancelled = true;
        },
      });
      return new Response(body);
    });
    const response = await worlds.fetch(new Request(`${url}/`));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await poll(worlds.left, () => cancelled);
  });
}

function claimHttpClose(claim: Claim): void {
  claim("after close nobody answers, and the port is free", async (worlds, after) => {
    const handler: HttpHandler = () => new Response("here");
    const listener = await worlds.right.network.serveHttp({ host: worlds.rightHost, port: 0 }, handler, LIMITS);
    const url = urlOf(worlds.rightHost, listener.local);
    expect(await (await worlds.fetch(new Request(url))).text()).toBe("here");
    await listener.close();
    await listener.close();
    await expect(worlds.fetch(new Request(url))).rejects.toThrow();
    const again = await worlds.right.network.serveHttp(listener.local, handler, LIMITS);
    after(() => again.close());
    expect(await (await worlds.fetch(new Request(url))).text()).toBe("here");
  });

  claim("close waits for an answer in progress", async (worlds) => {
    const handler: HttpHandler = async () => {
      await wait(worlds.right, 30);
      return new Response("finished");
    };
    const listener = await worlds.right.network.serveHttp({ host: worlds.rightHost, port: 0 }, handler, LIMITS);
    const answer = worlds.fetch(new Request(urlOf(worlds.rightHost, listener.local)));
    await wait(worlds.right, 10);
    await listener.close();
    expect(await (await answer).text()).toBe("finished");
  });

  claim("close breaks off an answer without an end", async (worlds) => {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(utf8("for ever")) });
    const handler: HttpHandler = () => new Response(body);
    const listener = await worlds.right.network.serveHttp({ host: worlds.rightHost, port: 0 }, handler, LIMITS);
    const answer = await worlds.fetch(new Request(urlOf(worlds.rightHost, listener.local)));
    const text = answer.text();
    await Promise.all([listener.close(), expect(text).rejects.toThrow()]);
  });
}

interface Recorded {
  readonly stream: Stream;
  readonly received: Uint8Array[];
  readonly closed: string[];
  drains: number;
}

function recorded(stream: Stream): Recorded {
  const record: Recorded = { stream, received: [], closed: [], drains: 0 };
  stream.open({
    onData: (bytes) => record.received.push(bytes),
    onDrain: () => {
      record.drains++;
    },
    onClose: (reason) => record.closed.push(reason),
  });
  return record;
}

const size = (record: Recorded): number => record.received.reduce((total, bytes) => total + bytes.length, 0);
const text = (record: Recorded): string => String.fromCharCode(...concatBytes(record.received));

async function connected({ left, right, rightHost }: WorldsUnderTest, after: (cleanup: () => unknown) => void) {
  const accepted: Recorded[] = [];
  const listener = await right.network.listen({ host: rightHost, port: 0 }, (stream) =>
    accepted.push(recorded(stream)),
  );
  const near = recorded(await left.network.connect(listener.local, 5_000));
  await poll(left, () => accepted.length === 1);
  const far = accepted[0] as Recorded;
  after(() => {
    near.stream.close();
    far.stream.close();
    return listener.close();
  });
  return { near, far, listener };
}

async function serve(
  { right, rightHost }: WorldsUnderTest,
  after: (cleanup: () => unknown) => void,
  handler: HttpHandler,
): Promise<string> {
  const listener = await right.network.serveHttp({ host: rightHost, port: 0 }, handler, LIMITS);
  after(() => listener.close());
  return urlOf(rightHost, listener.local);
}

const urlOf = (host: string, { port }: Address): string => `http://${host}:${port}`;
/** An address that `left` can bind: its own loopback, or whatever it has. */
const anyHost = (rightHost: string): string => (rightHost.startsWith("127.") ? rightHost : "0.0.0.0");

export function wait(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.timers.after(ms, resolve));
}

/** Asks again and again, in the world's time: what should become true does, or the test's own time-out ends it. */
async function poll(world: World, isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await wait(world, 1);
}
