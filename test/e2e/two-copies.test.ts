import { cpSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, until } from "./cluster.ts";

describe("two copies of one data directory", () => {
  let cluster: RealCluster;
  let copy: string;
  const put = (name: string, key: string): Promise<Response> =>
    fetch(`${cluster.node(name).url}/v1/kv/test/${key}`, json("PUT", key));

  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    await cluster.startAll();
    for (let i = 0; i < 50; i++) expect((await put("eu", `before-${i}`)).status).toBe(204);
    await cluster.converged();
    await cluster.kill("eu", "SIGTERM");
    copy = join(cluster.dir, "copy-of-eu");
    cpSync(cluster.node("eu").dataDir, copy, { recursive: true });
    await cluster.start("eu");
  }, 60_000);
  afterAll(() => cluster.stopAll());

  it("running at once: the second stops and says why, the first goes on", { timeout: 60_000 }, async () => {
    await until("the first is known", async () => (await put("eu", "first")).status === 204, 20_000);
    const { code, output } = await cluster.secondProcess("eu", copy);
    expect(code).not.toBe(0);
    expect(output).toContain("another living node is called eu");
    expect(output).not.toMatch(/\n\s+at /); // no stack: it is the operator's to mend
    for (let i = 0; i < 50; i++) expect((await put("eu", `after-${i}`)).status).toBe(204);
    await cluster.converged();
    const [first] = await cluster.digests();
    expect(first?.records).toBe(101);
  });
});
