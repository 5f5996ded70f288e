import { loadPartitions } from "../../src/replication/partitions.ts";
import { makeParts } from "../../src/replication/parts.ts";
import type { Pipeline } from "../../src/replication/pipeline.ts";
import { LAYOUT } from "../../src/replication/replica.ts";
import { SimKernel } from "../sim/world.ts";
import { configOf } from "./cluster.ts";

/** Runs with a node's pipeline on a simulated World, without the rest of the node. */
export async function withPipeline(run: (pipeline: Pipeline, failures: string[]) => Promise<void>): Promise<void> {
  const kernel = new SimKernel({ seed: 1 });
  await kernel.run(async () => {
    const { world } = kernel.makeWorld({ name: "eu", region: "eu", host: "10.1.0.1" });
    const store = await world.disk.openStore("/data");
    const saved = await store.load();
    const partitions = await loadPartitions(store, saved, LAYOUT);
    const failures: string[] = [];
    const nothing = (): void => {};
    const options = {
      config: configOf("eu", new Map([["eu", "10.1.0.1"]])),
      world,
      store,
      gossipedAddress: () => null,
      attribute: nothing,
      onFailure: (reason: string) => failures.push(reason),
    };
    const events = {
      onCommit: nothing,
      onFailure: (reason: string) => failures.push(reason),
      onBadRow: nothing,
      onDamage: nothing,
      onLink: nothing,
      startRepair: nothing,
    };
    const { pipeline } = makeParts(options, LAYOUT, partitions, saved, events);
    await run(pipeline, failures);
  });
}
