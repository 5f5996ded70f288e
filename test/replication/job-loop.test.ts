import { describe, expect, it } from "vitest";
import type { Row } from "../../crdt/index.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { WriteRequest } from "../../src/replication/api.ts";
import type { Accepted } from "../../src/replication/jobs.ts";
import type { Pipeline } from "../../src/replication/pipeline.ts";
import type { World } from "../../src/world/world.ts";
import { valuesOf } from "./cluster.ts";
import { withPipeline } from "./with-pipeline.ts";

const KEY = { bucket: "b", key: "k" };

function assign(value: string, guard?: (row: Row) => void): WriteRequest {
  const slot = { op: "assign", contentType: "text/plain", bytes: utf8(value) } as const;
  return { ...KEY, ops: [{ path: [], slot }], seen: "blind", author: "a", ...(guard && { guard }) };
}

const nextTurn = (world: World): Promise<void> => new Promise((resolve) => world.timers.soon(resolve));

/** Far less than a commit takes here. */
const SHORT_MS = 0.01;

async function until(world: World, isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise<void>((resolve) => world.timers.after(SHORT_MS, resolve));
}

const registers = (row: Row | null): unknown => row && valuesOf(row).registers;

/** What a write was answered with: its dots, or why it was refused. */
function outcome([result]: (Accepted | Error)[]): unknown {
  if (result instanceof Error) return "slug" in result ? result.slug : result;
  return { first: result?.entry?.first, registers: result && registers(result.row) };
}

/** A write whose commit is under way, and one that is planned on top of it. */
async function twoWrites(
  pipeline: Pipeline,
  world: World,
): Promise<{ first: Promise<unknown>; second: Promise<unknown>; seen: unknown[] }> {
  const seen: unknown[] = [];
  let isPlanned = false;
  let isAnswered = false;
  const plan = (): void => {
    isPlanned = true;
  };
  const first = pipeline.write([assign("one", plan)]).then((results) => {
    isAnswered = true;
    return outcome(results);
  });
  await until(world, () => isPlanned);
  const look = (row: Row): void => void seen.push({ isAnswered, registers: registers(row) });
  const second = pipeline.write([assign("two", look)]).then(outcome);
  await until(world, () => seen.length > 0);
  return { first, second, seen };
}

describe("while a commit is under way", () => {
  it("the next batch is planned on top of it, and shown to nobody before both are durable", async () => {
    await withPipeline(async (pipeline, failures, { world, image }) => {
      const { partition } = pipeline.place(KEY);
      const { first, second, seen } = await twoWrites(pipeline, world);
      expect(seen).toEqual([{ isAnswered: false, registers: ["one"] }]);
      expect(pipeline.partition(partition).state.vector.size).toBe(0);
      expect((await pipeline.rows.read(KEY))?.cells.size).toBe(0);
      expect(await first).toEqual({ first: 1, registers: ["one"] });
      expect(await second).toEqual({ first: 2, registers: ["two"] });
      expect(registers(await pipeline.rows.read(KEY))).toEqual(["two"]);
      expect(pipeline.partition(partition).state.vector.seq(pipeline.actor)).toBe(2);
      expect(pipeline.tail.after(0, 10)?.map(({ pos }) => pos)).toEqual([1, 2]);
      expect([...image().vectors.values()].map(({ seq }) => seq)).toEqual([2]);
      expect(failures).toEqual([]);
    });
  });

  it("what is planned on top is refused with it when there is no room, and the next write finds neither", async () => {
    await withPipeline(async (pipeline, failures, { world, disk }) => {
      disk.isFull = true;
      const { first, second, seen } = await twoWrites(pipeline, world);
      expect(seen.length).toBe(1);
      expect(await first).toBe("disk-full");
      disk.isFull = false;
      expect(await second).toBe("disk-full");
      expect((await pipeline.rows.read(KEY))?.cells.size).toBe(0);
      expect(outcome(await pipeline.write([assign("three")]))).toEqual({ first: 1, registers: ["three"] });
      expect(pipeline.tail.after(0, 10)?.map(({ pos }) => pos)).toEqual([1]);
      expect(failures).toEqual([]);
    });
  });

  it("what is planned on top, and all that comes later, is refused when it fails", async () => {
    await withPipeline(async (pipeline, failures, { world, disk }) => {
      disk.failNextCommit();
      const { first, second, seen } = await twoWrites(pipeline, world);
      expect(seen.length).toBe(1);
      expect([await first, await second]).toEqual(["storage-failed", "storage-failed"]);
      expect(pipeline.partition(pipeline.place(KEY).partition).state.vector.size).toBe(0);
      expect(outcome(await pipeline.write([assign("three")]))).toBe("storage-failed");
      expect(failures.length).toBe(1);
    });
  });

  it("what comes in any moment after the last job is taken, too", async () => {
    await withPipeline(async (pipeline, _, { world }) => {
      for (let moments = 0; moments < 12; moments++) {
        await pipeline.alone(async () => {});
        for (let moment = 0; moment < moments; moment++) await Promise.resolve();
        let isAnswered = false;
        void pipeline.write([assign(`value ${moments}`)]).then(() => {
          isAnswered = true;
        });
        const dueMs = world.clock.monotonicMs() + 1_000;
        await until(world, () => isAnswered || world.clock.monotonicMs() > dueMs);
        expect([moments, isAnswered]).toEqual([moments, true]);
      }
    });
  });

  it("a job that runs alone waits for it, and what comes after the job is planned after it", async () => {
    await withPipeline(async (pipeline, failures, { world }) => {
      const { vector } = pipeline.partition(pipeline.place(KEY).partition).state;
      expect(vector.size).toBe(0);
      const seqNow = (): number => pipeline.partition(pipeline.place(KEY).partition).state.vector.seq(pipeline.actor);
      const { first, second } = await twoWrites(pipeline, world);
      const alone = pipeline.alone(async () => {
        const before = seqNow();
        for (let turn = 0; turn < 5; turn++) await nextTurn(world);
        return [before, seqNow()];
      });
      let isPlanned = false;
      const third = pipeline.write([
        assign("three", () => {
          isPlanned = true;
        }),
      ]);
      expect(await first).toEqual({ first: 1, registers: ["one"] });
      expect(await second).toEqual({ first: 2, registers: ["two"] });
      expect(isPlanned).toBe(false);
      expect(await alone).toEqual([2, 2]);
      expect(outcome(await third)).toEqual({ first: 3, registers: ["three"] });
      expect(failures).toEqual([]);
    });
  });
});
