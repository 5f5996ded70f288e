import { expect, it } from "vitest";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import { Members, Regions } from "../../src/members.ts";
import type { Log } from "../../src/world/world.ts";
import { memberOf, testConfig } from "../http/harness.ts";
import type { SimKernel } from "../sim/world.ts";
import { PORT, type Started, simulated, start, trio } from "./hosts.ts";

// What the node makes of gossip's members, over real hosts.

function membersOf({ host, node }: Started): Members {
  return new Members(() => host, node.world, new Regions(testConfig()));
}

async function isDead(kernel: SimKernel, { host }: Started, name: string): Promise<void> {
  await kernel.until(() => host.member(name)?.state === "dead", 30_000);
}

it(
  "a restart is told of the others that live, where we reach them: behind NAT that isn't what all are told",
  simulated(async (kernel) => {
    const [a, b, c] = await trio(kernel);
    const members = membersOf(a);
    const at = ({ node }: Started): string => `${node.host}:${PORT}`;
    expect(members.othersAlive().sort()).toEqual([at(b), at(c)].sort());
    const outside = "203.0.113.9:9946";
    b.host.updateMeta(new Map([...b.host.self.meta, ["at.eu", outside]]));
    await kernel.until(() => a.host.member("b")?.meta.has("at.eu") === true, 5000);
    expect(members.othersAlive().sort()).toEqual([outside, at(c)].sort());
    expect(members.views().find(({ id }) => id === "b")?.gossipAddress).toBe(at(b));
    c.node.crash("machine");
    await isDead(kernel, a, "c");
    expect(members.othersAlive()).not.toContain(at(c));
  }),
);

it(
  "who wants to hear of changes hears who was accused by whom, until it wants no more",
  simulated(async (kernel) => {
    const node = kernel.makeWorld({ name: "quiet", region: "eu" });
    let members: Members | undefined;
    const a = await start(kernel, "a", [node], {}, (event) => members?.onEvent(event));
    members = membersOf(a);
    const heard: string[] = [];
    const stop = members.subscribe(({ id }, { kind, by }) => heard.push(`${kind} ${id} ${by ?? ""}`));
    const b = await start(kernel, "b", [a.node]);
    await kernel.until(() => heard.length > 0, 5000);
    expect(heard).toEqual(["member-up b "]);
    b.node.crash("machine");
    await isDead(kernel, a, "b");
    expect(heard.slice(1)).toEqual(["member-suspect b a", "member-dead b a"]);
    stop();
    await start(kernel, "c", [a.node]);
    await kernel.until(() => a.host.member("c") !== undefined, 5000);
    expect(heard).toHaveLength(3);
  }),
);

it(
  "a death and a conflict are warnings in the log, the rest is information",
  simulated(async (kernel) => {
    const a = await start(kernel, "a");
    const lines: string[] = [];
    const line = (level: string) => (event: string) => void lines.push(`${level} ${event}`);
    const log: Log = {
      info: line("info"),
      warn: line("warn"),
      error: line("error"),
      debug: line("debug"),
      child: () => log,
    };
    const members = new Members(() => a.host, { ...a.node.world, log }, new Regions(testConfig()));
    const at = a.host.local;
    members.onEvent({ kind: "conflict", name: "a", kept: at, refused: at, role: "observer" });
    members.onEvent({ kind: "member-dead", name: "a", member: a.host.self, by: "b" });
    members.onEvent({ kind: "member-suspect", name: "a", member: a.host.self, by: "b" });
    expect(lines).toEqual(["warn gossip.conflict", "warn gossip.member-dead", "info gossip.member-suspect"]);
  }),
);

it("in which region an address is, is learnt from gossip only where the development network needs it", () => {
  const view = { ...memberOf(parseNodeId("us-1"), parseRegion("us"), 0), gossipAddress: "10.0.0.1:7002" };
  for (const dev of [true, false]) {
    const regions = new Regions({ ...testConfig(), dev });
    regions.learn(view);
    expect(regions.of({ host: "10.0.0.1", port: 7002 })).toBe(dev ? "us" : undefined);
  }
});

it(
  "a round trip is estimated between two members, and not from one to itself",
  simulated(async (kernel) => {
    const [a] = await trio(kernel);
    await kernel.sleep(20_000);
    const members = membersOf(a);
    expect(members.estimateRttMs("b", "c")).toBeGreaterThan(0);
    expect([members.estimateRttMs("b", "b"), members.estimateRttMs("b", "nobody")]).toEqual([null, null]);
  }),
);

it(
  "the next look at a source of seeds is never in the past",
  simulated(async (kernel) => {
    const a = await start(kernel, parseNodeId("a"), [], { seeds: [`nobody:${PORT}`] });
    await kernel.until(() => a.host.seedSources()[0]?.lastError !== null, 1000);
    const [source] = membersOf(a).seedSources();
    expect(source?.nextTryInMs).toBeGreaterThan(0);
    expect(source?.nextTryInMs).toBeLessThanOrEqual(1000);
    const { clock } = a.node.world;
    const later = { ...a.node.world, clock: { ...clock, monotonicMs: () => clock.monotonicMs() + 5000 } };
    const late = new Members(() => a.host, later, new Regions(testConfig()));
    expect(late.seedSources()[0]?.nextTryInMs).toBe(0);
  }),
);
