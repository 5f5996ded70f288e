import { expect, it } from "vitest";
import { present } from "../../../src/kernel/assert.ts";
import { damageRow } from "../../../src/storage/memory.ts";
import { SimCluster } from "../cluster.ts";

interface NodeView {
  readonly id: string;
  readonly state: string;
  readonly phi: number | null;
  readonly gray?: readonly string[];
  readonly directLoss: number | null;
}

async function usSeenFromEu(cluster: SimCluster): Promise<NodeView> {
  const { nodes } = (await cluster.getJson("eu", "/cluster/nodes")) as { nodes: NodeView[] };
  return present(
    nodes.find(({ id }) => id === "us"),
    "us is an owner",
  );
}

async function becomesGray(cluster: SimCluster, withinMs: number): Promise<NodeView> {
  const untilMs = cluster.kernel.nowMs + withinMs;
  for (;;) {
    const view = await usSeenFromEu(cluster);
    if ((view.gray ?? []).length > 0 || cluster.kernel.nowMs > untilMs) return view;
    await cluster.kernel.sleep(500);
  }
}

it("a peer that became slow is gray and not dead, and others are asked before it", async () => {
  const cluster = new SimCluster({ seed: 5 });
  const { kernel } = cluster;
  await kernel.run(async () => {
    await cluster.startAll();
    const headers = { "content-type": "application/json" };
    await cluster.request("eu", { method: "PUT", path: "/v1/kv/b/k", headers, body: '"v"' });
    await cluster.converged();
    cluster.crash("eu");
    cluster.restoreImage("eu", damageRow(present(cluster.image("eu"), "it has a disk"), "b", "k", "flip"));
    cluster.start("eu");
    await cluster.until(() => cluster.member("eu").running !== null, 20_000, "eu is up");
    await kernel.sleep(60_000);
    expect(await usSeenFromEu(cluster)).toMatchObject({ state: "alive", gray: [] });

    // us, which stands before ap in the configuration, answers after six seconds; ap tells gossip that it lives.
    kernel.links.setQuality("eu", "us", { delayMs: 3_000 });
    const { gray, state } = await becomesGray(cluster, 60_000);
    expect(state).not.toBe("dead");
    expect(gray).toEqual([expect.stringMatching(/^(slow|silent|lossy)$/)]);

    const startMs = kernel.nowMs;
    expect(await cluster.getJson("eu", "/v1/kv/b/k")).toBe("v");
    expect(kernel.nowMs - startMs).toBeLessThan(1_000);

    kernel.links.setQuality("eu", "us", { delayMs: 40 });
    await kernel.sleep(120_000);
    expect(await usSeenFromEu(cluster)).toMatchObject({ state: "alive", gray: [] });
  });
});
