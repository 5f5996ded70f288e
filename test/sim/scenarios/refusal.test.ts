import { describe, expect, it } from "vitest";
import type { Config } from "../../../src/config/types.ts";
import { utf8 } from "../../../src/kernel/bytes.ts";
import type { Tuning } from "../../../src/replication/parts.ts";
import { type LogLine, SimCluster } from "../cluster.ts";

interface Stranger {
  readonly change?: Partial<Config["cluster"]>;
  readonly tuning?: Tuning;
  /** As either side says it. */
  readonly reason: RegExp;
}

const STRANGERS: Record<string, Stranger> = {
  "another cluster id": {
    change: { id: "another-cluster" },
    reason: /this node belongs to cluster test-cluster, not to another-cluster/,
  },
  "another salt": {
    change: { salt: utf8("another salt, sixteen bytes long") },
    reason: /the cluster's salt differs/,
  },
  "another number of partitions": {
    tuning: { layout: { partitionBits: 2, leafBits: 10 } },
    reason: /this cluster has 2\^[26] partitions, the caller 2\^[26]/,
  },
  "another number of leaves": {
    tuning: { layout: { partitionBits: 6, leafBits: 4 } },
    reason: /this cluster has 2\^(10|4) leaves a partition, the caller 2\^(10|4)/,
  },
};

interface SyncStatus {
  readonly records: number;
  readonly peers: readonly { readonly node: string; readonly link: string; readonly reason?: string }[];
}

describe("a peer that has", () => {
  for (const [what, { change, tuning = {}, reason }] of Object.entries(STRANGERS))
    it(`${what} is refused at the first frame, with the reason in log and status; nothing goes over`, async () => {
      const lines: LogLine[] = [];
      const tuned = (name: string): Tuning => (name === "ap" ? tuning : {});
      const cluster = new SimCluster({ seed: 21, onLog: (line) => lines.push(line), tuning: tuned });
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
