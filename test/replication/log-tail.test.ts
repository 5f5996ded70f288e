import { expect, test } from "vitest";
import { LogTail } from "../../src/replication/log-tail.ts";
import { recordOf } from "../../src/storage/store-subject.test-kit.ts";
import { put } from "./cluster.ts";
import { withPipeline } from "./with-pipeline.ts";

const positions = (tail: LogTail, afterPos: number): readonly number[] | null =>
  tail.after(afterPos, 10)?.map(({ pos }) => pos) ?? null;

test("holds the newest records, and says where it holds no more", () => {
  const body = new Uint8Array(100);
  const tail = new LogTail(250, 5);
  tail.append([recordOf(6, { body }), recordOf(7, { body }), recordOf(8, { body })]);
  expect(positions(tail, 6)).toEqual([7, 8]);
  expect(positions(tail, 5)).toBeNull();
  expect(positions(tail, 8)).toEqual([]);
});

test("forgets what nobody will push, and still knows the last position", () => {
  const tail = new LogTail(1_000, 0);
  tail.append([recordOf(1), recordOf(2), recordOf(3)]);
  tail.forget(2);
  expect(positions(tail, 2)).toEqual([3]);
  expect(positions(tail, 1)).toBeNull();
  tail.forget(Number.POSITIVE_INFINITY);
  expect(positions(tail, 2)).toBeNull();
  expect(tail.lastPos).toBe(3);
  tail.append([recordOf(4)]);
  expect(positions(tail, 3)).toEqual([4]);
});

test("is told after each commit what nobody will push any more: all of it, where there is no peer", async () => {
  await withPipeline(async (pipeline, _, { peers }) => {
    await pipeline.write([put("k", "v")]);
    expect(pipeline.tail.after(0, 10)).toHaveLength(1);
    peers.pump();
    expect(pipeline.tail.after(0, 10)).toBeNull();
  });
});
