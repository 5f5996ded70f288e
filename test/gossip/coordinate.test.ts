import { describe, expect, it } from "vitest";
import { estimatedRttMs, Vivaldi } from "../../gossip/swim/coordinate.ts";
import { Pool } from "../../gossip/swim/pool.test-kit.ts";
import { type Coordinate, decodeCoordinate, encodeCoordinate } from "../../gossip/wire/serf.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { OneMember } from "./one-member.ts";

/** Everyone measures everyone else in turn, with jitter; returns who they are then. */
function settled(
  names: readonly string[],
  rttMs: (a: string, b: string) => number,
  rounds: number,
): Map<string, Vivaldi> {
  const rng = seededRng(5);
  const all = new Map(names.map((name) => [name, new Vivaldi(rng.fork())]));
  for (let round = 0; round < rounds; round++)
    for (const [a, mine] of all)
      for (const [b, other] of all) if (a !== b) mine.learn(b, other.mine, rttMs(a, b) * (0.9 + 0.2 * rng.unit()));
  return all;
}

describe("coordinates", () => {
  it("three regions of five: estimates are within a quarter of the true round trips, for most pairs much closer", () => {
    const REGIONS: Record<string, number> = {
      "eu eu": 2,
      "us us": 2,
      "ap ap": 2,
      "eu us": 90,
      "ap eu": 250,
      "ap us": 180,
    };
    const names = ["eu", "us", "ap"].flatMap((region) => [1, 2, 3, 4, 5].map((n) => `${region}-${n}`));
    const regionOf = (name: string): string => name.slice(0, 2);
    const rttMs = (a: string, b: string): number => REGIONS[[regionOf(a), regionOf(b)].sort().join(" ")] ?? 0;
    const all = settled(names, rttMs, 60);
    const far: number[] = [];
    for (const [a, mine] of all)
      for (const [b, other] of all) {
        if (regionOf(a) === regionOf(b)) continue;
        far.push(Math.abs(estimatedRttMs(mine.mine, other.mine) / rttMs(a, b) - 1));
      }
    far.sort((x, y) => x - y);
    expect(far.at(-1)).toBeLessThan(0.25);
    expect(far[Math.floor(far.length / 2)]).toBeLessThan(0.1);
    for (const { mine } of all.values()) expect(mine.error).toBeLessThan(0.7);
  });

  it("a single slow packet moves nobody", () => {
    const all = settled(["a", "b"], () => 50, 40);
    const [a, b] = [all.get("a"), all.get("b")];
    if (!a || !b) throw new Error("there are two");
    const before = estimatedRttMs(a.mine, b.mine);
    a.learn("b", b.mine, 5_000);
    expect(Math.abs(estimatedRttMs(a.mine, b.mine) - before)).toBeLessThan(5);
  });

  it("absurd coordinates and times change nothing", () => {
    const mine = new Vivaldi(seededRng(1));
    const other = new Vivaldi(seededRng(2)).mine;
    const before = mine.mine;
    const absurd: Coordinate[] = [
      { ...other, vec: [1, 2, 3] },
      { ...other, height: Number.NaN },
      { ...other, vec: other.vec.map(() => Number.POSITIVE_INFINITY) },
    ];
    for (const one of absurd) mine.learn("x", one, 10);
    for (const rttMs of [-1, 10_001, Number.NaN]) mine.learn("x", other, rttMs);
    expect(mine.mine).toEqual(before);
    for (let i = 0; i < 50; i++) mine.learn("x", { ...other, vec: other.vec.map(() => 1e308) }, 10);
    expect([...mine.mine.vec, mine.mine.error, mine.mine.height].every(Number.isFinite)).toBe(true);
  });

  it("travel in acks as serf's, and what is none reads as none", () => {
    const { mine } = new Vivaldi(seededRng(1));
    const moved = { ...mine, vec: [0.1, -2, 3, 4, 5, 6, 7, 8e-9], adjustment: -0.25 };
    const bytes = encodeCoordinate(moved);
    expect(decodeCoordinate(bytes)).toEqual(moved);
    for (let end = 0; end < bytes.length; end++) expect(decodeCoordinate(bytes.subarray(0, end))).toBeUndefined();
    expect(decodeCoordinate(Uint8Array.of(2, 0x80))).toBeUndefined();
  });

  it("members of a pool learn theirs from probing", () => {
    const pool = Pool.settled(6, { seed: 4 });
    pool.run(120_000);
    for (const name of pool.names) {
      const swim = pool.swim(name);
      expect(swim.self.coordinate?.error).toBeLessThan(1);
      for (const { name: other, coordinate } of swim.members())
        expect([other, coordinate?.vec.length]).toEqual([other, 8]);
    }
  });

  it("who is reclaimed is forgotten with what was measured of it", () => {
    const me = new OneMember({ profile: { reclaimMs: 60_000 } }).meet(2);
    const { message } = me.passUntilSent("ping");
    me.hear(2, { type: "ack", seq: message.seq, payload: encodeCoordinate(new Vivaldi(seededRng(1)).mine) });
    expect(me.swim.sizes().measured).toBe(1);
    const { coordinate } = me.swim.member("m2") ?? {};
    expect(coordinate).toBeTruthy();
    me.forget();
    const next = me.passUntilSent("ping").message;
    me.hear(2, { type: "ack", seq: next.seq, payload: new Uint8Array(0) });
    expect(me.swim.member("m2")?.coordinate).toEqual(coordinate); // it said nothing newer
    me.hear(2, { type: "dead", node: "m2", incarnation: 5, from: "m2" });
    me.pass(120_000);
    expect(me.swim.sizes()).toMatchObject({ members: 1, measured: 0 });
  });
});
