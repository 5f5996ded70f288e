import { describe, expect, it } from "vitest";
import { type LogLine, type NodeSpec, SimCluster } from "../cluster.ts";

const HOUR = 3_600_000;

interface Dot {
  readonly node: string;
  readonly hlc: { readonly ms: number };
  readonly clockSuspect?: true;
}

interface RecordView {
  readonly shown: unknown;
  readonly siblings: readonly { readonly value: unknown; readonly dots: readonly Dot[] }[];
}

interface Clock {
  readonly suspect: boolean;
  readonly clocks: number;
  readonly offsetMs: number | null;
}

function withClocks(offsetsMs: Readonly<Record<string, number>>): NodeSpec[] {
  return Object.entries(offsetsMs).map(([name, offsetMs]) => ({ name, region: name, clock: { offsetMs } }));
}

async function put(cluster: SimCluster, node: string, key: string): Promise<void> {
  const headers = { "content-type": "application/json" };
  const response = await cluster.request(node, { method: "PUT", path: `/v1/kv/b/${key}`, headers, body: `"${node}"` });
  expect(response.status).toBe(204);
}

async function recordAt(cluster: SimCluster, node: string, key: string): Promise<RecordView> {
  return (await cluster.getJson(node, `/v1/kv/b/${key}?view=record`)) as RecordView;
}

/** The dot that the node itself wrote there last. */
async function ownDot(cluster: SimCluster, node: string, key: string): Promise<Dot | undefined> {
  const { siblings } = await recordAt(cluster, node, key);
  return siblings.flatMap(({ dots }) => dots).find((dot) => dot.node === node);
}

async function clockOf(cluster: SimCluster, node: string): Promise<Clock> {
  return ((await cluster.getJson(node, "/cluster/status")) as { clock: Clock }).clock;
}

const isSuspect = (cluster: SimCluster, name: string): boolean => cluster.replica(name).status().clock.suspect;
const knowsAll = (cluster: SimCluster): boolean =>
  cluster.names.every((name) => cluster.replica(name).status().clock.clocks === cluster.names.length);

function clockLines(lines: readonly LogLine[]): string[] {
  return lines
    .filter(({ event }) => event.startsWith("clock."))
    .map(({ node, level, event }) => `${node} ${level} ${event}`);
}

describe("a node whose clock is an hour ahead of two others", () => {
  it("marks what it writes once it has heard both, cut off or not, and the others mark nothing", async () => {
    const lines: LogLine[] = [];
    const nodes = withClocks({ eu: 40, us: HOUR, ap: -60 });
    const cluster = new SimCluster({ seed: 21, nodes, onLog: (line) => lines.push(line) });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await cluster.until(() => knowsAll(cluster), 5_000, "each knows all clocks");
      for (const name of cluster.names) await put(cluster, name, `of-${name}`);
      cluster.cutRegion("us");
      await cluster.kernel.sleep(HOUR / 6);
      for (const name of cluster.names) await put(cluster, name, `in-the-cut-${name}`);
      const marks = async (where: string): Promise<unknown[]> =>
        Promise.all(cluster.names.map(async (name) => (await ownDot(cluster, name, `${where}-${name}`))?.clockSuspect));
      expect(await marks("of")).toEqual([undefined, true, undefined]);
      expect(await marks("in-the-cut")).toEqual([undefined, true, undefined]);
      const us = await clockOf(cluster, "us");
      expect(us).toMatchObject({ suspect: true, clocks: 3 });
      expect(Math.abs((us.offsetMs ?? 0) - (HOUR - 40))).toBeLessThan(100);
      for (const name of ["eu", "ap"]) expect(await clockOf(cluster, name)).toMatchObject({ suspect: false });
      expect(clockLines(lines)).toEqual(["us warn clock.suspect"]);
    });
  });

  it("loses to a concurrent write of a sound node, on every node, though its stamp is an hour higher", async () => {
    const nodes = withClocks({ eu: 0, us: HOUR, ap: 100 });
    const cluster = new SimCluster({ seed: 22, nodes });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await cluster.until(() => isSuspect(cluster, "us"), 5_000, "us is suspect");
      cluster.cutRegion("us");
      await put(cluster, "us", "k");
      await put(cluster, "eu", "k");
      cluster.heal();
      await cluster.converged();
      for (const name of cluster.names) {
        const { shown, siblings } = await recordAt(cluster, name, "k");
        expect(shown).toBe("eu");
        const dots = new Map(siblings.flatMap(({ value, dots: [dot] }) => (dot ? [[value, dot]] : [])));
        expect(dots.get("us")?.clockSuspect).toBe(true);
        expect(dots.get("eu")?.clockSuspect).toBeUndefined();
        expect((dots.get("us")?.hlc.ms ?? 0) - (dots.get("eu")?.hlc.ms ?? 0)).toBeGreaterThan(HOUR - 10_000);
        const explained = (await cluster.getJson(name, "/v1/explain/b/k")) as { dots: { node: string; why: string }[] };
        expect(explained.dots.map(({ node, why }) => `${node} ${why}`).sort()).toEqual([
          "eu latest",
          "us clock-suspect",
        ]);
      }
    });
  });

  it("marks nothing any more within seconds of its clock being set right, and stamps in the present again", async () => {
    const lines: LogLine[] = [];
    const nodes = withClocks({ eu: 0, us: HOUR, ap: 100 });
    const cluster = new SimCluster({ seed: 23, nodes, onLog: (line) => lines.push(line) });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await cluster.until(() => isSuspect(cluster, "us"), 5_000, "us is suspect");
      await put(cluster, "us", "before");
      cluster.member("us").node?.clock.jump(-HOUR);
      await cluster.kernel.sleep(3_000);
      await put(cluster, "us", "after");
      const [before, after] = [await ownDot(cluster, "us", "before"), await ownDot(cluster, "us", "after")];
      expect([before?.clockSuspect, after?.clockSuspect]).toEqual([true, undefined]);
      expect((before?.hlc.ms ?? 0) - (after?.hlc.ms ?? 0)).toBeGreaterThan(HOUR - 60_000);
      await cluster.kernel.sleep(15_000);
      expect(clockLines(lines)).toEqual(["us warn clock.suspect", "us warn clock.trusted-again"]);
      await cluster.converged();
    });
  });
});

describe("two nodes whose clocks are an hour apart", () => {
  it("mark nothing: nobody can tell whose is wrong", async () => {
    const cluster = new SimCluster({ seed: 24, nodes: withClocks({ eu: 0, us: HOUR }) });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await cluster.until(() => knowsAll(cluster), 5_000, "each knows both clocks");
      for (const name of cluster.names) {
        await put(cluster, name, name);
        expect((await ownDot(cluster, name, name))?.clockSuspect).toBeUndefined();
        expect(await clockOf(cluster, name)).toEqual({
          suspect: false,
          clocks: 2,
          offsetMs: null,
          uncertaintyMs: null,
        });
      }
    });
  });
});

describe("three nodes whose clocks differ by less than the drift that is allowed", () => {
  it("mark nothing and warn of nothing while they drift, over slow links that lose and delay", async () => {
    const lines: LogLine[] = [];
    const offsetsMs = { eu: 200, us: -200, ap: 0 };
    const nodes = withClocks(offsetsMs).map((node, i) => ({
      ...node,
      clock: { ...node.clock, driftPpm: 400 * (i - 1) },
    }));
    const cluster = new SimCluster({ seed: 25, nodes, onLog: (line) => lines.push(line) });
    await cluster.kernel.run(async () => {
      await cluster.startAll();
      await cluster.until(() => knowsAll(cluster), 5_000, "each knows all clocks");
      for (const [a, b] of [["eu", "us"] as const, ["us", "ap"] as const, ["ap", "eu"] as const])
        cluster.kernel.links.setQuality(a, b, { delayMs: 200, jitterMs: 900, lossPercent: 10 });
      for (let minute = 0; minute < 8; minute += 2) {
        for (const name of cluster.names) {
          await put(cluster, name, `${name}-${minute}`);
          expect((await ownDot(cluster, name, `${name}-${minute}`))?.clockSuspect).toBeUndefined();
        }
        await cluster.kernel.sleep(2 * 60_000);
      }
      expect(clockLines(lines)).toEqual([]);
    });
  });
});
