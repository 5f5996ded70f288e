import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freePorts, json, RealCluster, until } from "./cluster.ts";
import { hasSerf, SerfAgents } from "./serf-agents.ts";

// One pool of real serf agents and real nodes: what memberlist's users have today must go on working beside us.

const KEY = randomBytes(32).toString("base64");
const THIRD_KEY = randomBytes(32).toString("base64");
const NEXT_KEY = randomBytes(32).toString("base64");
const OURS = ["eu", "us", "ap"];
const THEIRS = ["s1", "s2", "s3"];
/** The lan profile suspects after some seconds and waits four more for a refutation, sixfold without confirmations. */
const FAILED_MS = 60_000;
const QUIET_SECONDS = Number(process.env.E2E_SERF_SECONDS ?? 20);

interface KeysAnswer {
  readonly complete: boolean;
  readonly members: number;
  readonly keys: readonly { readonly members: number; readonly using: number }[];
}

describe.skipIf(!hasSerf)("a pool of serf agents and nodes, encrypted (skipped without serf)", () => {
  let cluster: RealCluster;
  let agents: SerfAgents;
  const env: Record<string, string> = {
    STARLING_GOSSIP_LABEL: "",
    STARLING_GOSSIP_PROFILE: "lan",
    STARLING_GOSSIP_KEYS: KEY,
  };
  const gossipOf = (name: string): string => `127.0.0.1:${cluster.node(name).ports.gossip}`;

  beforeAll(async () => {
    cluster = await RealCluster.make(OURS);
    agents = new SerfAgents(await freePorts(6), KEY);
    await agents.start("s1");
    await cluster.start("eu", { ...env, STARLING_CLUSTER_SEEDS: agents.address("s1") });
    await agents.start("s2", [gossipOf("eu")]);
    await cluster.start("us", { ...env, STARLING_CLUSTER_SEEDS: agents.address("s2") });
    await agents.start("s3", [gossipOf("us")]);
    await cluster.start("ap", { ...env, STARLING_CLUSTER_SEEDS: gossipOf("eu") });
  }, 60_000);
  afterAll(async () => {
    await cluster?.stopAll();
    await agents?.stopAll();
  });

  /** As a node sees them. */
  async function statesAt(name: string): Promise<Map<string, string>> {
    const { nodes } = (await (await fetch(`${cluster.node(name).url}/cluster/nodes`)).json()) as {
      nodes: { id: string; state: string }[];
    };
    return new Map(nodes.map(({ id, state }) => [id, state]));
  }

  /** Everyone but `about` itself. */
  async function allSee(about: string, ours: string, theirs: string): Promise<boolean> {
    for (const { name, process } of cluster.nodes)
      if (process && name !== about && (await statesAt(name)).get(about) !== ours) return false;
    return THEIRS.filter((name) => name !== about && agents.isUp(name)).every(
      (name) => agents.members(name).find((member) => member.name === about)?.status === theirs,
    );
  }

  const everyoneIsAlive = async (): Promise<boolean> => {
    for (const name of [...OURS, ...THEIRS]) if (!(await allSee(name, "alive", "alive"))) return false;
    return true;
  };

  /** Waits for it; says who saw what when it doesn't come. */
  async function eventually(what: string, holds: () => Promise<boolean>, withinMs: number): Promise<void> {
    try {
      await until(what, holds, withinMs);
    } catch (error) {
      const seen: string[] = [];
      for (const { name, process } of cluster.nodes)
        if (process) seen.push(`${name}: ${[...(await statesAt(name))].map((pair) => pair.join(" ")).join(", ")}`);
      for (const name of THEIRS.filter((agent) => agents.isUp(agent)))
        seen.push(
          `${name}: ${agents
            .members(name)
            .map((member) => `${member.name} ${member.status}`)
            .join(", ")}`,
        );
      throw new Error(`${String(error)}\n${seen.join("\n")}`);
    }
  }

  it("lists all as alive on both sides, with each other's tags", { timeout: 60_000 }, async () => {
    await eventually("all alive everywhere", everyoneIsAlive, 30_000);
    for (const agent of THEIRS)
      for (const node of OURS) {
        const member = agents.members(agent).find(({ name }) => name === node);
        expect(member).toMatchObject({ addr: gossipOf(node), tags: { id: node, region: node } });
      }
    for (const node of OURS) {
      const view = (await (await fetch(`${cluster.node(node).url}/cluster/nodes/s2`)).json()) as object;
      expect(view).toMatchObject({ id: "s2", state: "alive", addresses: { gossip: agents.address("s2") } });
    }
  });

  /** An agent's question reaches each member only very probably, and it asks once: its operator asks again. */
  function agentsSay(expected: string, agent: string, ...what: string[]): void {
    let output = "";
    for (let tries = 0; tries < 3 && !output.includes(expected); tries++)
      output = agents.run(agent, "keys", ...what).output;
    expect(output).toContain(expected);
  }

  it("a key is changed by an agent for all, and by a node for all", { timeout: 60_000 }, async () => {
    agentsSay("Successfully installed key", "s1", "-install", NEXT_KEY);
    agentsSay("Successfully changed primary key", "s1", "-use", NEXT_KEY);
    agentsSay("Successfully removed key", "s1", "-remove", KEY);
    const change = async (operation: string, key: string): Promise<KeysAnswer> => {
      const response = await fetch(`${cluster.node("ap").url}/cluster/gossip/keys`, json("POST", { operation, key }));
      return (await response.json()) as KeysAnswer;
    };
    for (const [operation, key] of [
      ["install", THIRD_KEY],
      ["use", THIRD_KEY],
      ["remove", NEXT_KEY],
    ] as const)
      expect(await change(operation, key)).toMatchObject({ complete: true, members: 6, refused: [], silent: [] });
    const list = (await (await fetch(`${cluster.node("us").url}/cluster/gossip/keys`)).json()) as KeysAnswer;
    expect(list).toMatchObject({ complete: true, keys: [{ members: 6, using: 6 }] });
    agentsSay("6/6", "s3", "-list");
    expect(await everyoneIsAlive()).toBe(true);
  });

  it("one of either kind that is killed is failed for all, and alive again after its restart, with the keys of now", {
    timeout: 240_000,
  }, async () => {
    await cluster.kill("us");
    await agents.kill("s3");
    await eventually("us failed for all", () => allSee("us", "dead", "failed"), FAILED_MS);
    await eventually("s3 failed for all", () => allSee("s3", "dead", "failed"), FAILED_MS);
    await cluster.start("us", { ...env, STARLING_CLUSTER_SEEDS: agents.address("s2") });
    await agents.start("s3", [gossipOf("us")]);
    await eventually("all alive again", everyoneIsAlive, 60_000);
  });

  it("one of either kind that stands still is suspected, and refutes", { timeout: 120_000 }, async () => {
    const byAgents = (name: string): number => agents.log("s1").split(`Suspect ${name} has failed`).length;
    for (const [name, signal] of [
      ["ap", (kind: NodeJS.Signals) => cluster.signal("ap", kind)],
      ["s2", (kind: NodeJS.Signals) => agents.signal("s2", kind)],
    ] as const) {
      const before = byAgents(name);
      signal("SIGSTOP");
      await eventually(
        `${name} is suspected`,
        async () => byAgents(name) > before || (await statesAt("eu")).get(name) === "suspect",
        20_000,
      );
      signal("SIGCONT");
      await eventually("all alive again", everyoneIsAlive, 30_000);
    }
    for (const name of THEIRS) expect(agents.log(name)).not.toMatch(/EventMemberFailed: (ap|s2) /);
  });

  it("one of either kind that leaves has left, and hasn't failed", { timeout: 120_000 }, async () => {
    await cluster.kill("ap", "SIGINT");
    await eventually("ap left for all", () => allSee("ap", "left", "left"), 20_000);
    expect(agents.run("s2", "leave").output).toContain("Graceful leave complete");
    await eventually("s2 left for all", () => allSee("s2", "left", "left"), 20_000);
    for (const name of THEIRS) expect(agents.log(name)).not.toMatch(/EventMemberFailed: (ap|s2) /);
  });

  it("who left comes back under another address", { timeout: 120_000 }, async () => {
    const [port = 0] = await freePorts(1);
    const moved = `127.0.0.1:${port}`;
    await cluster.start("ap", { ...env, STARLING_GOSSIP_BIND: moved, STARLING_CLUSTER_SEEDS: gossipOf("eu") });
    await agents.start("s2", [gossipOf("us")]);
    await eventually("all alive again", everyoneIsAlive, 60_000);
    expect(agents.members("s1").find(({ name }) => name === "ap")?.addr).toBe(moved);
  });

  it(`nobody flaps for ${QUIET_SECONDS} s under load`, { timeout: 60_000 + 1_000 * QUIET_SECONDS }, async () => {
    const before = new Map(THEIRS.map((name) => [name, agents.log(name).length]));
    const ourBefore = new Map(OURS.map((name) => [name, cluster.log(name).length]));
    const endMs = performance.now() + 1_000 * QUIET_SECONDS;
    let writes = 0;
    while (performance.now() < endMs) {
      const puts = OURS.map((name) =>
        fetch(`${cluster.node(name).url}/v1/kv/load/k${writes % 500}`, json("PUT", { writes })),
      );
      for (const response of await Promise.all(puts)) expect(response.status).toBe(204);
      writes += OURS.length;
    }
    expect(writes).toBeGreaterThan(100);
    for (const name of THEIRS)
      expect(agents.log(name).slice(before.get(name))).not.toMatch(/Suspect|EventMember(?!Update)/);
    for (const name of OURS) expect(cluster.log(name).slice(ourBefore.get(name))).not.toMatch(/suspect|dead/);
  });
});
