import { describe, expect, it } from "vitest";
import { NO_DIGEST } from "../../crdt/index.ts";
import { littleEndian, PartitionSums } from "../../src/replication/sums.ts";

describe("a partition's sums", () => {
  it("are saved lane by lane in little-endian order, whatever the machine's", () => {
    const lanes = Uint32Array.of(0x01020304, 0xfffefdfc);
    const isLittle = new Uint8Array(lanes.buffer)[0] === 4;
    const saved = [4, 3, 2, 1, 0xfc, 0xfd, 0xfe, 0xff];
    const swapped = [1, 2, 3, 4, 0xff, 0xfe, 0xfd, 0xfc];
    expect([...littleEndian(lanes)]).toEqual(saved);
    expect([...littleEndian(lanes, isLittle)]).toEqual(saved);
    expect([...littleEndian(lanes, !isLittle)]).toEqual(isLittle ? swapped : saved);
    expect([...lanes]).toEqual([0x01020304, 0xfffefdfc]);
  });

  it("come back from their saved form", () => {
    const sums = new PartitionSums(4);
    const digest = Uint8Array.from({ length: 16 }, (_, i) => 200 + i);
    sums.add(1, digest, digest, 1);
    sums.add(1, digest, NO_DIGEST, -1);
    sums.add(3, digest, digest, 1);
    const back = PartitionSums.decode(sums.encode(), 4);
    for (let leaf = 0; leaf < 4; leaf++) {
      expect(back.digestOf(leaf)).toEqual(sums.digestOf(leaf));
      expect(back.inventoryOf(leaf)).toEqual(sums.inventoryOf(leaf));
    }
    expect([...back.recordCounts]).toEqual([0, 0, 0, 1]);
    expect(back.total()).toEqual(sums.total());
    expect(back.records).toBe(1);
    // The saved form must not change when the sums do.
    const saved = sums.encode();
    const copy = saved.slice();
    sums.add(0, digest, digest, 1);
    expect(saved).toEqual(copy);
  });
});
