import { describe, expect, it } from "vitest";
import { startNode } from "../../src/node.ts";
import { closeAll } from "../../src/storage/closing.ts";
import type { World } from "../../src/world/world.ts";
import { SimKernel } from "../sim/world.ts";
import { configOf, put } from "./cluster.ts";

const HOST = "10.1.0.1";

function aNode(seed: number) {
  const kernel = new SimKernel({ seed });
  const node = kernel.makeWorld({ name: "eu", region: "eu", host: HOST });
  return { kernel, node, config: configOf("eu", new Map([["eu", HOST]])) };
}

/** Rejects while anything of the node is left: its disk, its ports. */
async function expectAllFree({ disk, network }: World): Promise<void> {
  await (await disk.openStore("/data")).close();
  for (const port of [7001, 7003]) await (await network.listen({ host: HOST, port }, () => {})).close();
  await (await network.bindDatagrams({ host: HOST, port: 7002 }, () => {})).close();
}

describe("a node that stops", () => {
  it("closes everything also when its last save fails, and says that it failed", async () => {
    const { kernel, node, config } = aNode(1);
    await kernel.run(async () => {
      const running = await startNode(config, node.world);
      let failed: string | undefined;
      void running.failed.then((reason) => {
        failed = reason;
      });
      await expect(expectAllFree(node.world)).rejects.toThrow("in use");
      node.disk.failNextCommit("data");
      await expect(running.stop()).rejects.toThrow("this node's storage failed");
      expect(failed).toMatch(/unknown state after a failed commit .*fsync failed.*so this node stops/);
      await expectAllFree(node.world);
    });
  });

  it("closes everything when it never came up, and says why it did not", async () => {
    const { kernel, node, config } = aNode(2);
    await kernel.run(async () => {
      await node.world.network.bindDatagrams(config.gossip.bind, () => {});
      node.disk.failNextCommit("data");
      const problems: unknown = await startNode(config, node.world).catch((error: unknown) => error);
      expect(problems).toBeInstanceOf(AggregateError);
      expect(String(problems)).toMatch(/in use.*; then: this node's storage failed/);
      await (await node.world.disk.openStore("/data")).close();
    });
  });
});

describe("a node whose store fails otherwise than in a commit", () => {
  it("takes no more writes, says why it has to stop, and can", async () => {
    const { kernel, node, config } = aNode(3);
    let failStore: (error: Error) => void = () => {};
    const failed = new Promise<Error>((resolve) => {
      failStore = resolve;
    });
    const openStore = async (dir: string) => Object.assign(await node.world.disk.openStore(dir), { failed });
    await kernel.run(async () => {
      const running = await startNode(config, { ...node.world, disk: { ...node.world.disk, openStore } });
      await running.replica.write(put("k", "v"));
      failStore(new Error("a read failed: so it goes"));
      expect(await running.failed).toBe("a read failed: so it goes");
      expect(running.replica.status()).toMatchObject({ ready: false, failed: "a read failed: so it goes" });
      await expect(running.replica.write(put("k", "w"))).rejects.toThrow("stopped writing: a read failed");
      await running.stop();
      await expectAllFree(node.world);
    });
  });
});

describe("closers", () => {
  const failing = (reason: string) => async () => {
    throw new Error(reason);
  };

  it("run in order, each when the one before is done, whatever became of it", async () => {
    const seen: string[] = [];
    const closers = ["a", "b"].flatMap((name) => [
      async () => {
        seen.push(`${name} begins`);
        await Promise.resolve();
        seen.push(`${name} ends`);
      },
      failing(name),
    ]);
    await expect(closeAll(closers)).rejects.toThrow("a; then: b");
    expect(seen).toEqual(["a begins", "a ends", "b begins", "b ends"]);
  });

  it("reject with the one thing that went wrong as it is, and with all when there are several", async () => {
    const only = new Error("only");
    await expect(closeAll([() => Promise.reject(only), () => {}])).rejects.toBe(only);
    await expect(closeAll([() => {}], [only])).rejects.toBe(only);
    await expect(closeAll([failing("second")], [only])).rejects.toMatchObject({ errors: [only, expect.any(Error)] });
    await closeAll([() => {}]);
  });
});
