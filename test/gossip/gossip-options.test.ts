import { describe, expect, it } from "vitest";
import { type GossipConfig, type GossipHost, startGossip } from "../../gossip/drivers/gossip-host.ts";
import { PROFILES } from "../../gossip/index.ts";
import { CLEAR, LOOKUPS } from "./envelopes.ts";
import { PORT, simulated, start } from "./hosts.ts";

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
  ];
  for (const [what, change, sentence] of refusals)
    it(
      `${what} is refused with a sentence`,
      simulated(async (kernel) => {
        await expect(start(kernel, "a", [], change)).rejects.toThrow(sentence);
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
      const again = (port: number): Promise<GossipHost> =>
        startGossip({
          world,
          config: { ...config, bind: { host: a.node.host, port } },
          meta: new Map(),
          onEvent: () => undefined,
        });
      await expect(again(PORT)).rejects.toThrow();
      const free = await again(0);
      expect(free.local.port).toBeGreaterThan(0);
      await free.close();
      await a.host.close();
      await a.host.close();
      await (await again(PORT)).close();
    }),
  );
});
