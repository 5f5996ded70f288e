import { expect, it } from "vitest";
import { driverCampaign } from "./driver-campaign.ts";

const SEEDS = Number(process.env.DRIVER_SEEDS ?? 20);

it(`members on machines that fail in all ways lose nothing that was acknowledged: seeds 1 to ${SEEDS}`, {
  timeout: 600_000,
}, async () => {
  const totals = { acknowledged: 0, refused: 0, unknown: 0, reads: 0, starts: 0, changes: 0 };
  for (let seed = 1; seed <= SEEDS; seed++) {
    const result = await driverCampaign(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    });
    for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += result[name];
  }
  // Each kind of end was seen often enough to mean something.
  expect(totals.acknowledged).toBeGreaterThan(30 * SEEDS);
  expect(totals.unknown).toBeGreaterThan(SEEDS);
  expect(totals.refused).toBeGreaterThan(SEEDS);
  expect(totals.reads).toBeGreaterThan(15 * SEEDS);
  expect(totals.changes).toBeGreaterThan(SEEDS);
  expect(totals.starts).toBeGreaterThan(6 * SEEDS);
});

it("a seed runs the same way twice", async () => {
  expect(await driverCampaign(3)).toEqual(await driverCampaign(3));
});

// Its status called a snapshot applied as soon as it had come, a moment before the state machine had it.
it("what a member says is applied, its state machine has: seed 48", async () => {
  expect((await driverCampaign(48)).acknowledged).toBeGreaterThan(30);
});
