import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, until } from "./cluster.ts";

const KEYS = Number(process.env.E2E_CUT_KEYS ?? 1_000);

type Op = Record<string, unknown>;

interface Conflict {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
}

describe(`a full cut while both sides write the same ${KEYS} keys of each type`, () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    await cluster.startAll();
  }, 60_000);
  afterAll(() => cluster.stopAll());

  async function ops(name: string, bucket: string, opsOf: (i: number) => Op[]): Promise<void> {
    const { url } = cluster.node(name);
    for (let at = 0; at < KEYS; at += 200) {
      const items = Array.from({ length: Math.min(200, KEYS - at) }, (_, i) => ({
        bucket,
        key: `k${at + i}`,
        ops: opsOf(at + i),
      }));
      const response = await fetch(
        `${url}/v1/batch`,
        json("POST", { items: items.map((item) => ({ action: "ops", ...item })) }),
      );
      const answer = (await response.json()) as { results: { status: number }[] };
      expect(response.status, JSON.stringify(answer).slice(0, 500)).toBe(200);
      for (const { status } of answer.results) expect(status).toBeLessThan(300);
    }
  }

  async function get(
    name: string,
    bucket: string,
    key: string,
  ): Promise<{ status: number; value: unknown; conflict: string | null }> {
    const response = await fetch(`${cluster.node(name).url}/v1/kv/${bucket}/${key}`);
    return {
      status: response.status,
      value: await response.json(),
      conflict: response.headers.get("starling-conflict"),
    };
  }

  async function conflicts(name: string): Promise<Conflict[]> {
    const all: Conflict[] = [];
    for (let cursor: string | null = null; ; ) {
      const query = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const response = await fetch(`${cluster.node(name).url}/v1/conflicts?limit=500${query}`);
      const page = (await response.json()) as { conflicts: Conflict[]; cursor?: string };
      all.push(...page.conflicts);
      cursor = page.cursor ?? null;
      if (cursor === null) return all;
    }
  }

  it("ends with equal digests after healing", { timeout: 120_000 }, async () => {
    await ops("eu", "sets", (i) => [{ op: "add", elements: ["old", `old${i}`] }]);
    await ops("eu", "flags", () => [{ op: "enable" }]);
    await ops("eu", "maps", (i) => [
      { op: "update", field: "kept", ops: [{ op: "assign", value: i }] },
      { op: "update", field: "visits", ops: [{ op: "increment", by: 1 }] },
    ]);
    await cluster.converged();
    await cluster.network({
      cut: [
        ["eu", "us"],
        ["eu", "ap"],
        ["us", "ap"],
      ],
    });
    for (const [n, name] of ["eu", "us", "ap"].entries()) {
      if (name !== "ap") await ops(name, "registers", (i) => [{ op: "assign", value: `${name} ${i}` }]);
      await ops(name, "counters", (i) => [{ op: "increment", by: n * 1_000 + i }]);
    }
    await ops("eu", "agreed", () => [{ op: "assign", value: "same" }]);
    await ops("us", "agreed", () => [{ op: "assign", value: "same" }]);
    await ops("eu", "alone", () => [{ op: "assign", value: "only eu" }]);
    await ops("eu", "sets", () => [
      { op: "remove", elements: ["old"] },
      { op: "add", elements: ["eu"] },
    ]);
    await ops("us", "sets", () => [{ op: "add", elements: ["old", "us"] }]);
    await ops("eu", "flags", () => [{ op: "disable" }]);
    await ops("us", "flags", (i) => (i % 2 === 0 ? [{ op: "enable" }] : [{ op: "disable" }]));
    await ops("eu", "maps", () => [
      { op: "removeField", field: "kept" },
      { op: "update", field: "visits", ops: [{ op: "increment", by: 5 }] },
    ]);
    await ops("us", "maps", () => [
      { op: "update", field: "kept", ops: [{ op: "assign", value: "new" }] },
      { op: "update", field: "visits", ops: [{ op: "increment", by: 7 }] },
    ]);
    const apart = await cluster.digests();
    expect(new Set(apart.map(({ digest }) => digest)).size).toBe(3);
    await cluster.network({ cut: [] });
    const tookMs = await cluster.converged();
    console.log(
      `equal digests ${tookMs.toFixed(0)} ms after healing (aim: within 10,000 ms on a machine with nothing else to do)`,
    );
  });

  it("shows both values and their authors of exactly the concurrently written registers, everywhere under the same ids", {
    timeout: 60_000,
  }, async () => {
    const lists = await Promise.all(["eu", "us", "ap"].map(conflicts));
    const [first] = lists as [Conflict[]];
    expect(first.map(({ bucket, key }) => `${bucket}/${key}`).sort()).toEqual(
      Array.from({ length: KEYS }, (_, i) => `registers/k${i}`).sort(),
    );
    for (const list of lists) expect(list.map(({ id }) => id).sort()).toEqual(first.map(({ id }) => id).sort());
    for (const name of ["eu", "us", "ap"]) {
      const response = await fetch(`${cluster.node(name).url}/v1/conflicts/${first[0]?.id}`);
      const text = await response.text();
      const i = first[0]?.key.slice(1);
      expect(text).toContain(`eu ${i}`);
      expect(text).toContain(`us ${i}`);
      expect(text.match(/"author"/g)?.length).toBeGreaterThanOrEqual(2);
    }
  });

  it("sums every acknowledged increment", { timeout: 60_000 }, async () => {
    for (const name of ["eu", "us", "ap"])
      for (const i of [0, 1, KEYS >> 1, KEYS - 1])
        expect((await get(name, "counters", `k${i}`)).value).toBe(3_000 + 3 * i);
  });

  it("keeps in sets, flags and maps what a concurrent removal had not seen", { timeout: 60_000 }, async () => {
    for (const name of ["eu", "us", "ap"])
      for (const i of [0, 1, KEYS - 1]) {
        expect((await get(name, "sets", `k${i}`)).value).toEqual(["eu", "old", `old${i}`, "us"]);
        const flag = await get(name, "flags", `k${i}`);
        if (i % 2 === 0) expect(flag.value).toBe(true);
        else expect(flag.status).toBe(404);
        expect((await get(name, "maps", `k${i}`)).value).toEqual({ kept: "new", visits: 13 });
      }
  });

  it("settles a conflict everywhere when it is resolved anywhere", { timeout: 60_000 }, async () => {
    const before = await conflicts("us");
    const [one] = before as [Conflict];
    const detail = await (await fetch(`${cluster.node("us").url}/v1/conflicts/${one.id}`)).text();
    const dot = /"dot":"(eu@[^"]+)"/.exec(detail)?.[1];
    const response = await fetch(
      `${cluster.node("us").url}/v1/conflicts/${one.id}/resolve`,
      json("POST", { choose: dot, reason: "eu was right" }),
    );
    expect(response.status, await response.text()).toBe(200);
    for (const name of ["eu", "us", "ap"]) {
      await until(`settled at ${name}`, async () => !(await conflicts(name)).some(({ id }) => id === one.id), 10_000);
      const { value, conflict } = await get(name, one.bucket, one.key);
      expect(value).toBe(`eu ${one.key.slice(1)}`);
      expect(conflict).toBeNull();
      expect(await conflicts(name)).toHaveLength(before.length - 1);
    }
  });
});
