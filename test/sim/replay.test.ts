import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/kernel/bytes.ts";
import { commitOf } from "../../src/storage/store.ts";
import type { HttpLimits } from "../../src/world/world.ts";
import { SimKernel, type SimNode } from "./world.ts";

const LIMITS: HttpLimits = { requestTimeoutMs: 10_000, headerBytes: 16_384, connections: 100 };

/** A bit of everything on three nodes: what happens follows from the seed alone. */
async function busyDay(seed: number): Promise<{ hash: string; events: number; told: string }> {
  const kernel = new SimKernel({ seed });
  kernel.links.setQuality("eu", "us", { lossPercent: 10, duplicatePercent: 5, reorderPercent: 10 });
  const told: string[] = [];
  const start = (name: string, region: string): SimNode => {
    const node = kernel.makeWorld({ name, region, clock: { driftPpm: 50 } });
    void chatter(node, told);
    return node;
  };
  await kernel.run(async () => {
    start("a", "eu");
    const b = start("b", "us");
    start("c", "us");
    await kernel.sleep(500);
    kernel.cut("eu", "us");
    await kernel.sleep(300);
    b.stall(120);
    await kernel.sleep(200);
    kernel.heal();
    b.crash();
    start("b", "us");
    await kernel.sleep(1_000);
    const answers = ["a", "b", "c"].map((name) =>
      kernel.httpFetch({ host: name, port: 80 }, { method: "POST", path: "/", body: "hello" }, { from: "eu" }),
    );
    for (const answer of await Promise.all(answers)) told.push(await answer.text());
  });
  return { hash: kernel.traceHash(), events: kernel.events, told: told.join() };
}

const PEERS = ["a", "b", "c"];

async function chatter({ world, name }: SimNode, told: string[]): Promise<void> {
  const { network, timers, rng } = world;
  const socket = await network.bindDatagrams({ host: "0.0.0.0", port: 70 }, (bytes) => told.push(name + bytes[0]));
  const store = await world.disk.openStore("data");
  await network.listen({ host: "0.0.0.0", port: 71 }, (stream) => {
    stream.open({ onData: (bytes) => stream.write(bytes), onClose: () => {} });
  });
  await network.serveHttp(
    { host: "0.0.0.0", port: 80 },
    async (request) => new Response(`${name} read ${await request.text()} at ${world.clock.wallMs()}`),
    LIMITS,
  );
  const tick = async (): Promise<void> => {
    timers.after(20 + rng.below(20), () => void tick());
    for (const peer of PEERS) socket.send({ host: peer, port: 70 }, new Uint8Array([rng.below(256)]));
    const stream = await network.connect({ host: PEERS[rng.below(3)] as string, port: 71 }, 500).catch(() => undefined);
    stream?.open({ onData: () => stream.close(), onClose: (reason) => told.push(reason) });
    stream?.write(utf8("x".repeat(rng.below(1_000))));
  };
  const save = async (): Promise<void> => {
    await store.commit(commitOf({ settings: [{ name: "n", value: String(rng.u32()) }] }));
    timers.after(10, () => void save());
  };
  void tick();
  void save();
}

describe("replay", () => {
  test("one seed gives one trace, twice in one process", async () => {
    const [first, second] = [await busyDay(7), await busyDay(7)];
    expect(first.events).toBeGreaterThan(2_000);
    expect(second).toEqual(first);
  });

  test("runs that overlap in real time don't disturb each other", async () => {
    const alone = await busyDay(7);
    const both = await Promise.all([busyDay(7), busyDay(8)]);
    expect(both[0]).toEqual(alone);
  });

  test("another seed gives another trace", async () => {
    expect((await busyDay(8)).hash).not.toBe((await busyDay(7)).hash);
  });

  test("another byte in one message gives another trace", async () => {
    const hashes = await Promise.all(
      ["same", "same", "some"].map(async (word) => {
        const kernel = new SimKernel({ seed: 1 });
        const a = kernel.makeWorld({ name: "a", region: "eu" });
        await kernel.run(async () => {
          const socket = await a.world.network.bindDatagrams({ host: "a", port: 70 }, () => {});
          socket.send(socket.local, utf8(word));
          await kernel.sleep(10);
        });
        return kernel.traceHash();
      }),
    );
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });
});

describe("turns", () => {
  test("all microtasks of an event run before the next event, however deep", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const { world } = kernel.makeWorld({ name: "a", region: "eu" });
    const order: string[] = [];
    await kernel.run(async () => {
      world.timers.after(10, () => {
        void (async () => {
          for (let i = 0; i < 500; i++) await null;
          const text = await new Response(new Request("http://a/", { method: "POST", body: "deep" }).body).text();
          order.push(text);
        })();
      });
      world.timers.after(10, () => order.push("next event"));
      await kernel.sleep(20);
    });
    expect(order).toEqual(["deep", "next event"]);
  });

  test("a run that waits for what can't happen says so", async () => {
    const kernel = new SimKernel({ seed: 1 });
    await expect(kernel.run(() => new Promise(() => {}))).rejects.toThrow(/nothing is left to happen/);
  });

  test("a loop that never lets time go on is found", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const busy = kernel.run(async () => {
      for (;;) await kernel.sleep(0);
    });
    await expect(busy).rejects.toThrow(/time stands still at 0 ms/);
  });

  test("until waits for a condition, and gives up after its time", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const { world } = kernel.makeWorld({ name: "a", region: "eu" });
    let done = false;
    await kernel.run(async () => {
      world.timers.after(1_000, () => {
        done = true;
      });
      await expect(kernel.until(() => done, 500, "done")).rejects.toThrow("not within 500 ms: done");
      await kernel.until(() => done, 5_000);
      expect(kernel.nowMs).toBeLessThan(1_001);
    });
  });

  test("an error that a node does not catch ends the run, with seed, node and last events", async () => {
    const kernel = new SimKernel({ seed: 42 });
    const { world } = kernel.makeWorld({ name: "a", region: "eu" });
    world.log.info("something.before", { n: 1 });
    world.timers.after(10, () => {
      throw new Error("planted");
    });
    await expect(kernel.runFor(100)).rejects.toThrow(/seed 42, at .* a: Error: planted(.|\n)*something\.before/);
  });
});

describe("guards", () => {
  const forbidden: Record<string, () => unknown> = {
    "Date.now": () => Date.now(),
    "new Date()": () => new Date(),
    "Date()": () => Date(),
    "Math.random": () => Math.random(),
    setTimeout: () => setTimeout(() => {}, 1),
    setInterval: () => setInterval(() => {}, 1),
    setImmediate: () => setImmediate(() => {}),
    "performance.now": () => performance.now(),
    "crypto.randomUUID": () => crypto.randomUUID(),
    "crypto.getRandomValues": () => crypto.getRandomValues(new Uint8Array(1)),
  };

  for (const [name, use] of Object.entries(forbidden)) {
    test(`${name} throws in a simulation, in a node as in its client, and works again after it`, async () => {
      const kernel = new SimKernel({ seed: 1 });
      const { world } = kernel.makeWorld({ name: "a", region: "eu" });
      let thrown: unknown;
      await kernel.run(async () => {
        world.timers.after(1, () => {
          void (async () => {
            await null;
            try {
              use();
            } catch (error) {
              thrown = error;
            }
          })();
        });
        await kernel.sleep(10);
        expect(use).toThrow(`${name} inside a simulation`);
      });
      expect(String(thrown)).toContain(`${name} inside a simulation`);
      const timer = use();
      if (typeof timer === "object" && !(timer instanceof Date)) clearInterval(timer as NodeJS.Timeout);
    });
  }

  test("a date of a given time is allowed", async () => {
    const kernel = new SimKernel({ seed: 1 });
    await kernel.run(async () => {
      expect(new Date(5).getTime()).toBe(5);
      expect(new Date(5)).toBeInstanceOf(Date);
      expect(Date.UTC(1970, 0, 1)).toBe(0);
    });
  });
});
