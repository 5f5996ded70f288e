import { afterAll, beforeAll, describe, it } from "vitest";
import { RealCluster } from "./cluster.ts";
import { pause, ROUNDS, someNode, underLoad } from "./faults.ts";

/** Up to 30 s in a long run; a default run has no time for that. */
const FROZEN_MAX_MS = ROUNDS > 2 ? 30_000 : 4_000;

describe("processes that die or freeze under load lose no acknowledged write", () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    await cluster.startAll();
  });
  afterAll(() => cluster.stopAll());

  it("kill -9 of any node, and its restart", { timeout: 60_000 + ROUNDS * 90_000 }, async () => {
    await underLoad("kill -9", cluster, async ({ rng }) => {
      for (let kill = 0; kill < 2; kill++) {
        const { name } = someNode(cluster, rng);
        await cluster.kill(name);
        await pause(rng.below(2_000));
        await cluster.start(name);
        await pause(rng.below(700));
      }
    });
  });

  it("SIGSTOP of any node for a second and more", { timeout: 60_000 + ROUNDS * 120_000 }, async () => {
    await underLoad("SIGSTOP", cluster, async ({ rng }) => {
      const { name } = someNode(cluster, rng);
      cluster.signal(name, "SIGSTOP");
      await pause(1_000 + rng.below(FROZEN_MAX_MS - 1_000));
      cluster.signal(name, "SIGCONT");
      await pause(rng.below(1_000));
    });
  });
});
