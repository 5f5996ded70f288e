import { describe, expect, test } from "vitest";
import { utf8 } from "../../src/kernel/bytes.ts";
import { commitOf } from "../../src/storage/store.ts";
import type { HttpLimits } from "../../src/world/world.ts";
import { wait } from "../../src/world/world-claims.test-kit.ts";
import { SimKernel } from "./world.ts";

const LIMITS: HttpLimits = { requestTimeoutMs: 10_000, headerBytes: 16_384, connections: 100 };

describe("clocks", () => {
  test("offset, drift and jumps show in wall time; monotonic time and timers follow the drift alone", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const exact = kernel.makeWorld({ name: "exact", region: "eu" });
    const fast = kernel.makeWorld({ name: "fast", region: "eu", clock: { offsetMs: -90_000, driftPpm: 10_000 } });
    await kernel.run(async () => {
      const before = [exact.clock.monotonicMs(), fast.clock.monotonicMs()] as const;
      let firedAtMs = 0;
      fast.world.timers.after(10_100, () => {
        firedAtMs = kernel.nowMs;
      });
      await kernel.sleep(10_000.5);
      expect(exact.clock.monotonicMs() - before[0]).toBe(10_000.5);
      expect(fast.clock.monotonicMs() - before[1]).toBeCloseTo(10_100.505, 2);
      expect(firedAtMs).toBeCloseTo(10_000, 1);
      const wall = fast.clock.wallMs();
      const monotonic = fast.clock.monotonicMs();
      fast.clock.jump(-3_600_000);
      fast.clock.setDrift(0);
      expect([fast.clock.wallMs() - wall, fast.clock.monotonicMs() - monotonic]).toEqual([-3_600_000, 0]);
    });
  });

  test("tell the same time at machines that booted at different times", () => {
    const kernel = new SimKernel({ seed: 1 });
    const [a, b] = [kernel.makeWorld({ name: "a", region: "eu" }), kernel.makeWorld({ name: "b", region: "eu" })];
    expect(a.clock.monotonicMs()).not.toBe(b.clock.monotonicMs());
    expect(a.clock.wallMs()).toBe(b.clock.wallMs());
  });

  test("a node that wakes from a stall sees late timers, then the packets that its buffer kept", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const [a, b] = [kernel.makeWorld({ name: "a", region: "eu" }), kernel.makeWorld({ name: "b", region: "eu" })];
    const seen: string[] = [];
    await kernel.run(async () => {
      await b.world.network.bindDatagrams({ host: "b", port: 70 }, (bytes) => seen.push(`packet ${bytes.length}`));
      const socket = await a.world.network.bindDatagrams({ host: "a", port: 70 }, () => {});
      b.stall(5_000);
      const askedAtMs = kernel.nowMs;
      const late = b.world.timers.after(3_001, () => seen.push("cancelled timer"));
      b.world.timers.after(3_000, () => {
        late.cancel();
        seen.push(`timer at ${kernel.nowMs - askedAtMs}`);
      });
      for (let i = 0; i < 10; i++) socket.send({ host: "b", port: 70 }, new Uint8Array(60_000));
      await kernel.sleep(10_000);
    });
    expect(seen).toEqual(["timer at 5000", "packet 60000", "packet 60000", "packet 60000"]);
  });
});

describe("crashes", () => {
  test("promises of a dead life never resolve, its timers never fire, nobody calls it", async () => {
    const kernel = new SimKernel({ seed: 3 });
    const [a, b] = [kernel.makeWorld({ name: "a", region: "eu" }), kernel.makeWorld({ name: "b", region: "us" })];
    const after: string[] = [];
    await kernel.run(async () => {
      const store = await a.world.disk.openStore("data");
      await b.world.network.listen({ host: "b", port: 71 }, () => {});
      const socket = await a.world.network.bindDatagrams({ host: "a", port: 70 }, () => after.push("packet"));
      const ended = (what: string) => () => after.push(what);
      a.world.network.connect({ host: "b", port: 71 }, 100).then(ended("connected"), ended("connect failed"));
      a.world.network.connect({ host: "b", port: 9 }, 100).then(ended("connected"), ended("connect failed"));
      store.commit(commitOf({})).then(ended("committed"), ended("commit failed"));
      store.readRows([]).then(ended("read"), ended("read failed"));
      void wait(a.world, 5).then(ended("timer"));
      a.world.timers.soon(ended("soon"));
      socket.send(socket.local, utf8("to myself"));
      a.crash();
      a.world.timers.after(1, ended("timer of the dead"));
      store.readRows([]).then(ended("read of the dead"), ended("read of the dead failed"));
      socket.send({ host: "b", port: 70 }, utf8("from the dead"));
      await kernel.sleep(60_000);
    });
    expect(after).toEqual([]);
  });

  test("the peer of a crashed process sees an end, that of a machine without power sees nothing", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const a = kernel.makeWorld({ name: "a", region: "eu" });
    const closed: Record<string, string[]> = { process: [], machine: [] };
    await kernel.run(async () => {
      for (const how of ["process", "machine"] as const) {
        const b = kernel.makeWorld({ name: "b", region: "us" });
        await b.world.network.listen({ host: "b", port: 71 }, (far) => far.open({ onData() {}, onClose() {} }));
        const near = await a.world.network.connect({ host: "b", port: 71 }, 1_000);
        near.open({ onData() {}, onClose: (reason) => closed[how]?.push(reason) });
        b.crash(how);
        near.write(utf8("hello?"));
        await kernel.sleep(10_000);
        if (how === "process") continue;
        expect(closed[how]).toEqual([]);
        await expect(a.world.network.connect({ host: "b", port: 71 }, 1_000)).rejects.toThrow(/no answer/);
        kernel.makeWorld({ name: "b", region: "us" }); // it knows nothing of the old connection
        near.write(utf8("and now?"));
        await kernel.sleep(10_000);
      }
    });
    expect(closed.process).toHaveLength(1);
    expect(closed.machine).toEqual(["connection reset"]);
  });
});

describe("clients of simulated nodes", () => {
  test("a client of a crashed node hears a reset; one whose time is over may still be obeyed", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const a = kernel.makeWorld({ name: "a", region: "eu" });
    let obeyed = 0;
    await kernel.run(async () => {
      const handler = async (): Promise<Response> => {
        await wait(a.world, 100);
        obeyed++;
        return new Response("done");
      };
      await a.world.network.serveHttp({ host: "a", port: 80 }, handler, LIMITS);
      const ask = (timeoutMs: number) =>
        kernel.httpFetch({ host: "a", port: 80 }, { method: "PUT", path: "/" }, { timeoutMs });
      await expect(ask(50)).rejects.toThrow(/no answer within 50 ms/);
      await kernel.sleep(200);
      expect(obeyed).toBe(1);
      const answer = ask(1_000);
      await kernel.sleep(50);
      a.crash();
      await expect(answer).rejects.toThrow(/connection reset/);
      await expect(ask(1_000)).rejects.toThrow(/ECONNREFUSED/);
    });
    expect(obeyed).toBe(1);
  });

  test("a node with as many requests in hand as it may have refuses the next", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const a = kernel.makeWorld({ name: "a", region: "eu" });
    await kernel.run(async () => {
      const handler = async (): Promise<Response> => {
        await wait(a.world, 100);
        return new Response("done");
      };
      await a.world.network.serveHttp({ host: "a", port: 80 }, handler, { ...LIMITS, connections: 2 });
      const ask = () => kernel.httpFetch({ host: "a", port: 80 }, { method: "GET", path: "/" });
      const answers = [ask(), ask(), ask()];
      await expect(Promise.all(answers)).rejects.toThrow(/connection reset/);
      expect((await Promise.allSettled(answers)).map(({ status }) => status).sort()).toEqual([
        "fulfilled",
        "fulfilled",
        "rejected",
      ]);
      await expect(ask()).resolves.toMatchObject({ status: 200 });
    });
  });
});
