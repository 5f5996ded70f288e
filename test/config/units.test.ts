import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nearestName } from "../../src/config/nearest.ts";
import { formatDuration, formatSize, parseDurationMs, parseSizeBytes } from "../../src/config/units.ts";

describe("durations", () => {
  test.each([
    ["500ms", 500],
    ["0s", 0],
    ["2s", 2000],
    ["1.5s", 1500],
    ["10m", 600_000],
    ["1h30m", 5_400_000],
    ["24h", 86_400_000],
    ["7d", 604_800_000],
  ])("%s is %d ms", (text, ms) => {
    expect(parseDurationMs(text)).toBe(ms);
  });

  test.each(["", "500", "5 s", "-1s", "1e3ms", "s", "1sec", "1s ", "0.1ms", "9999999999999999d", "1s,2s"])(
    "%j is refused",
    (text) => {
      expect(() => parseDurationMs(text)).toThrow(/expected a/);
    },
  );

  test("what is shown reads back as the same number", () => {
    fc.assert(
      fc.property(fc.nat({ max: 10 ** 12 }), (ms) => {
        expect(parseDurationMs(formatDuration(ms))).toBe(ms);
      }),
    );
  });
});

describe("sizes", () => {
  test.each([
    ["64MiB", 67_108_864],
    ["1GB", 1_000_000_000],
    ["512B", 512],
    ["1.5KiB", 1536],
    ["16 KiB", 16_384],
    ["0B", 0],
  ])("%s is %d bytes", (text, bytes) => {
    expect(parseSizeBytes(text)).toBe(bytes);
  });

  test.each(["", "64", "64mb", "64M", "-1B", "1.0001KiB", "KiB", "64MiB,1KiB", "99999999TiB"])(
    "%j is refused",
    (text) => {
      expect(() => parseSizeBytes(text)).toThrow(/expected a size/);
    },
  );

  test("what is shown reads back as the same number", () => {
    fc.assert(
      fc.property(fc.nat({ max: 10 ** 14 }), (bytes) => {
        expect(parseSizeBytes(formatSize(bytes))).toBe(bytes);
      }),
    );
  });
});

test("the nearest name is the one with the fewest edits", () => {
  expect(nearestName("gosip.bind", ["client.bind", "gossip.bind", "peer.bind"])).toBe("gossip.bind");
  expect(nearestName("", ["abc", "a"])).toBe("a");
});
