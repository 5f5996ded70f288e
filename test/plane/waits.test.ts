import { expect, it } from "vitest";
import { Waits } from "../../src/plane/waits.ts";
import type { World } from "../../src/world/world.ts";

it("says what lasts, what is new, and again after a minute; not what is over soon", () => {
  const said: [number, unknown][] = [];
  let nowMs = 0;
  const world = {
    clock: { monotonicMs: () => nowMs },
    log: { warn: (_event: string, { detail }: { detail: string }) => said.push([nowMs, detail]) },
  } as unknown as Pick<World, "clock" | "log">;
  const waits = new Waits(world);
  const until = (endMs: number, why: string | null): void => {
    for (; nowMs < endMs; nowMs += 1_000) waits.say(why);
  };
  until(2_000, "a while");
  until(4_000, null);
  until(75_000, "long");
  until(80_000, "another");
  until(90_000, null);
  until(92_000, "a while");
  expect(said).toEqual([
    [7_000, "long"],
    [67_000, "long"],
    [75_000, "another"],
  ]);
});
