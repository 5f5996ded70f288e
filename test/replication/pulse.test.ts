import { describe, expect, it } from "vitest";
import { Pulse } from "../../src/replication/peer/pulse.ts";

const EVERY_MS = 1000;

/** After `beats` heartbeats with answers after `rttMs`. Returns when the last one came, too. */
function beating(beats: number, rttMs = 2): { pulse: Pulse; lastMs: number } {
  const pulse = new Pulse(EVERY_MS);
  pulse.opened();
  let nowMs = 0;
  for (let i = 0; i < beats; i++) {
    nowMs += EVERY_MS;
    pulse.heard(nowMs, rttMs);
  }
  return { pulse, lastMs: nowMs };
}

describe("phi accrual", () => {
  it("knows nothing before the first heartbeat", () => {
    expect(new Pulse(EVERY_MS).phi(5000)).toBeNull();
    expect(new Pulse(EVERY_MS).grayReasons(5000, null)).toEqual([]);
  });

  it("grows with silence: small within the usual pause, past 8 after two and a half, and finite for ever", () => {
    const { pulse, lastMs } = beating(30);
    expect(pulse.phi(lastMs + 900)).toBeLessThan(0.5);
    expect(pulse.phi(lastMs + 1000)).toBeCloseTo(-Math.log10(0.5), 2);
    expect(pulse.phi(lastMs + 1500)).toBeLessThan(3);
    expect(pulse.grayReasons(lastMs + 2000, null)).toEqual([]);
    expect(pulse.grayReasons(lastMs + 2500, null)).toEqual(["silent"]);
    expect(pulse.phi(lastMs + 3_600_000)).toBe(99);
  });

  it("waits longer for one whose heartbeats always varied", () => {
    const pulse = new Pulse(EVERY_MS);
    pulse.opened();
    let nowMs = 0;
    for (let i = 0; i < 60; i++) {
      nowMs += i % 2 === 0 ? 300 : 1700;
      pulse.heard(nowMs, 2);
    }
    expect(pulse.grayReasons(nowMs + 2500, null)).toEqual([]);
    expect(pulse.grayReasons(nowMs + 5500, null)).toEqual(["silent"]);
  });

  it("doesn't take our own standing still for its silence", () => {
    const { pulse, lastMs } = beating(30);
    pulse.slept(5000, lastMs + 5500);
    expect(pulse.grayReasons(lastMs + 5500, null)).toEqual([]);
    const exactly = beating(30);
    exactly.pulse.slept(5000, exactly.lastMs + 5000);
    expect(exactly.pulse.grayReasons(exactly.lastMs + 5000, null)).toEqual([]);
  });

  it("forgets an interval that was our sleep, when the answer was heard before we noticed", () => {
    const { pulse, lastMs } = beating(20);
    const wokeMs = lastMs + 6000;
    pulse.heard(wokeMs, 5002);
    pulse.slept(5000, wokeMs);
    expect(pulse.phi(wokeMs)).toBeLessThan(0.5);
    expect(pulse.grayReasons(wokeMs + 2500, null)).toEqual(["silent"]);
  });

  it("nor takes answers that waited while we slept for slow ones", () => {
    const { pulse, lastMs } = beating(20);
    let nowMs = lastMs;
    for (let sleeps = 0; sleeps < 3; sleeps++) {
      nowMs += 6000;
      pulse.heard(nowMs, 5002);
      pulse.slept(5000, nowMs);
    }
    expect(pulse.grayReasons(nowMs, null)).toEqual([]);
  });

  it("doesn't learn from the time without a link that pauses are long", () => {
    const { pulse, lastMs } = beating(5);
    const backMs = lastMs + 600_000;
    expect(pulse.grayReasons(backMs - 1, null)).toEqual(["silent"]);
    pulse.opened();
    pulse.heard(backMs, 2);
    expect(pulse.grayReasons(backMs + 2500, null)).toEqual(["silent"]);
  });
});

describe("a gray peer", () => {
  it("answers several times later than it used to, for most of its last answers", () => {
    const { pulse, lastMs } = beating(30, 10);
    const young = new Pulse(EVERY_MS);
    for (const [i, rttMs] of [60, 2, 1].entries()) young.heard(i, rttMs);
    expect(young.isSlow).toBe(false);
    for (const [i, rttMs] of [200, 10, 200, 10].entries()) pulse.heard(lastMs + i, rttMs);
    expect(pulse.isSlow).toBe(false);
    pulse.heard(lastMs + 4, 200);
    expect(pulse.grayReasons(lastMs + 4, null)).toEqual(["slow"]);
  });

  it("isn't one that is merely far, or whose short way took a little longer", () => {
    expect(beating(30, 300).pulse.isSlow).toBe(false);
    const far = beating(30, 300);
    for (let i = 0; i < 20; i++) far.pulse.heard(far.lastMs + i, 1200);
    expect(far.pulse.isSlow).toBe(false); // four times the fastest, and not more
    for (let i = 20; i < 40; i++) far.pulse.heard(far.lastMs + i, 1201);
    expect(far.pulse.isSlow).toBe(true);
    const { pulse, lastMs } = beating(30, 0.2);
    for (let i = 0; i < 20; i++) pulse.heard(lastMs + i, 20);
    expect(pulse.isSlow).toBe(false);
  });

  it("after a hundred answers the new pace is its pace", () => {
    const { pulse, lastMs } = beating(30, 10);
    for (let i = 0; i < 100; i++) pulse.heard(lastMs + i, 200);
    expect(pulse.isSlow).toBe(false);
  });

  it("loses a quarter of gossip's packets", () => {
    const { pulse, lastMs } = beating(30);
    expect(pulse.grayReasons(lastMs, 0.24)).toEqual([]);
    expect(pulse.grayReasons(lastMs, 0.25)).toEqual(["lossy"]);
  });
});
