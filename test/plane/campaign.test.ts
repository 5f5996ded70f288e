import { describe, expect, it } from "vitest";
import { RandomLife } from "./random-life.ts";

// STARLING_PLANE_SEEDS=300 STARLING_PLANE_FROM=1 npx vitest run test/plane/campaign.test.ts
const FROM = Number(process.env.STARLING_PLANE_FROM ?? 1);
const SEEDS = Number(process.env.STARLING_PLANE_SEEDS ?? 30);

describe("whatever happens to a cluster, as long as a quorum of logs is left", () => {
  it.each(Array.from({ length: SEEDS }, (_, i) => FROM + i))(
    "it stays one, loses nothing acknowledged, and heals (seed %i)",
    { timeout: 120_000 },
    async (seed) => {
      const life = new RandomLife(seed);
      const ended = await life.run().then(
        () => null,
        (error: unknown) => String(error),
      );
      expect({ ended, broken: life.broken }, life.story.join("\n")).toEqual({ ended: null, broken: [] });
    },
  );
});
