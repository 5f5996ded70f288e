import { describe, expect, test } from "vitest";
import { concatBytes, utf8 } from "../../src/kernel/bytes.ts";
import type { Stream } from "../../src/world/world.ts";
import { SimKernel } from "./world.ts";

describe("datagrams between simulated nodes", () => {
  test("loss, duplication and reordering are as strong as they were set", async () => {
    const kernel = new SimKernel({ seed: 5 });
    kernel.links.setQuality("eu", "us", { lossPercent: 20, duplicatePercent: 10, reorderPercent: 5, jitterMs: 0 });
    const [a, b] = [kernel.makeWorld({ name: "a", region: "eu" }), kernel.makeWorld({ name: "b", region: "us" })];
    const seen: number[] = [];
    await kernel.run(async () => {
      await b.world.network.bindDatagrams({ host: "b", port: 70 }, (bytes) =>
        seen.push((bytes[0] as number) * 256 + (bytes[1] as number)),
      );
      const socket = await a.world.network.bindDatagrams({ host: "a", port: 70 }, () => {});
      for (let i = 0; i < 5_000; i++) {
        socket.send({ host: "b", port: 70 }, new Uint8Array([i >> 8, i & 255]));
        await kernel.sleep(1);
      }
      await kernel.sleep(1_000);
    });
    expect(new Set(seen).size / 5_000).toBeCloseTo(0.8, 1);
    expect((seen.length - new Set(seen).size) / 5_000).toBeCloseTo(0.08, 1);
    const overtaken = seen.filter((n, i) => i > 0 && n < (seen[i - 1] as number)).length;
    expect(overtaken).toBeGreaterThan(50);
  });

  test("bytes that change after they were sent are a bug that the simulator finds", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const a = kernel.makeWorld({ name: "a", region: "eu" });
    const run = kernel.run(async () => {
      const socket = await a.world.network.bindDatagrams({ host: "a", port: 70 }, () => {});
      const bytes = utf8("before");
      socket.send(socket.local, bytes);
      bytes.fill(0);
      await kernel.sleep(100);
    });
    await expect(run).rejects.toThrow(/bytes changed after a had sent them/);
  });

  test("across a cut nothing passes; one way, the other way is open; healed, all is as before", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const nodes = ["a", "b"].map((name, i) => kernel.makeWorld({ name, region: i === 0 ? "eu" : "us" }));
    const seen: string[] = [];
    await kernel.run(async () => {
      const sockets = await Promise.all(
        nodes.map(({ world, name }) =>
          world.network.bindDatagrams({ host: name, port: 70 }, (_, from) => seen.push(`${from.host} to ${name}`)),
        ),
      );
      const exchange = async (): Promise<string[]> => {
        sockets[0]?.send({ host: "b", port: 70 }, utf8("x"));
        sockets[1]?.send({ host: "a", port: 70 }, utf8("x"));
        await kernel.sleep(100);
        return seen.splice(0).sort();
      };
      const [aToB, bToA] = [`${nodes[0]?.host} to b`, `${nodes[1]?.host} to a`];
      expect(await exchange()).toEqual([aToB, bToA]);
      kernel.cut("eu", "us");
      expect(await exchange()).toEqual([]);
      kernel.heal();
      const caught = exchange();
      await kernel.sleep(20); // they are on their way
      kernel.cut("eu", "us");
      expect(await caught).toEqual([]);
      kernel.heal("us", "eu");
      kernel.cut("a", "*", { oneWay: true });
      expect(await exchange()).toEqual([bToA]);
      kernel.heal();
      expect(await exchange()).toEqual([aToB, bToA]);
    });
  });
});

describe("streams between simulated nodes", () => {
  test("a stream goes silent in a cut; after a short one it goes on in order, after a long one it is reset", async () => {
    const kernel = new SimKernel({ seed: 1 });
    const [a, b] = [kernel.makeWorld({ name: "a", region: "eu" }), kernel.makeWorld({ name: "b", region: "us" })];
    const received: Uint8Array[] = [];
    const ends: string[] = [];
    await kernel.run(async () => {
      await b.world.network.listen({ host: "b", port: 71 }, (far) =>
        far.open({ onData: (bytes) => received.push(bytes), onClose: (reason) => ends.push(`far ${reason}`) }),
      );
      const near = await a.world.network.connect({ host: "b", port: 71 }, 1_000);
      near.open({ onData() {}, onClose: (reason) => ends.push(`near ${reason}`) });
      near.write(utf8("1,"));
      await kernel.sleep(20);
      kernel.cut("eu", "us"); // the first is on its way
      near.write(utf8("2,"));
      await kernel.sleep(5_000);
      expect(received).toEqual([]);
      kernel.heal();
      near.write(utf8("3"));
      await kernel.sleep(5_000);
      expect(String.fromCharCode(...concatBytes(received))).toBe("1,2,3");
      kernel.cut("eu", "us");
      near.write(utf8("lost"));
      await kernel.sleep(60_000);
      expect(ends).toEqual([]);
      kernel.heal();
      await kernel.sleep(5_000);
    });
    expect(ends.sort()).toEqual(["far connection reset", "near connection reset"]);
    expect(String.fromCharCode(...concatBytes(received))).toBe("1,2,3");
  });

  test("a connect that is answered too late leaves no open stream behind", async () => {
    const kernel = new SimKernel({ seed: 1 });
    kernel.links.setQuality("eu", "us", { delayMs: 500 });
    const [a, b] = [kernel.makeWorld({ name: "a", region: "eu" }), kernel.makeWorld({ name: "b", region: "us" })];
    const ends: string[] = [];
    await kernel.run(async () => {
      const onStream = (far: Stream): void => far.open({ onData() {}, onClose: (reason) => ends.push(reason) });
      await b.world.network.listen({ host: "b", port: 71 }, onStream);
      await expect(a.world.network.connect({ host: "b", port: 71 }, 900)).rejects.toThrow(/no answer within 900 ms/);
      await kernel.sleep(5_000);
    });
    expect(ends).toEqual(["connection reset"]);
  });
});
