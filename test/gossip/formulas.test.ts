import { describe, expect, it } from "vitest";
import {
  expectedConfirmations,
  GEO,
  incarnationOfStart,
  LAN,
  probeTimeoutMs,
  pushPullMs,
  retransmitLimit,
  suspicionMs,
  suspicionMsMin,
} from "../../gossip/swim/profile.ts";
import { leftMs, newSuspicion } from "../../gossip/swim/suspicion.ts";

describe("formulas", () => {
  it("a suspicion of 2 to 30 s with one of three confirmations has 14 s left after 2 s", () => {
    expect(suspicionMs(2000, 30_000, 1, 3) - 2000).toBeCloseTo(14_000, 6);
  });

  it("a suspicion lasts longest without confirmations and shortest with all of them, never less", () => {
    expect(suspicionMs(2000, 30_000, 0, 3)).toBe(30_000);
    expect(suspicionMs(2000, 30_000, 3, 3)).toBeCloseTo(2000, 6);
    expect(suspicionMs(2000, 30_000, 9, 3)).toBe(2000);
    expect(suspicionMs(2000, 30_000, 0, 0)).toBe(2000);
  });

  it("news in a pool of 99 with multiplier 3 is sent six times", () => {
    expect(retransmitLimit(3, 99)).toBe(6);
    expect(retransmitLimit(3, 100)).toBe(9);
  });

  it("the shortest suspicion grows with the logarithm of the pool", () => {
    expect(suspicionMsMin(LAN, 3)).toBe(4000);
    expect(suspicionMsMin(LAN, 1000)).toBeCloseTo(12_000, 6);
    expect(suspicionMsMin(GEO, 10)).toBe(10_000);
  });

  it("pools too small to confirm don't wait for confirmations", () => {
    expect(expectedConfirmations(LAN, 3)).toBe(0);
    expect(expectedConfirmations(LAN, 4)).toBe(2);
    const suspicion = newSuspicion(LAN, 3, "a", 500);
    expect(leftMs(suspicion, 500)).toBe(4000);
    expect(leftMs(suspicion, 1500)).toBe(3000);
  });

  it("tables are compared more rarely in large pools", () => {
    expect(pushPullMs(LAN, 32)).toBe(30_000);
    expect(pushPullMs(LAN, 33)).toBe(60_000);
    expect(pushPullMs(LAN, 1024)).toBe(180_000);
  });

  it("the geo profile waits three round trips, from 300 ms to 1 s", () => {
    expect(probeTimeoutMs(GEO, null)).toBe(1000);
    expect(probeTimeoutMs(GEO, 20)).toBe(300);
    expect(probeTimeoutMs(GEO, 200)).toBe(600);
    expect(probeTimeoutMs(GEO, 900)).toBe(1000);
    expect(probeTimeoutMs(LAN, 20)).toBe(500);
  });

  it("item 10: a later start has a higher incarnation, and every one fits the wire's 32 bits", () => {
    const start = Date.UTC(2026, 4, 1);
    expect(incarnationOfStart(start + 500)).toBe(incarnationOfStart(start) + 1);
    expect(incarnationOfStart(0)).toBe(1);
    expect(incarnationOfStart(Date.UTC(2200, 0, 1))).toBeLessThan(2 ** 32 - 2 ** 16);
  });
});
