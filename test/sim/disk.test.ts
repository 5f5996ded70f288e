import { describe, expect, test } from "vitest";
import { InputError } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { type Commit, commitOf, type Store } from "../../src/storage/store.ts";
import { SimKernel, type SimNode } from "./world.ts";

function write(value: string): Commit {
  return commitOf({ rows: [{ bucket: "b", key: "k", slot: 1, body: utf8(value), conflict: false }] });
}

async function read(store: Store): Promise<string> {
  const [row] = await store.readRows([{ bucket: "b", key: "k" }]);
  return String.fromCharCode(...(row?.body ?? []));
}

function simulation(seed: number): { kernel: SimKernel; start: () => SimNode } {
  const kernel = new SimKernel({ seed });
  return { kernel, start: () => kernel.makeWorld({ name: "a", region: "eu" }) };
}

describe("the simulated disk", () => {
  test("keeps what was committed over a crash, whatever the seed", async () => {
    for (let seed = 0; seed < 20; seed++) {
      const { kernel, start } = simulation(seed);
      await kernel.run(async () => {
        const first = start();
        const store = await first.world.disk.openStore("data");
        await store.commit(write("acknowledged"));
        first.crash(seed % 2 === 0 ? "process" : "machine");
        expect(await read(await start().world.disk.openStore("data"))).toBe("acknowledged");
      });
    }
  });

  test("a crash in the middle of a commit loses it or keeps it, whole: both happen", async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const { kernel, start } = simulation(seed);
      await kernel.run(async () => {
        const first = start();
        const store = await first.world.disk.openStore("data");
        await store.commit(write("old"));
        void store.commit(write("new"));
        await kernel.sleep(1);
        first.crash();
        outcomes.add(await read(await start().world.disk.openStore("data")));
      });
    }
    expect([...outcomes].sort()).toEqual(["new", "old"]);
  });

  test("a commit and a read take time; a read sees the last commit", async () => {
    const { kernel, start } = simulation(1);
    await kernel.run(async () => {
      const store = await start().world.disk.openStore("data");
      const startMs = kernel.nowMs;
      const commit = store.commit(write("new"));
      expect(await read(store)).toBe("");
      expect(kernel.nowMs).toBeGreaterThan(startMs);
      await commit;
      expect(kernel.nowMs - startMs).toBeGreaterThan(1);
      expect(await read(store)).toBe("new");
    });
  });

  test("a failed fsync rejects; nothing can be committed after it, and the commit is on disk or not", async () => {
    const outcomes = new Set<string>();
    for (let seed = 0; seed < 20; seed++) {
      const { kernel, start } = simulation(seed);
      await kernel.run(async () => {
        const first = start();
        const store = await first.world.disk.openStore("data");
        await store.commit(write("old"));
        first.disk.failNextCommit();
        await expect(store.commit(write("new"))).rejects.toThrow(/fsync/);
        await expect(store.commit(write("newer"))).rejects.toThrow(/unknown/);
        first.crash();
        outcomes.add(await read(await start().world.disk.openStore("data")));
      });
    }
    expect([...outcomes].sort()).toEqual(["new", "old"]);
  });

  test("an older image can be put back", async () => {
    const { kernel, start } = simulation(1);
    await kernel.run(async () => {
      const first = start();
      const store = await first.world.disk.openStore("data");
      await store.commit(write("old"));
      const image = first.disk.snapshot("data");
      await store.commit(write("new"));
      first.crash();
      if (image) first.disk.restore("data", image);
      expect(await read(await start().world.disk.openStore("data"))).toBe("old");
    });
  });

  test("a data directory belongs to one process at a time, and a close gives it back with what was pending", async () => {
    const { kernel, start } = simulation(1);
    await kernel.run(async () => {
      const { disk } = start().world;
      const store = await disk.openStore("data");
      await expect(disk.openStore("data")).rejects.toBeInstanceOf(InputError);
      const pending = store.commit(write("pending"));
      await store.close();
      await pending;
      expect(await read(await disk.openStore("data"))).toBe("pending");
      expect(await read(await disk.openStore("other"))).toBe("");
    });
  });
});
