import { describe, expect, it } from "vitest";
import type { Entry, VersionVector } from "../../crdt/index.ts";
import { encodeRow } from "../../crdt/index.ts";
import { present } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { makeActorId, parseNodeId } from "../../src/kernel/ids.ts";
import type { Link } from "../../src/peer/link.ts";
import type { BulkSource } from "../../src/replication/peer/host.ts";
import type { Pipeline } from "../../src/replication/pipeline.ts";
import type { Repair } from "../../src/replication/repair.ts";
import { damageRow, type StoreImage } from "../../src/storage/memory.ts";
import type { Store } from "../../src/storage/store.ts";
import { valuesOf } from "./cluster.ts";
import { withPipeline } from "./with-pipeline.ts";

// A leaf is damaged, entries are applied to what is left, and it is damaged again: those entries' values are gone too.
// Only who has seen them may heal it (data.md, Sound rows: the last damage). Found by seed 202807.

const US = makeActorId(parseNodeId("us"), 1, 1);
const KEY = { bucket: "b", key: "k" };

/** Its values stand side by side with those of the others. */
function entry(first: number): Entry {
  const slot = { kind: "register", contentType: "text/plain", bytes: utf8(`value ${first}`) } as const;
  const stamp = { hlc: { ms: 1, counter: first }, author: "a", suspect: false };
  return { actor: US, first, ...KEY, adds: [{ path: [], content: slot }], removes: [], stamp };
}

/** A sound peer that has seen entries up to `seq`, and sends what it holds of the leaf. */
async function peerAt(seq: number): Promise<BulkSource> {
  let reply: { vector: Uint8Array; rows: unknown[] } = { vector: new Uint8Array(), rows: [] };
  await withPipeline(async (pipeline) => {
    await pipeline.receive(Array.from({ length: seq }, (_, i) => entry(i + 1)));
    const { vector } = pipeline.partition(pipeline.place(KEY).partition).state;
    const row = present(await pipeline.rows.read(KEY), "it is sound");
    reply = { vector: vector.encode(), rows: [{ ...KEY, body: encodeRow(row) }] };
  });
  const link = {
    request: async (_op: string, { leaves }: { leaves: number[] }) => ({ ...reply, sound: leaves }),
  } as unknown as Link;
  return { node: parseNodeId("us"), bulk: async () => link };
}

async function imageAfter(work: (pipeline: Pipeline, repair: Repair) => Promise<void>, from?: StoreImage) {
  const images: StoreImage[] = [];
  await withPipeline(async (pipeline, _, { repair, image }) => {
    await work(pipeline, repair);
    images.push(image());
  }, from);
  return damageRow(present(images[0], "it ran"), KEY.bucket, KEY.key, "flip");
}

const lagging = await peerAt(1);
const level = await peerAt(2);

/** Entry 1, its row garbled, and a start that found that. */
async function damagedOnce(): Promise<StoreImage> {
  return imageAfter(async (pipeline) => {
    await pipeline.receive([entry(1)]);
  });
}

/** What a peer makes of the leaf: how many leaves healed, and the row then. */
async function healBy(
  peer: BulkSource,
  pipeline: Pipeline,
  repair: Repair,
): Promise<{ healed: number; values: string[] }> {
  const { partition, leaf } = pipeline.place(KEY);
  const healed = await repair.compareLeaves(peer, partition, [leaf]);
  const row = await pipeline.rows.read(KEY);
  return { healed, values: row ? [...valuesOf(row).registers].sort() : [] };
}

async function expectHealing(pipeline: Pipeline, repair: Repair): Promise<void> {
  expect(await healBy(lagging, pipeline, repair)).toMatchObject({ healed: 0 });
  expect(await healBy(level, pipeline, repair)).toEqual({ healed: 1, values: ["value 1", "value 2"] });
  const { partition } = pipeline.place(KEY);
  expect(await repair.scrub(partition)).toEqual([]);
}

const vectorOf = (pipeline: Pipeline): VersionVector => pipeline.partition(pipeline.place(KEY).partition).state.vector;

/** From now on the store reads this row as garbled, until it is written again. */
function garble(store: Store): void {
  const { scanSlots } = store;
  store.scanSlots = async (from, to) =>
    (await scanSlots.call(store, from, to)).map((read) => ({ ...read, body: null }));
}

describe("a leaf that is damaged, written to, and damaged again", () => {
  it("heals from nobody who has not seen what was written to it, after a restart", async () => {
    const twice = await imageAfter(
      async (pipeline, repair) => {
        expect(await repair.scrub(pipeline.place(KEY).partition)).toHaveLength(1);
        await pipeline.receive([entry(2)]);
      },
      await damagedOnce(),
    );
    await withPipeline(async (pipeline, failures, { repair }) => {
      await expectHealing(pipeline, repair);
      expect(failures).toEqual([]);
    }, twice);
  });

  it("nor in the same run", async () => {
    await withPipeline(
      async (pipeline, failures, { repair, store }) => {
        expect(await repair.scrub(pipeline.place(KEY).partition)).toHaveLength(1);
        await pipeline.receive([entry(2)]);
        garble(store);
        await expect(healBy(lagging, pipeline, repair)).resolves.toMatchObject({ healed: 0 });
        expect(vectorOf(pipeline).seq(US)).toBe(2);
        expect(failures).toEqual([]);
      },
      await damagedOnce(),
    );
  });

  it("but heals from who was there at the first damage, while what was written since is sound", async () => {
    await withPipeline(
      async (pipeline, failures, { repair }) => {
        expect(await repair.scrub(pipeline.place(KEY).partition)).toHaveLength(1);
        await pipeline.receive([entry(2)]);
        expect(await healBy(lagging, pipeline, repair)).toEqual({ healed: 1, values: ["value 1", "value 2"] });
        expect(failures).toEqual([]);
      },
      await damagedOnce(),
    );
  });
});
