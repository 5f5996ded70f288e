import { describe, expect, it } from "vitest";
import { Pool } from "../../gossip/swim/pool.test-kit.ts";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

describe("pool", () => {
  it("the same seed gives the same run", () => {
    const logOf = (): string => {
      const pool = Pool.settled(8, { seed: 3, lossPercent: 10 });
      pool.crash("n3");
      pool.run(MINUTE_MS);
      return JSON.stringify(pool.log.map(({ atMs, by, event }) => [atMs, by, event.kind, event.name]));
    };
    expect(logOf()).toBe(logOf());
  });

  it("members who know only one seed find each other", () => {
    const pool = new Pool({ seed: 1 });
    for (let i = 0; i < 30; i++) pool.start(`n${i}`, i === 0 ? {} : { seeds: ["n0"] });
    expect(pool.until(() => pool.everyoneSees("alive"), MINUTE_MS, "all know all")).toBeLessThanOrEqual(5000);
  });

  it("both halves of a total cut of an hour find each other within a minute, unattended (item 18)", () => {
    for (const seeds of [["n0"], ["n0", "n1"]]) {
      const pool = Pool.settled(20, { seed: 8 }, seeds);
      const half = (name: string): boolean => Number(name.slice(1)) % 2 === 0;
      pool.cut((a, b) => half(a) !== half(b));
      pool.run(HOUR_MS);
      expect(pool.swim("n0").member("n15")?.state).toBe("dead");
      pool.heal();
      expect(pool.until(() => pool.everyoneSees("alive"), 5 * MINUTE_MS, "healed")).toBeLessThanOrEqual(MINUTE_MS);
      const { nowMs } = pool;
      pool.run(5 * MINUTE_MS);
      expect(pool.events("member-dead").filter(({ atMs }) => atMs > nowMs)).toEqual([]);
    }
  });

  it("halves find each other also when every configured seed is gone for good", () => {
    const pool = Pool.settled(20, { seed: 9 });
    pool.crash("n0");
    pool.run(MINUTE_MS);
    const half = (name: string): number => (Number(name.slice(1)) < 10 ? 0 : 1);
    pool.cut((a, b) => half(a) !== half(b));
    pool.run(HOUR_MS);
    pool.heal();
    const others = pool.names.filter((name) => name !== "n0");
    expect(pool.until(() => pool.everyoneSees("alive", others), 10 * MINUTE_MS, "healed")).toBeLessThanOrEqual(
      MINUTE_MS,
    );
  });

  it("a restart is alive for all without a refutation round, whether its death was noticed or not (item 10)", () => {
    for (const downMs of [600, 60_000]) {
      const pool = Pool.settled(10, { seed: 11 });
      pool.crash("n4");
      pool.run(downMs);
      pool.start("n4", { seeds: ["n0"] });
      const restartMs = pool.nowMs;
      pool.until(() => pool.everyoneSees("alive"), MINUTE_MS, "n4 is back for all");
      expect(pool.nowMs - restartMs).toBeLessThanOrEqual(3000);
      expect(pool.events("refuted", "n4").filter(({ by }) => by === "n4")).toEqual([]);
    }
  });

  it("a pod that returns with another address before its death was noticed is let in by all", () => {
    const pool = Pool.settled(10, { seed: 12 });
    pool.crash("n4");
    pool.run(500);
    pool.start("n4", { seeds: ["n0"], address: { host: "10.9.9.9", port: 7946 } });
    const isBack = (): boolean =>
      pool.upNames.every((by) => {
        const member = pool.swim(by).member("n4");
        return member?.state === "alive" && member.address.host === "10.9.9.9";
      });
    expect(pool.until(isBack, MINUTE_MS, "n4 is back for all")).toBeLessThanOrEqual(5000);
    expect(pool.events("conflict")).toEqual([]);
  });

  it("a second process under a living member's name learns that it is second, and the first stays for all", () => {
    const pool = Pool.settled(10, { seed: 13 });
    const first = pool.addressOf("n4");
    const swims = pool.names.filter((name) => name !== "n4").map((name) => pool.swim(name));
    pool.run(2000);
    pool.start("n4", { seeds: ["n0"], address: { host: "10.9.9.9", port: 7946 } });
    pool.run(30_000);
    const roles = pool.events("conflict", "n4").map(({ event }) => event.kind === "conflict" && event.role);
    expect(roles).toContain("second");
    expect(roles).toContain("first");
    for (const swim of swims) expect(swim.member("n4")).toMatchObject({ address: first, state: "alive" });
  });

  it("who left stays left for all, and comes back with a later start", () => {
    const pool = Pool.settled(10, { seed: 14 });
    pool.leave("n4");
    pool.run(2000);
    pool.crash("n4");
    pool.run(HOUR_MS);
    expect(pool.everyoneSees("left", ["n4"])).toBe(true);
    expect(pool.events("member-dead")).toEqual([]);
    pool.start("n4", { seeds: ["n0"] });
    pool.until(() => pool.everyoneSees("alive"), MINUTE_MS, "n4 is back");
  });

  it("two nodes cut off from each other for five minutes find each other unattended", () => {
    const pool = Pool.settled(2, { seed: 15 });
    pool.cut(() => true);
    pool.run(5 * MINUTE_MS);
    expect(pool.swim("n0").member("n1")?.state).toBe("dead");
    pool.heal();
    expect(pool.until(() => pool.everyoneSees("alive"), 5 * MINUTE_MS, "healed")).toBeLessThanOrEqual(MINUTE_MS);
  });

  it("queues and tables stay within their bounds, and an idle pool sends no gossip", () => {
    const pool = Pool.settled(20, { seed: 16, lossPercent: 20 });
    for (let i = 0; i < 100; i++) {
      pool.run(1000);
      for (const name of pool.names) {
        const { members, queued, relays, claims, timers } = pool.swim(name).sizes();
        expect(queued).toBeLessThanOrEqual(members);
        expect(relays).toBeLessThanOrEqual(64);
        expect(claims).toBe(0);
        expect(timers).toBeLessThan(100);
      }
    }
    const quiet = Pool.settled(20, { seed: 17 });
    quiet.run(MINUTE_MS);
    for (const name of quiet.names) expect(quiet.swim(name).sizes().queued).toBe(0);
  });
});
