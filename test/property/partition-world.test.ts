import { describe, expect, it } from "vitest";
import type { Fault } from "./partition-search.ts";
import { ALL_BUT_TRACELESS, search } from "./partition-search.ts";

// The promises of data.md for one partition, under every fault. WORLD_SCHEDULES=20000 for the long run, WORLD_SEED for
// other schedules.
const SCHEDULES = Number(process.env.WORLD_SCHEDULES ?? 2000);
const SEED = Number(process.env.WORLD_SEED ?? 1);

const COMBINATIONS: readonly (readonly [share: number, ...faults: Fault[]])[] = [
  [0.5, ...ALL_BUT_TRACELESS],
  [0.05],
  [0.1, "loss", "cuts"],
  [0.05, "traceless"],
  [0.1, "traceless", "restart", "retention", "loss", "cuts"],
  [0.1, "traceless", "restore", "damage", "retention"],
  [0.1, "members", "guests", "reads"],
];

describe("a partition in a world of faults", { timeout: 3_600_000 }, () => {
  it.each(COMBINATIONS.map(([share, ...faults]) => ({ share, faults, name: faults.join(" ") || "no faults" })))(
    "converges, loses no acknowledged write and resurrects nothing: $name",
    ({ share, faults }) => {
      const found = search({ faults, schedules: Math.ceil(SCHEDULES * share), seed: SEED });
      expect(found?.report ?? "nothing").toBe("nothing");
    },
  );
});
