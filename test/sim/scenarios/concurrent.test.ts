import { describe, expect, it } from "vitest";
import { SimCluster } from "../cluster.ts";

const KEYS = 200;
const BUCKET = "both";

interface Dot {
  readonly dot: string;
  readonly region: string;
  readonly author: string;
}

interface Conflict {
  readonly id: string;
  readonly key: string;
  readonly places: readonly {
    readonly siblings: readonly { readonly value: unknown; readonly dots: readonly Dot[] }[];
  }[];
}

/** What one side writes to its keys of one type. */
type Item = Record<string, unknown>;
const WRITES: Record<string, (side: string, i: number) => Item> = {
  register: (side, i) => ({ action: "put", value: `${side} ${i}` }),
  same: (_, i) => ({ action: "put", value: `same ${i}` }),
  counter: (side, i) => op({ op: "increment", by: side === "eu" ? i : 1_000 }),
  flag: (side) => op({ op: side === "eu" ? "enable" : "disable" }),
  set: (side, i) => op({ op: "add", elements: [side, `both ${i}`] }),
  map: (side, i) =>
    op(
      { op: "update", field: side, ops: [{ op: "assign", value: i }] },
      { op: "update", field: "sum", ops: [{ op: "increment", by: 1 }] },
    ),
};
const EXPECTED: Record<string, (i: number) => unknown> = {
  same: (i) => `same ${i}`,
  counter: (i) => 1_000 + i,
  flag: () => true,
  set: (i) => [`both ${i}`, "eu", "us"].sort(),
  map: (i) => ({ eu: i, sum: 2, us: i }),
};

function op(...ops: unknown[]): Item {
  return { action: "ops", ops };
}

async function writeAll(cluster: SimCluster, node: string, type: string): Promise<void> {
  const items = Array.from({ length: KEYS }, (_, i) => ({
    bucket: BUCKET,
    key: `${type}-${String(i).padStart(3, "0")}`,
    ...WRITES[type]?.(node, i),
  }));
  const response = await cluster.request(node, {
    method: "POST",
    path: "/v1/batch",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ items }),
  });
  const { results } = (await response.json()) as { results: { status: number }[] };
  expect(results.filter(({ status }) => status >= 300)).toEqual([]);
}

async function conflictsAt(cluster: SimCluster, node: string): Promise<Conflict[]> {
  const listed = (await cluster.getJson(node, "/v1/conflicts?limit=1000")) as { conflicts: Conflict[] };
  return listed.conflicts;
}

async function listing(
  cluster: SimCluster,
  node: string,
  type: string,
): Promise<{ value: unknown; conflict?: string }[]> {
  const listed = (await cluster.getJson(node, `/v1/kv/${BUCKET}?values&limit=1000&prefix=${type}-`)) as {
    items: { value: unknown; conflict?: string }[];
  };
  return listed.items;
}

/** Both sides of a cut write the same keys of each type; then the cut heals. */
async function bothSides(cluster: SimCluster): Promise<void> {
  await cluster.startAll();
  cluster.cutRegion("eu");
  for (const type of Object.keys(WRITES)) for (const side of ["eu", "us"]) await writeAll(cluster, side, type);
  cluster.heal();
  await cluster.converged(10_000);
}

describe(`both sides of a cut write the same ${KEYS} keys of each type`, () => {
  it("within 10 s of healing exactly the registers are in conflict, with both values, on every node by the same ids", async () => {
    const cluster = new SimCluster({ seed: 5 });
    await cluster.kernel.run(async () => {
      await bothSides(cluster);
      const [first, ...others] = await Promise.all(cluster.names.map((name) => conflictsAt(cluster, name)));
      expect(first?.map(({ key }) => key)).toEqual(
        Array.from({ length: KEYS }, (_, i) => `register-${String(i).padStart(3, "0")}`),
      );
      for (const [i, { places }] of (first ?? []).entries()) {
        const siblings = places.flatMap((place) => place.siblings);
        expect(siblings.map(({ value }) => value)).toEqual([`eu ${i}`, `us ${i}`]);
        expect(siblings.map(({ dots }) => dots.map(({ region, author }) => [region, author]))).toEqual([
          [["eu", "anonymous"]],
          [["us", "anonymous"]],
        ]);
      }
      for (const other of others) expect(other).toEqual(first);
    });
  });

  it("counters count every increment; flags, sets and maps keep what either side added", async () => {
    const cluster = new SimCluster({ seed: 6 });
    await cluster.kernel.run(async () => {
      await bothSides(cluster);
      for (const name of cluster.names)
        for (const [type, expected] of Object.entries(EXPECTED)) {
          const items = await listing(cluster, name, type);
          expect(items.map(({ value }) => (Array.isArray(value) ? value.sort() : value))).toEqual(
            Array.from({ length: KEYS }, (_, i) => expected(i)),
          );
          expect(items.every(({ conflict }) => conflict === undefined)).toBe(true);
        }
    });
  });

  it("resolving a conflict on one node settles it on all", async () => {
    const cluster = new SimCluster({ seed: 7 });
    await cluster.kernel.run(async () => {
      await bothSides(cluster);
      const open = await conflictsAt(cluster, "ap");
      for (const [i, { id, places }] of open.slice(0, 9).entries()) {
        const chosen = places[0]?.siblings[i % 2]?.dots[0]?.dot;
        const response = await cluster.request(cluster.names[i % 3] ?? "eu", {
          method: "POST",
          path: `/v1/conflicts/${id}/resolve`,
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ choose: chosen, reason: "an operator looked" }),
        });
        expect(response.status).toBe(200);
      }
      await cluster.converged(10_000);
      for (const name of cluster.names) {
        expect(await conflictsAt(cluster, name)).toEqual(open.slice(9));
        const values = (await listing(cluster, name, "register")).slice(0, 9).map(({ value }) => value);
        expect(values).toEqual(open.slice(0, 9).map((_, i) => `${["eu", "us"][i % 2]} ${i}`));
      }
    });
  });
});
