import { describe, expect, it } from "vitest";
import type { GossipHost } from "../../gossip/drivers/gossip-host.ts";
import { startGossip } from "../../gossip/drivers/gossip-host.ts";
import { encodePacket, encodeStream, PROFILES } from "../../gossip/index.ts";
import type { Log, Stream, World } from "../../src/world/world.ts";
import { CLEAR, LOOKUPS, labelled } from "./envelopes.ts";
import { PORT, sees, simulated, start, withNetwork } from "./hosts.ts";
import { NO_BYTES } from "./one-member.ts";

// In which order a host does things, and what it lets in first.

it(
  "what a host that is told something asks for is done when the rest of what happened is told",
  simulated(async (kernel) => {
    const b = await start(kernel, "b");
    const c = await start(kernel, "c", [b.node]);
    await kernel.until(() => sees(c.host, "b alive", "c alive"), 5000);
    let host: GossipHost | undefined;
    const a = await start(kernel, "a", [b.node], {}, ({ kind }) => {
      if (kind === "member-up" && host?.self.meta.get("told") === undefined)
        host?.updateMeta(new Map([["told", "once"]]));
    });
    host = a.host;
    await kernel.until(() => a.events.length >= 3, 5000);
    expect(a.events.map(({ kind }) => kind)).toEqual(["member-up", "member-up", "member-update"]);
  }),
);

describe("after a stall (item 16)", () => {
  const source = { sourceAddr: "", sourcePort: 0, sourceNode: "" };
  const label = labelled("shop");

  interface Stalled {
    readonly turns: number;
    readonly logged: readonly string[];
    readonly host: GossipHost;
  }

  /** How many turns of the loop a host lets pass before it judges, with this waiting in its sockets. */
  function stalled(
    waiting: "nothing" | "a packet" | "a question's bytes" | "an answer's bytes",
    stallMs: number,
  ): Promise<Stalled> {
    let seen: Stalled | undefined;
    return simulated(async (kernel) => {
      const { world, host: at, stall } = kernel.makeWorld({ name: "a", region: "eu" });
      let turns = 0;
      const logged: string[] = [];
      const timers: World["timers"] = {
        after: (delayMs, call) => world.timers.after(delayMs, call),
        soon: (call) => {
          turns += 1;
          world.timers.soon(call);
        },
      };
      const line = (level: string) => (event: string) => void (event === "gossip.stalled" && logged.push(level));
      const log: Log = {
        info: line("info"),
        warn: line("warn"),
        error: line("error"),
        debug: line("debug"),
        child: () => log,
      };
      const other = kernel.makeWorld({ name: "other", region: "eu" });
      let asker: Stream | undefined;
      await other.world.network.listen({ host: other.host, port: PORT }, (stream) => {
        stream.open({ onData: () => undefined, onClose: () => undefined });
        asker = stream;
      });
      const seeds = waiting === "an answer's bytes" ? [`${other.host}:${PORT}`] : [];
      const host = await startGossip({
        world: { ...world, timers, log },
        config: {
          ...{ name: "a", bind: { host: at, port: PORT }, label: "shop", profile: PROFILES.lan, seeds },
          ...{ ...CLEAR, lookups: LOOKUPS },
        },
        meta: new Map(),
        onEvent: () => undefined,
      });
      const to = { host: at, port: PORT };
      const socket = await other.world.network.bindDatagrams({ host: other.host, port: 9 }, () => undefined);
      const stream = await other.world.network.connect(to, 1000);
      stream.open({ onData: () => undefined, onClose: () => undefined });
      await kernel.sleep(5000);
      turns = 0;
      stall(stallMs);
      await kernel.sleep(stallMs / 2);
      const ping = { type: "ping", seq: 1, node: "a", ...source } as const;
      if (waiting === "a packet") socket.send(to, encodePacket([ping], label, false));
      const table = encodeStream({ type: "push-pull", join: false, nodes: [], userState: NO_BYTES }, label);
      if (waiting === "a question's bytes") stream.write(table);
      if (waiting === "an answer's bytes") asker?.write(table);
      await kernel.sleep(stallMs / 2 + 500);
      seen = { turns, logged, host };
    })().then(() => {
      if (!seen) throw new Error("it did not run");
      return seen;
    });
  }

  it("two turns must bring nothing, so what waits is let in first", async () => {
    expect((await stalled("nothing", 3000)).turns).toBe(2);
    expect((await stalled("a packet", 3000)).turns).toBe(3);
    expect((await stalled("a question's bytes", 3000)).turns).toBe(3);
    expect((await stalled("an answer's bytes", 3000)).turns).toBe(3);
  });

  it("it is counted, and told aloud from half a second on", async () => {
    const { host, logged } = await stalled("nothing", 3000);
    expect([host.figures().stalls, logged]).toEqual([1, ["warn"]]);
    expect(host.figures().stalledMs).toBeGreaterThan(1000);
    expect(host.figures().stalledMs).toBeLessThanOrEqual(3000);
    const brief = await stalled("nothing", 450);
    expect(brief.logged.filter((level) => level === "warn")).toEqual([]);
  });
});

it(
  "a close ends what we had asked others, at once",
  simulated(async (kernel) => {
    const silent = kernel.makeWorld({ name: "b", region: "eu" });
    const said: string[] = [];
    await silent.world.network.listen({ host: silent.host, port: PORT }, (stream) => {
      stream.open({ onData: () => void said.push("asked"), onClose: () => void said.push("closed") });
    });
    const a = await start(kernel, "a", [silent]);
    await kernel.until(() => said.length > 0, 1000);
    await a.host.close();
    await kernel.sleep(1000);
    expect(said).toEqual(["asked", "closed"]);
  }),
);

it(
  "of several things that its host threw when it was told of them, the first is what the caller hears",
  simulated(async (kernel) => {
    let host: GossipHost | undefined;
    const said = ["first", "second"];
    const a = await start(kernel, "a", [], {}, () => {
      const what = said.shift();
      if (what === "first") host?.updateMeta(new Map([["told", "again"]]));
      throw new Error(what);
    });
    host = a.host;
    expect(() => a.host.updateMeta(new Map([["told", "once"]]))).toThrow("first");
    expect([said, a.host.self.meta.get("told")]).toEqual([[], "again"]);
  }),
);

it(
  "an exchange has ten seconds from its beginning: what connecting took is taken from it",
  simulated(async (kernel) => {
    const silent = kernel.makeWorld({ name: "b", region: "eu" });
    const closedMs: number[] = [];
    await silent.world.network.listen({ host: silent.host, port: PORT }, (stream) => {
      stream.open({ onData: () => undefined, onClose: () => void closedMs.push(kernel.nowMs) });
    });
    const { world, host } = kernel.makeWorld({ name: "a", region: "eu" });
    const slow = withNetwork(world, {
      connect: async (to, timeoutMs) => {
        await kernel.sleep(6000);
        return world.network.connect(to, timeoutMs);
      },
    });
    const a = await startGossip({
      world: slow,
      config: {
        ...{ name: "a", bind: { host, port: PORT }, label: "shop", profile: PROFILES.lan },
        ...{ ...CLEAR, lookups: LOOKUPS, seeds: [`${silent.host}:${PORT}`] },
      },
      meta: new Map(),
      onEvent: () => undefined,
    });
    const startMs = kernel.nowMs;
    await kernel.until(() => closedMs.length > 0, 20_000);
    expect((closedMs[0] ?? 0) - startMs).toBeGreaterThanOrEqual(10_000);
    expect((closedMs[0] ?? 0) - startMs).toBeLessThan(11_000);
    await a.close();
  }),
);
