import { expect, it } from "vitest";
import { parseSeed } from "../../gossip/discovery/notation.ts";
import { type FinderWorld, SeedFinder } from "../../gossip/drivers/seed-finder.ts";
import { type Address, formatAddress } from "../../src/world/world.ts";
import { LOOKUPS } from "../gossip/envelopes.ts";
import { simulated } from "../gossip/hosts.ts";

// The finder of seeds where names are found as the test says.

interface Finding {
  readonly finder: SeedFinder;
  readonly lists: string[][];
  /** Timers that are set. */
  readonly timers: ReadonlySet<object>;
}

function finding(world: FinderWorld, resolve: (name: string) => Promise<readonly string[]>): Finding {
  const timers = new Set<object>();
  const after = (delayMs: number, call: () => void) => {
    const timer = world.timers.after(delayMs, () => {
      timers.delete(timer);
      call();
    });
    timers.add(timer);
    return { cancel: () => timers.delete(timer) && timer.cancel() };
  };
  const lists: string[][] = [];
  const source = parseSeed("pool.example:7002");
  const finder = new SeedFinder({
    world: {
      ...world,
      timers: { ...world.timers, after },
      network: Object.create(world.network, { resolve: { value: resolve } }),
    },
    lookups: LOOKUPS,
    fixed: [],
    sources: source.kind === "static" ? [] : [source],
    onSeeds: (seeds: readonly Address[]) => void lists.push(seeds.map(formatAddress)),
  });
  finder.start();
  return { finder, lists, timers };
}

it(
  "addresses that mean something on one machine only, with their zone, are left out",
  simulated(async (kernel) => {
    const { world } = kernel.makeWorld({ name: "a", region: "eu" });
    const { finder, lists } = finding(world, async () => ["fe80::1%eth0", "10.0.0.9", "2001:DB8::1"]);
    await kernel.sleep(100);
    expect(lists).toEqual([["10.0.0.9:7002", "[2001:db8::1]:7002"]]);
    finder.close();
  }),
);

it(
  "a close leaves no timer behind that would keep a process from ending",
  simulated(async (kernel) => {
    const { world } = kernel.makeWorld({ name: "a", region: "eu" });
    const { finder, timers } = finding(world, async () => ["10.0.0.9"]);
    await kernel.sleep(100);
    expect(timers.size).toBe(1);
    finder.close();
    expect(timers.size).toBe(0);
  }),
);
