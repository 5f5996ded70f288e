import { present } from "../../src/kernel/assert.ts";
import { Owners } from "../../src/replication/owners.ts";
import { loadPartitions } from "../../src/replication/partitions.ts";
import { makeParts } from "../../src/replication/parts.ts";
import type { Peers } from "../../src/replication/peers.ts";
import type { Pipeline } from "../../src/replication/pipeline.ts";
import type { Repair } from "../../src/replication/repair.ts";
import { LAYOUT } from "../../src/replication/replica.ts";
import type { StoreImage } from "../../src/storage/memory.ts";
import type { Store } from "../../src/storage/store.ts";
import type { World } from "../../src/world/world.ts";
import type { SimDisk } from "../sim/disk.ts";
import { SimKernel } from "../sim/world.ts";
import { configOf } from "./cluster.ts";

interface Around {
  readonly repair: Repair;
  readonly peers: Peers;
  readonly store: Store;
  readonly world: World;
  readonly disk: SimDisk;
  /** What the disk holds. */
  readonly image: () => StoreImage;
}

/** Runs with a node's pipeline on a simulated World, without the rest of the node. Its disk begins with `image`. */
export async function withPipeline(
  run: (pipeline: Pipeline, failures: string[], around: Around) => Promise<void>,
  image?: StoreImage,
): Promise<void> {
  const kernel = new SimKernel({ seed: 1 });
  await kernel.run(async () => {
    const { world, disk } = kernel.makeWorld({ name: "eu", region: "eu", host: "10.1.0.1" });
    if (image) disk.restore("/data", image);
    const store = await world.disk.openStore("/data");
    const saved = await store.load();
    const partitions = await loadPartitions(store, saved, LAYOUT);
    const failures: string[] = [];
    const nothing = (): void => {};
    const config = configOf("eu", new Map([["eu", "10.1.0.1"]]));
    const options = {
      config,
      owners: new Owners(config.node.id, config.cluster.owners),
      world,
      store,
      gossipedAddress: () => null,
      gossipedLoss: () => null,
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
    const { pipeline, repair, peers } = makeParts(options, LAYOUT, partitions, saved, events);
    const imageNow = (): StoreImage => present(disk.snapshot("/data"), "an open store has an image");
    await run(pipeline, failures, { repair, peers, store, world, disk, image: imageNow });
  });
}
