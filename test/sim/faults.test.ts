import { describe, expect, it } from "vitest";
import { slotsOf } from "../../crdt/index.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { Violations } from "./checkers/history.ts";
import { Ledger } from "./checkers/ledger.ts";
import { SimCluster, THREE_REGIONS } from "./cluster.ts";
import { Trouble } from "./faults.ts";
import { drawPlan, type Fault } from "./plan.ts";

/** Many keys in each leaf: different rows of one leaf get garbled at different nodes. */
const LAYOUT = { partitionBits: 0, leafBits: 1 };
const LEAVES = [0, 1];
const KEYS = 16;
const LOOK_EVERY_MS = 100;

interface Scene {
  readonly cluster: SimCluster;
  readonly trouble: Trouble;
  readonly violations: Violations;
  readonly strike: (faults: Readonly<Partial<Record<Fault, number>>>) => void;
}

function makeScene(seed: number, nodes: number): Scene {
  const violations = new Violations();
  const ledger: Ledger = new Ledger(violations, () => cluster.kernel.nowMs, LAYOUT);
  const cluster = new SimCluster({
    seed,
    nodes: THREE_REGIONS.slice(0, nodes),
    observer: ledger,
    tuning: () => ({ layout: LAYOUT }),
  });
  const trouble = new Trouble(cluster, ledger, seededRng(seed));
  const strike: Scene["strike"] = (faults) =>
    trouble.start({ ...drawPlan({ seed }), faults: new Map(Object.entries(faults) as [Fault, number][]) });
  return { cluster, trouble, violations, strike };
}

async function write(cluster: SimCluster): Promise<void> {
  const items = Array.from({ length: KEYS }, (_, i) => ({ bucket: "b", key: `k${i}`, action: "put", value: i }));
  const response = await cluster.request("eu", {
    method: "POST",
    path: "/v1/batch",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ items }),
  });
  expect(response.status).toBe(200);
  await cluster.converged();
}

/** Where nothing is garbled in a leaf, nor marked as damaged. */
function soundAt(cluster: SimCluster, leaf: number): string[] {
  const { from, to } = slotsOf(LAYOUT, 0, leaf);
  return cluster.names.filter((name) => {
    const image = cluster.image(name);
    const marks = [...(image?.damaged.values() ?? [])];
    const rows = [...(image?.rows.values() ?? [])].filter(({ slot }) => slot >= from && slot < to);
    return rows.every(({ isSound }) => isSound) && marks.every((mark) => mark.leaf !== leaf);
  });
}

/** The least number of nodes that ever have one leaf sound, in so many looks. */
async function fewestSound(cluster: SimCluster, looks: number, meanwhile: () => void = () => {}): Promise<number> {
  let fewest = cluster.names.length;
  for (let i = 0; i < looks; i++) {
    await cluster.kernel.sleep(LOOK_EVERY_MS);
    meanwhile();
    fewest = Math.min(fewest, ...LEAVES.map((leaf) => soundAt(cluster, leaf).length));
  }
  return fewest;
}

function repairAll(cluster: SimCluster): void {
  for (const { running } of cluster.members.values()) running?.replica.repair();
}

describe("rows that the simulator garbles", () => {
  it("are of leaves that another node has sound, whatever is garbled at a third; and they heal", async () => {
    const { cluster, trouble, violations, strike } = makeScene(1, 3);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await write(cluster);
      strike({ damage: 500 });
      expect(await fewestSound(cluster, 600)).toBe(1); // nobody reads: nothing is found, nothing heals
      await trouble.end();
      await cluster.startAll();
      repairAll(cluster);
      const areSound = (): boolean => LEAVES.every((leaf) => soundAt(cluster, leaf).length === cluster.names.length);
      // A repair that found no link yet is made up for within half a minute.
      await cluster.until(areSound, 60_000, "all leaves are sound");
      await cluster.converged();
    });
    expect(violations.list).toEqual([]);
  });

  it("stay the only ones while their node is stopped: no other disk goes back to when it was damaged", async () => {
    const { cluster, violations, strike } = makeScene(2, 2);
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await write(cluster);
      strike({ damage: 500, rollback: 500 });
      expect(await fewestSound(cluster, 2_000, () => repairAll(cluster))).toBe(1);
    });
    expect(violations.list).toEqual([]);
  });
});
