import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { json, RealCluster, until } from "./cluster.ts";

/** 300 in the acceptance run by hand; the simulator has five minutes in each run. */
const CUT_SECONDS = Number(process.env.E2E_CUT_SECONDS ?? 15);

describe("members, as the others see them", () => {
  let cluster: RealCluster;
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu", "us", "ap"]);
    await cluster.startAll();
  }, 60_000);
  afterAll(() => cluster.stopAll());

  async function stateOf(name: string, at: string): Promise<string> {
    const { nodes } = (await (await fetch(`${cluster.node(at).url}/cluster/nodes`)).json()) as {
      nodes: { id: string; state: string }[];
    };
    return nodes.find(({ id }) => id === name)?.state ?? "unknown";
  }

  it("a killed node is suspect, then dead, and alive again after its restart", { timeout: 120_000 }, async () => {
    await until(
      "all alive",
      async () => (await stateOf("ap", "eu")) === "alive" && (await stateOf("ap", "us")) === "alive",
      20_000,
    );
    await cluster.kill("ap");
    await until("suspect at eu", async () => (await stateOf("ap", "eu")) === "suspect", 30_000);
    await until(
      "dead at eu and us",
      async () => (await stateOf("ap", "eu")) === "dead" && (await stateOf("ap", "us")) === "dead",
      60_000,
    );
    await cluster.start("ap");
    await until(
      "alive again",
      async () => (await stateOf("ap", "eu")) === "alive" && (await stateOf("ap", "us")) === "alive",
      30_000,
    );
  });

  it("a process frozen for 5 s declares nobody dead when it wakes, and is alive for the others within seconds", {
    timeout: 120_000,
  }, async () => {
    cluster.signal("us", "SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 5_000));
    const logBefore = cluster.log("us").length;
    cluster.signal("us", "SIGCONT");
    await until(
      "alive for the others",
      async () => (await stateOf("us", "eu")) === "alive" && (await stateOf("us", "ap")) === "alive",
      15_000,
    );
    for (const other of ["eu", "ap"]) expect(await stateOf(other, "us")).toBe("alive");
    const since = cluster.log("us").slice(logBefore);
    expect(since).not.toContain("member-suspect");
    expect(since).not.toContain("member-dead");
  });

  it(`two nodes cut off from each other for ${CUT_SECONDS} s find each other unattended`, {
    timeout: 120_000 + 1_000 * CUT_SECONDS,
  }, async () => {
    await cluster.network({
      cut: [
        ["eu", "us"],
        ["eu", "ap"],
      ],
    });
    await until(
      "dead on both sides",
      async () => (await stateOf("us", "eu")) === "dead" && (await stateOf("eu", "us")) === "dead",
      60_000,
    );
    await fetch(`${cluster.node("eu").url}/v1/kv/cut/a`, json("PUT", "eu"));
    await fetch(`${cluster.node("us").url}/v1/kv/cut/b`, json("PUT", "us"));
    await new Promise((resolve) => setTimeout(resolve, 1_000 * CUT_SECONDS));
    await cluster.network({ cut: [] });
    const startedMs = performance.now();
    await until(
      "alive on both sides",
      async () => (await stateOf("us", "eu")) === "alive" && (await stateOf("eu", "us")) === "alive",
      60_000,
    );
    await cluster.converged();
    console.log(
      `found each other, with equal digests, ${((performance.now() - startedMs) / 1_000).toFixed(1)} s after healing`,
    );
    expect((await fetch(`${cluster.node("us").url}/v1/kv/cut/a`)).status).toBe(200);
    expect((await fetch(`${cluster.node("eu").url}/v1/kv/cut/b`)).status).toBe(200);
  });
});
