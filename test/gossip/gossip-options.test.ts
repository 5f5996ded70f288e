import { describe, expect, it } from "vitest";
import { type GossipConfig, type GossipHost, startGossip } from "../../gossip/drivers/gossip-host.ts";
import { PROFILES } from "../../gossip/index.ts";
import type { Address, Stream, World } from "../../src/world/world.ts";
import { CLEAR, LOOKUPS } from "./envelopes.ts";
import { PORT, simulated, start, withNetwork } from "./hosts.ts";

describe("gossip host: options", () => {
  const refusals: [string, Partial<GossipConfig>, RegExp][] = [
    ["item 17: no label off loopback", { label: "" }, /needs a label/],
    ["a label over 255 bytes", { label: "x".repeat(256) }, /at most 255/],
    ["a wildcard without an address for others", { bind: { host: "0.0.0.0", port: PORT } }, /set gossip.advertise/],
    ["a name as the address for others", { advertise: { host: "a.example", port: PORT } }, /IPs, not a.example/],
    ["a seed without a port", { seeds: ["example.org"] }, /must look like host:port/],
    ["a seed with an impossible port", { seeds: ["example.org:70000"] }, /must look like host:port/],
    ["too many seeds", { seeds: Array.from({ length: 65 }, (_, i) => `10.0.0.${i}:1`) }, /at most 64/],
    ["an empty name", { name: "" }, /1 to 255/],
    ["a name of 256 bytes, though it has 128 characters,", { name: "é".repeat(128) }, /1 to 255/],
  ];
  for (const [what, change, sentence] of refusals)
    it(
      `${what} is refused with a sentence`,
      simulated(async (kernel) => {
        await expect(start(kernel, "a", [], change)).rejects.toThrow(sentence);
      }),
    );

  it(
    "64 seeds are of use, and of remembered addresses those that are addresses",
    simulated(async (kernel) => {
      const { host } = kernel.makeWorld({ name: "old", region: "eu" });
      const seeds = Array.from({ length: 64 }, (_, i) => `10.9.0.${i}:1`);
      const remembered = ["junk", "old.example:7002", "dns://old:7002", `${host}:${PORT}`];
      const a = await start(kernel, "a", [], { seeds, remembered });
      await a.host.close();
      const { world, host: at } = kernel.makeWorld({ name: "b", region: "eu" });
      const tried = new Set<string>();
      const connect: World["network"]["connect"] = ({ host: to }, timeoutMs) => {
        tried.add(to);
        return world.network.connect({ host: to, port: PORT }, timeoutMs);
      };
      const bind = { host: at, port: PORT };
      const b = await startGossip({
        world: withNetwork(world, { connect }),
        config: {
          ...{ name: "b", bind, label: "s", profile: PROFILES.lan, seeds: [] },
          ...CLEAR,
          lookups: LOOKUPS,
          remembered,
        },
        meta: new Map(),
        onEvent: () => undefined,
      });
      await kernel.sleep(120_000);
      expect([[...tried], b.seedSources()]).toEqual([[host], []]);
      await b.close();
    }),
  );

  it(
    "a name of 255 bytes is a name",
    simulated(async (kernel) => {
      const name = `${"é".repeat(127)}x`;
      const a = await start(kernel, "a", [], { name });
      expect(a.host.self.name).toBe(name);
      await a.host.close();
    }),
  );

  it(
    "a port that is taken is refused, port 0 takes one that is free on UDP and TCP, and a close frees both",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const { world } = a.node;
      const config = {
        name: "x",
        bind: { host: a.node.host, port: PORT },
        label: "s",
        profile: PROFILES.lan,
        seeds: [],
        ...CLEAR,
        lookups: LOOKUPS,
      } as const;
      const again = (port: number, meta = new Map<string, string>()): Promise<GossipHost> =>
        startGossip({
          world,
          config: { ...config, bind: { host: a.node.host, port } },
          meta,
          onEvent: () => undefined,
        });
      await expect(again(PORT)).rejects.toThrow();
      const free = await again(0);
      expect(free.local.port).toBeGreaterThan(0);
      await free.close();
      await a.host.close();
      await a.host.close();
      await expect(again(PORT, new Map([["tag", "x".repeat(600)]]))).rejects.toThrow(/512/);
      await (await again(PORT)).close();
    }),
  );

  it(
    "a port that TCP has not free is given back on UDP; another is tried only where any will do, ten times at most",
    simulated(async (kernel) => {
      const { world, host } = kernel.makeWorld({ name: "a", region: "eu" });
      let [tries, taken] = [0, Number.POSITIVE_INFINITY];
      const open = new Set<number>();
      const network: World["network"] = Object.create(world.network, {
        bindDatagrams: {
          value: async (at: Address, onPacket: (bytes: Uint8Array, from: Address) => void) => {
            const socket = await world.network.bindDatagrams(at, onPacket);
            const { port } = socket.local;
            open.add(port);
            return Object.create(socket, {
              local: { value: socket.local },
              close: { value: () => open.delete(port) && socket.close() },
              send: { value: () => undefined },
            });
          },
        },
        listen: {
          value: (at: Address, onStream: (stream: Stream) => void) => {
            tries += 1;
            return tries <= taken ? Promise.reject(new Error("in use")) : world.network.listen(at, onStream);
          },
        },
      });
      const startAt = (port: number): Promise<GossipHost> => {
        tries = 0;
        const bind = { host, port };
        const config = { name: "a", bind, label: "s", profile: PROFILES.lan, seeds: [], ...CLEAR, lookups: LOOKUPS };
        return startGossip({ world: { ...world, network }, config, meta: new Map(), onEvent: () => undefined });
      };
      await expect(startAt(0)).rejects.toThrow("in use");
      expect([tries, open.size]).toEqual([10, 0]);
      await expect(startAt(PORT)).rejects.toThrow("in use");
      expect([tries, open.size]).toEqual([1, 0]);
      taken = 9;
      const a = await startAt(0);
      expect([tries, [...open]]).toEqual([10, [a.local.port]]);
      await a.close();
      expect(open.size).toBe(0);
    }),
  );

  it(
    "a host that throws when it is told something is told so, and the member lives on",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const thrower = kernel.makeWorld({ name: "b", region: "eu" });
      let thrown = 0;
      const b = await startGossip({
        world: thrower.world,
        config: {
          name: "b",
          bind: { host: thrower.host, port: PORT },
          label: "shop",
          profile: PROFILES.lan,
          seeds: [],
          ...CLEAR,
          lookups: LOOKUPS,
        },
        meta: new Map(),
        onEvent: () => {
          thrown += 1;
          if (thrown === 1) throw new Error("not my day");
        },
      });
      expect(() => b.updateMeta(new Map([["a", "b"]]))).toThrow("not my day");
      expect([thrown, b.self.meta.get("a")]).toEqual([1, "b"]);
      b.updateMeta(new Map([["a", "c"]]));
      expect([thrown, b.self.meta.get("a")]).toEqual([2, "c"]);
      await b.close();
      await a.host.close();
    }),
  );
});
