import { describe, expect, it } from "vitest";
import { Pool } from "../../gossip/swim/pool.test-kit.ts";
import { deaths, firstSuspicions } from "../../gossip/swim/pool-crashes.test-kit.ts";
import { type Idle, idle, idleSampled } from "../../gossip/swim/pool-idle.test-kit.ts";
import { healing, lossyHours, slowMembers, stalls } from "../../gossip/swim/pool-trouble.test-kit.ts";
import { WITHOUT_LIFEGUARD } from "../../gossip/swim/pool-variants.test-kit.ts";
import { LAN, suspicionMsMin } from "../../gossip/swim/profile.ts";

// The goals of the design (gossip.md), as far as seconds of computing time allow; `bench swim` measures them in full.

const T_MS = LAN.probeIntervalMs;
const MINUTE_MS = 60_000;

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

describe("goals of gossip, scaled down", () => {
  it("first suspicion after a crash: mean at most 2.1 T, p99 at most 5.6 T", () => {
    const foundMs = firstSuspicions(30, 500, { seed: 1 }).sort((a, b) => a - b);
    expect(mean(foundMs)).toBeLessThanOrEqual(2.1 * T_MS);
    expect(foundMs[494]).toBeLessThanOrEqual(5.6 * T_MS);
    // A suspicion that comes before a probe could end would be a guess.
    expect(foundMs[0]).toBeGreaterThanOrEqual(0.9 * T_MS);
  });

  it("everyone knows of a death within 16 s at N=1,000: at N=300 as much sooner as the suspicion is shorter", () => {
    const found = deaths(300, 6, { seed: 2 });
    const shorterMs = suspicionMsMin(LAN, 1000) - suspicionMsMin(LAN, 300);
    expect(mean(found.map(({ everyoneMs }) => everyoneMs))).toBeLessThanOrEqual(16_000 - shorterMs);
    expect(mean(found.map(({ spreadMs }) => spreadMs))).toBeLessThanOrEqual(1500);
  });

  it("no false death at 10 % loss each way: N=100 for half an hour", () => {
    expect(lossyHours(100, 0.5, true, { seed: 3, lossPercent: 10 })).toEqual({ suspicions: 0, deaths: 0 });
  });

  it("no false death at 10 % loss each way where TCP saves nobody: N=30 for an hour", () => {
    const { suspicions, deaths } = lossyHours(30, 1, false, { seed: 4, lossPercent: 10 });
    expect(deaths).toBe(0);
    expect(suspicions).toBeGreaterThan(1000); // each was refuted in time
  });

  it("no false suspicion by who stood still for up to 5 s, also where 10 % is lost", () => {
    for (const lossPercent of [0, 10]) expect(stalls(30, 150, 5000, { seed: 5, lossPercent }).bySleepers).toBe(0);
  });

  it("who stood still for 5 s suspects nobody, and is alive for all others within seconds (item 16)", () => {
    for (let seed = 0; seed < 20; seed++) {
      const pool = Pool.settled(7, { seed });
      pool.run(5000 + seed * 53);
      pool.stall("n3", 5000);
      pool.run(5000);
      expect(pool.until(() => pool.everyoneSees("alive"), MINUTE_MS, "n3 is alive for all")).toBeLessThanOrEqual(3000);
      const settledMs = pool.nowMs;
      pool.run(MINUTE_MS);
      const accusedByIt = pool.log.filter(
        ({ event }) => (event.kind === "member-suspect" || event.kind === "member-dead") && event.by === "n3",
      );
      expect(accusedByIt).toEqual([]);
      expect(pool.events("member-suspect").filter(({ event }) => event.name !== "n3")).toEqual([]);
      expect(pool.events("member-dead").filter(({ atMs }) => atMs > settledMs)).toEqual([]);
    }
  });

  it("slow members: at least 200 times fewer false deaths of healthy members than without Lifeguard (the paper: 50)", () => {
    const how = { members: 64, slow: 8, minutes: 2, slowMsMax: 16_000, pauseMsMax: 1000 };
    const found = slowMembers(how, { seed: 6 });
    const without = slowMembers(how, { seed: 6, ...WITHOUT_LIFEGUARD });
    expect(without.all).toBeGreaterThan(500);
    expect(found.all).toBeLessThanOrEqual(without.all / 200);
  });

  it("a total cut of an hour heals within 60 s, unattended", () => {
    expect(healing(40, { seed: 7 })).toBeLessThanOrEqual(MINUTE_MS);
  });

  it("an idle member sends at most 250 B/s, comparing tables included, and less than 5 % more at N=1,000 than at N=100", () => {
    const few = idle(100, 5, 8);
    const many = idleSampled(1000, 40, 5, 8);
    const bytesOf = (one: Idle): number => one.udpBytesPerSecond + one.tableBytesPerSecond;
    for (const one of [few, many]) {
      expect(one.packetsPerSecond).toBeCloseTo(2, 1);
      expect(one.tableBytesPerSecond).toBeGreaterThan(0);
      expect(bytesOf(one)).toBeLessThanOrEqual(250);
    }
    expect(bytesOf(many) / bytesOf(few)).toBeLessThan(1.05);
  });
});
