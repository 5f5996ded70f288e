import { describe, expect, it } from "vitest";
import {
  expectedConfirmations,
  GEO,
  incarnationOfStart,
  LAN,
  PROFILES,
  probeTimeoutMs,
  profileProblems,
  pushPullMs,
  retransmitLimit,
  suspicionMs,
  suspicionMsMin,
} from "../../gossip/swim/profile.ts";
import { confirm, leftMs, newSuspicion } from "../../gossip/swim/suspicion.ts";

describe("a profile's constants", () => {
  it("fit together in each that has a name", () => {
    for (const profile of Object.values(PROFILES)) expect(profileProblems(profile)).toEqual([]);
  });

  it.each([
    [{ probeTimeoutMsMin: 501 }, "the shortest probe time-out"],
    [{ probeTimeoutMsMax: 501 }, "leaves relays no time"],
    [{ gossipIntervalMs: 401 }, "ends before a refutation went round"],
    [{ gossipToTheDeadMs: 199 }, "they could not refute"],
    [{ reclaimMs: 299_999 }, "before all members heard of them"],
  ])("%j is refused", (change, sentence) => {
    expect(profileProblems({ ...LAN, ...change })).toEqual([expect.stringContaining(sentence)]);
  });
});

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

  it("a suspicion counts no more confirmations than it waits for", () => {
    const suspicion = newSuspicion(LAN, 10, "a", 0);
    expect(["a", "b", "b", "c", "d"].map((by) => confirm(suspicion, by))).toEqual([false, true, false, true, false]);
    expect([...suspicion.accusers]).toEqual(["a", "b", "c"]);
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
