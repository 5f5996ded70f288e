import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseNodeId } from "../../src/kernel/ids.ts";
import type { Instant } from "../../src/peer/link.ts";
import type { ClockReading } from "../../src/replication/clock-watch.ts";
import { ClockWatch, isOff, isSound, sampleOf } from "../../src/replication/clock-watch.ts";

const [B, C, D] = ["b", "c", "d"].map(parseNodeId) as [NodeName, NodeName, NodeName];
type NodeName = ReturnType<typeof parseNodeId>;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const DRIFT = 500;

const at = (ms: number, aheadMs = 0): Instant => ({ monotonicMs: ms, wallMs: 1e12 + ms + aheadMs });

/** A watch with one sample a peer, taken at 0: offset and round trip. */
function watchOf(...samples: readonly [NodeName, number, number][]): ClockWatch {
  const watch = new ClockWatch();
  for (const [peer, offsetMs, rttMs] of samples) watch.note({ peer, offsetMs, rttMs, at: at(0) });
  return watch;
}

const off = (watch: ClockWatch, now = at(0)): boolean => isOff(watch.read(now), DRIFT);
const sound = (watch: ClockWatch, now = at(0)): boolean => isSound(watch.read(now), DRIFT);
const widthOf = ({ bounds }: ClockReading): number => (bounds ? bounds.highMs - bounds.lowMs : Number.NaN);

describe("a node's clock beside its peers'", () => {
  it("isn't judged while fewer than three clocks are known, however far apart two of them are", () => {
    expect(watchOf().read(at(0))).toEqual({ clocks: 1, bounds: null });
    const watch = watchOf([B, -HOUR, 10]);
    expect(watch.read(at(0))).toEqual({ clocks: 2, bounds: null });
    expect([off(watch), sound(watch)]).toEqual([false, false]);
  });

  it("is off when two peers agree that it is an hour ahead, or behind", () => {
    expect(off(watchOf([B, -HOUR, 80], [C, -HOUR + 20, 200]))).toBe(true);
    expect(off(watchOf([B, HOUR, 80], [C, HOUR + 20, 200]))).toBe(true);
  });

  it("is sound when it is another's clock that is off", () => {
    expect(sound(watchOf([B, HOUR, 10], [C, 30, 10]))).toBe(true);
    expect(sound(watchOf([B, -HOUR, 10], [C, HOUR, 10]))).toBe(true);
    expect(sound(watchOf([B, HOUR, 10], [C, 30, 10], [D, -20, 10]))).toBe(true);
  });

  it("is neither when its peers are too slow to tell: half the round trip counts for it", () => {
    const slow = watchOf([B, -700, 500], [C, -700, 500]);
    expect([off(slow), sound(slow)]).toEqual([false, false]);
    expect(off(watchOf([B, -700, 300], [C, -700, 300]))).toBe(true);
  });

  it("at the edge is neither, so that a ms more or less doesn't tip it over and back", () => {
    for (const offsetMs of [-501, -500, -499, 499, 500, 501]) {
      const edge = watchOf([B, offsetMs, 20], [C, offsetMs, 20]);
      expect([off(edge), sound(edge)]).toEqual([false, false]);
    }
  });

  it("goes by a peer's surest sample, not by its last", () => {
    const watch = watchOf([B, -700, 10], [C, -700, 10]);
    for (const peer of [B, C]) watch.note({ peer, offsetMs: -900, rttMs: 2_000, at: at(1_000) });
    expect(off(watch, at(1_000))).toBe(true);
  });

  it("follows a peer whose clock was set, also by a sample that is less sure", () => {
    const watch = watchOf([B, -HOUR, 10], [C, -HOUR, 10]);
    watch.note({ peer: B, offsetMs: 5, rttMs: 400, at: at(1_000) });
    expect(sound(watch, at(1_000))).toBe(true);
  });

  it("stays off through a cut of hours, less and less surely, and is forgotten after a day", () => {
    const watch = watchOf([B, -HOUR, 10], [C, -HOUR, 10]);
    expect(off(watch, at(DAY - 1))).toBe(true);
    expect(widthOf(watch.read(at(DAY - 1)))).toBeGreaterThan(widthOf(watch.read(at(0))) + 80_000);
    expect(watch.read(at(DAY + 1))).toEqual({ clocks: 1, bounds: null });
  });

  it("makes room for no more samples than there are peers with one of the last day", () => {
    const watch = watchOf([B, 0, 10], [C, 0, 10]);
    for (let i = 0; i < 1_000; i++) watch.note({ peer: D, offsetMs: i % 3, rttMs: i % 50, at: at(DAY + 1 + i) });
    expect(watch.read(at(0)).clocks).toBe(2);
  });

  it("accuses nobody for a jump of our wall clock alone: the machine may have slept", () => {
    const watch = watchOf([B, 0, 10], [C, 0, 10]);
    const woken = at(1_000, HOUR);
    expect([off(watch, woken), sound(watch, woken)]).toEqual([false, false]);
    for (const peer of [B, C]) watch.note({ peer, offsetMs: 0, rttMs: 600, at: woken });
    expect(sound(watch, woken)).toBe(true);
  });

  it("acquits at once when our wall clock is set to where the others were, also during a cut", () => {
    const watch = watchOf([B, -HOUR, 10], [C, -HOUR, 10]);
    expect(off(watch, at(60_000))).toBe(true);
    expect(off(watch, at(60_000, -HOUR))).toBe(false);
  });

  it("takes no sample from an exchange during which our wall clock was set", () => {
    const exchange = (stepMs: number) =>
      sampleOf(B, { asked: at(0), answered: at(100, stepMs), peerWallMs: at(50).wallMs });
    expect(exchange(0)).toEqual({ peer: B, offsetMs: 0, rttMs: 100, at: at(100) });
    expect(exchange(HOUR)).toBeNull();
    expect(exchange(-50)).toBeNull();
  });
});

const ppm = fc.integer({ min: -240, max: 240 });
const offset = fc.oneof(fc.integer({ min: -1_500, max: 1_500 }), fc.integer({ min: -HOUR, max: HOUR }));
const exchange = fc.record({
  peer: fc.nat(3),
  afterMs: fc.oneof(fc.integer({ min: 0, max: 3_000 }), fc.integer({ min: 0, max: HOUR })),
  thereMs: fc.double({ min: 0, max: 900, noNaN: true }),
  backMs: fc.double({ min: 0, max: 900, noNaN: true }),
});

interface Truth {
  readonly driftPpm: number;
  readonly aheadMs: number;
}

/** What a clock shows at true time. */
function shown({ driftPpm, aheadMs }: Truth, trueMs: number): number {
  return 1e12 + trueMs * (1 + driftPpm / 1e6) + aheadMs;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? 0) + (sorted[Math.floor(half)] ?? 0)) / 2;
}

describe("whatever the links' delays, the clocks' drift and what happens to our clock", () => {
  it("our true distance from the median lies within the bounds, and only the guilty are accused", () => {
    const clock = fc.record({ driftPpm: ppm, aheadMs: offset });
    const jump = fc.record({ kind: fc.constantFrom("none", "set", "slept"), beforeExchange: fc.nat(12), byMs: offset });
    fc.assert(
      fc.property(
        clock,
        fc.array(clock, { minLength: 4, maxLength: 4 }),
        fc.array(exchange),
        jump,
        (own, peers, exchanges, jumped) => {
          const watch = new ClockWatch();
          const known = new Map<NodeName, Truth>();
          let trueMs = 0;
          let setMs = 0;
          let sleptMs = 0;
          const now = (): Instant => ({
            wallMs: Math.floor(shown(own, trueMs) + setMs),
            monotonicMs: (trueMs - sleptMs) * (1 + own.driftPpm / 1e6),
          });
          for (const [i, { peer, afterMs, thereMs, backMs }] of exchanges.entries()) {
            trueMs += afterMs;
            if (i === jumped.beforeExchange && jumped.kind === "set") setMs = jumped.byMs;
            if (i === jumped.beforeExchange && jumped.kind === "slept") {
              sleptMs = Math.abs(jumped.byMs);
              trueMs += sleptMs;
            }
            const truth = peers[peer] as Truth;
            const name = parseNodeId(`p${peer}`);
            const asked = now();
            trueMs += thereMs;
            const peerWallMs = Math.floor(shown(truth, trueMs));
            trueMs += backMs;
            const sample = sampleOf(name, { asked, answered: now(), peerWallMs });
            if (!sample) continue;
            watch.note(sample);
            known.set(name, truth);
            const reading = watch.read(now());
            if (!reading.bounds || reading.clocks !== known.size + 1) continue;
            const ours = shown(own, trueMs) + setMs;
            const distance = ours - median([ours, ...[...known.values()].map((other) => shown(other, trueMs))]);
            expect(distance).toBeGreaterThanOrEqual(reading.bounds.lowMs);
            expect(distance).toBeLessThanOrEqual(reading.bounds.highMs);
            if (isOff(reading, DRIFT)) expect(Math.abs(distance)).toBeGreaterThan(DRIFT);
            if (isSound(reading, DRIFT)) expect(Math.abs(distance)).toBeLessThanOrEqual(DRIFT);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });
});
