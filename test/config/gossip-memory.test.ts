import { describe, expect, it } from "vitest";
import { PROFILES } from "../../gossip/index.ts";
import { GossipMemory } from "../../src/gossip-memory.ts";
import { CLEAR, keyOf } from "../gossip/envelopes.ts";
import { makeTestWorld } from "../http/test-world.ts";

const [K1, K2, K3] = [keyOf(1), keyOf(2), keyOf(3)];
const bind = { host: "127.0.0.1", port: 1 };

function memory(keys: readonly Uint8Array[], remembered = new Map<string, string>()) {
  const test = makeTestWorld();
  let saves = 0;
  const notebook = {
    remembered,
    remember: async (name: string, value: string) => {
      saves += 1;
      remembered.set(name, value);
      return true;
    },
  };
  const gossip = {
    bind,
    advertise: bind,
    advertiseTo: new Map(),
    profile: PROFILES.lan,
    label: "",
    ...CLEAR,
    keys,
  } as const;
  return {
    memory: new GossipMemory(notebook, test.world, gossip),
    remembered,
    advance: test.advance,
    saves: () => saves,
  };
}

describe("what gossip knows over a restart", () => {
  it("keys: those that members made of the configured ones; an edited configuration comes first, theirs still read", () => {
    const first = memory([K1]);
    expect(first.memory.keys()).toEqual([K1]);
    first.memory.keysChanged([K2, K1]);
    expect(memory([K1], first.remembered).memory.keys()).toEqual([K2, K1]);
    expect(memory([K3], first.remembered).memory.keys()).toEqual([K3, K2, K1]);
    expect(memory([], first.remembered).memory.keys()).toEqual([]);
    const eight = [11, 12, 13, 14, 15, 16, 17, 18].map(keyOf);
    expect(memory(eight, first.remembered).memory.keys()).toEqual(eight);
    expect(memory([K1], new Map([["gossip.keys", "nonsense"]])).memory.keys()).toEqual([K1]);
  });

  it("addresses: a burst of changes is one save, and an empty pool doesn't make it forget", () => {
    const { memory: mine, remembered, advance, saves } = memory([]);
    expect(mine.addresses()).toEqual([]);
    for (let i = 0; i < 10; i++) mine.membersChanged(() => ["10.0.0.2:7946", "10.0.0.3:7946"]);
    advance(5_000);
    expect(saves()).toBe(1);
    mine.membersChanged(() => ["10.0.0.2:7946", "10.0.0.3:7946"]);
    advance(5_000);
    mine.membersChanged(() => []);
    advance(5_000);
    expect(saves()).toBe(1);
    expect(memory([], remembered).memory.addresses()).toEqual(["10.0.0.2:7946", "10.0.0.3:7946"]);
    mine.membersChanged(() => Array.from({ length: 100 }, (_, i) => `10.0.1.${i}:7946`));
    mine.stop();
    advance(10_000);
    expect(saves()).toBe(1);
  });
});
