import { describe, expect, it } from "vitest";
import type { Op } from "../../crdt/index.ts";
import type { WriteRequest } from "../../src/replication/api.ts";
import { DiskRoom, levelOf } from "../../src/replication/disk-room.ts";
import type { Store } from "../../src/storage/store.ts";
import type { World } from "../../src/world/world.ts";
import { makeTestWorld } from "../http/test-world.ts";

const GIB = 2 ** 30;
const write = (op: Op, more: Partial<WriteRequest> = {}): WriteRequest => ({
  bucket: "b",
  key: "k",
  ops: [op],
  seen: "blind",
  author: "a",
  ...more,
});
const ADD = write({ path: [], slot: { op: "increment", by: 1n } });
const DELETE = write({ path: [], removeAll: true });

interface Scene {
  readonly test: ReturnType<typeof makeTestWorld>;
  readonly room: DiskRoom;
  free: number;
  asked: number;
  /** A second passes, and the file system answers. */
  second(): Promise<void>;
}

function makeScene(): Scene {
  const test = makeTestWorld();
  const store = {
    usage: async () => {
      scene.asked += 1;
      return { dataBytes: 0, freeBytes: scene.free, totalBytes: 10 * GIB };
    },
  } as unknown as Store;
  const scene: Scene = {
    test,
    room: new DiskRoom(test.world as World, store),
    free: 5 * GIB,
    asked: 0,
    async second() {
      test.advance(1_000);
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    },
  };
  return scene;
}

describe("room on the disk", () => {
  it("has four levels: by share of a small disk, by bytes of a large one", () => {
    const small = (freeBytes: number): string => levelOf({ freeBytes, totalBytes: 1_000 });
    expect([150, 149, 80, 79, 30, 29].map(small)).toEqual(["ample", "low", "low", "scarce", "scarce", "full"]);
    const large = (freeBytes: number): string => levelOf({ freeBytes, totalBytes: 1_000 * GIB });
    expect([1, 0.99, 0.5, 0.49, 0.125, 0.12].map((gib) => large(gib * GIB))).toEqual([
      ...["ample", "low", "low", "scarce", "scarce", "full"],
    ]);
    expect(levelOf({ freeBytes: Number.POSITIVE_INFINITY, totalBytes: Number.POSITIVE_INFINITY })).toBe("ample");
  });

  it("takes only what gives room when it is scarce, and nothing when it is full", async () => {
    const scene = makeScene();
    scene.room.admit(ADD);
    scene.free = 0.3 * GIB;
    await scene.second();
    scene.room.admit(ADD); // asks; the answer comes after it
    await scene.second();
    expect(scene.room.level).toBe("scarce");
    expect(() => scene.room.admit(ADD)).toThrow("nearly full");
    scene.room.admit(DELETE);
    scene.room.admit({ ...ADD, settles: true });
    scene.room.admitEntries();
    scene.free = 0.1 * GIB;
    await scene.second();
    expect(() => scene.room.admit(DELETE)).toThrow("is full");
    expect(() => scene.room.admit({ ...ADD, settles: true })).toThrow("is full");
    expect(() => scene.room.admitEntries()).toThrow("is full");
    scene.room.stop();
  });

  it("is asked once a second at most while writes come, and not at all while none do", async () => {
    const scene = makeScene();
    for (let i = 0; i < 100; i++) scene.room.admit(ADD);
    expect(scene.asked).toBe(1);
    await scene.second();
    await scene.second();
    expect(scene.asked).toBe(1);
    scene.room.admit(ADD);
    expect(scene.asked).toBe(2);
    expect(scene.test.timers).toBe(0);
  });

  it("recovers by itself after a commit found none, also when nobody writes", async () => {
    const scene = makeScene();
    scene.room.noteFull();
    expect(() => scene.room.admit(ADD)).toThrow("is full");
    await scene.second();
    expect(scene.room.level).toBe("ample");
    scene.room.admit(ADD);
    expect(scene.test.timers).toBe(0);
    expect(scene.test.logged.map(({ event, fields }) => [event, fields.room])).toEqual([
      ["disk.room", "full"],
      ["disk.room", "ample"],
    ]);
  });
});
