import { describe, expect, it } from "vitest";
import type { Config } from "../../../src/config/types.ts";
import { utf8 } from "../../../src/kernel/bytes.ts";
import { type LogLine, SimCluster } from "../cluster.ts";

const STRANGERS: Record<string, { readonly change: Partial<Config["cluster"]>; readonly reason: RegExp }> = {
  "another cluster id": {
    change: { id: "another-cluster" },
    reason: /this node belongs to cluster test-cluster, not to another-cluster/,
  },
  "another salt": {
    change: { salt: utf8("another salt, sixteen bytes long") },
    reason: /the cluster's salt differs/,
  },
};

interface SyncStatus {
  readonly records: number;
  readonly peers: readonly { readonly node: string; readonly link: string; readonly reason?: string }[];
}

describe("a peer that has", () => {
  for (const [what, { change, reason }] of Object.entries(STRANGERS))
    it(`${what} is refused at the first frame, with the reason in log and status; nothing goes over`, async () => {
      const lines: LogLine[] = [];
      const cluster = new SimCluster({ seed: 21, onLog: (line) => lines.push(line) });
      await cluster.kernel.run(async () => {
        cluster.start("eu");
        cluster.start("us");
        cluster.start("ap", (config) => ({ ...config, cluster: { ...config.cluster, ...change } }));
        await cluster.startAll();
        for (const name of cluster.names) {
          const headers = { "content-type": "application/json" };
          await cluster.request(name, { method: "PUT", path: `/v1/kv/b/${name}`, headers, body: "1" });
        }
        await cluster.kernel.sleep(10_000);
        const statusOf = async (name: string): Promise<SyncStatus> =>
          (await cluster.getJson(name, "/cluster/sync/status")) as SyncStatus;
        const stranger = await statusOf("ap");
        expect(stranger.records).toBe(1);
        for (const peer of stranger.peers) {
          expect(peer.link).toBe("refused");
          expect(peer.reason).toMatch(reason);
        }
        for (const name of ["eu", "us"]) {
          const { records, peers } = await statusOf(name);
          expect(records).toBe(2);
          expect(Object.fromEntries(peers.map(({ node, link }) => [node, link]))).toMatchObject({ ap: "refused" });
          const refused = lines.filter(({ node, event }) => node === name && event === "peer.refused");
          expect(refused.length).toBeGreaterThan(0);
          for (const { level, fields } of refused) {
            expect(level).toBe("warn");
            expect(fields.reason).toMatch(reason);
          }
        }
      });
    });
});
