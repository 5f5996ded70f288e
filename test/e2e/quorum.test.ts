import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, until } from "./cluster.ts";

// What real processes do without three of five voters. What it costs in time is measured by `npm run bench -- quorum`.

const SURVIVORS = ["n1", "n2"];
const GONE = ["n3", "n4", "n5"];
const CHANGE_TIMEOUT_MS = 1_000;

describe("three of five voters killed", () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.make([...SURVIVORS, ...GONE]);
    await cluster.startAll();
  }, 60_000);
  afterAll(() => cluster.stopAll());

  /** A leader, and five voters, as every node sees it. */
  const whole = (): Promise<void> =>
    until(
      "all five vote",
      () =>
        cluster.every(async ({ url }) => {
          const answer = await fetch(`${url}/cluster/consensus`);
          const { leader, voters } = (await answer.json()) as { leader: string | null; voters: readonly string[] };
          return leader !== null && voters.length === 5;
        }),
      30_000,
    );

  async function change(name: string, bucket: string): Promise<Response> {
    const url = `${cluster.node(name).url}/v1/policies/${bucket}?timeoutMs=${CHANGE_TIMEOUT_MS}`;
    return fetch(url, { ...json("PUT", { show: "siblings" }), signal: AbortSignal.timeout(20_000) });
  }

  async function putAndGet(name: string, key: string): Promise<number[]> {
    const url = `${cluster.node(name).url}/v1/kv/b/${key}`;
    const put = await fetch(url, { method: "PUT", body: key, headers: { "content-type": "text/plain" } });
    const got = await fetch(url);
    expect(await got.text()).toContain(key);
    return [put.status, got.status];
  }

  it("changes are refused with 503 and Retry-After, data goes on, and all works again when they are back", async () => {
    await whole();
    expect((await change("n1", "before")).status).toBe(200);
    await Promise.all(GONE.map((name) => cluster.kill(name)));
    await until(
      "the survivors know of no leader",
      () => cluster.every(async ({ url }) => (await fetch(`${url}/cluster/leader`)).status === 404),
      20_000,
    );
    const meanwhile = async (name: string): Promise<void> => {
      for (let round = 0; round < 2; round++) {
        const refused = change(name, "meanwhile");
        // Beside it, and not after it: nobody waits for what isn't there.
        for (let i = 0; i < 20; i++) expect(await putAndGet(name, `${name}-${round}-${i}`)).toEqual([204, 200]);
        const { status, headers } = await refused;
        expect([status, Number(headers.get("retry-after"))]).toEqual([503, expect.toSatisfy((s: number) => s > 0)]);
      }
    };
    await Promise.all(SURVIVORS.map(meanwhile));
    const ready = SURVIVORS.map(async (name) => (await fetch(`${cluster.node(name).url}/health/ready`)).status);
    expect(await Promise.all(ready)).toEqual([200, 200]);
    await Promise.all(GONE.map((name) => cluster.start(name)));
    await whole();
    for (const { name } of cluster.nodes) {
      const done = async (): Promise<boolean> => (await change(name, `after-${name}`)).status === 200;
      await until(`${name} takes changes`, done, 20_000);
    }
    const policies = (await (await fetch(`${cluster.node("n1").url}/v1/policies?consistent`)).json()) as unknown;
    expect(JSON.stringify(policies)).not.toContain("meanwhile");
    await cluster.converged();
  }, 60_000);
});
