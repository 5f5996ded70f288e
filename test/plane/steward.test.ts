import { expect, it } from "vitest";
import { NO_FIGURES, type RaftStatus } from "../../src/consensus/driver/status.ts";
import { encodeCommand } from "../../src/control/codec.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import { present } from "../../src/kernel/assert.ts";
import type { Wish } from "../../src/plane/api.ts";
import { commandOf } from "../../src/plane/command-of.ts";
import { foundingOf } from "../../src/plane/founding.ts";
import { Steward } from "../../src/plane/steward.ts";
import { MemoryRaftStore } from "../../src/storage/memory-raft.ts";
import { HostileWorld } from "../fuzz/hostile-world.ts";

const BY = { by: "test", reason: null, ifVersion: null } as const;
const REGION = "r".repeat(32);
const ids = ["a", "b", "c", "d"].map((letter) => letter.repeat(32));
const [A = "", B = "", C = "", D = ""] = ids;

it("names and zones at their longest make no reason that a command can't have: that would stop each leader in turn", async () => {
  const hostile = new HostileWorld(new MemoryRaftStore());
  const { world } = hostile;
  const machine = new ControlMachine(world.sha256);
  const zoneOf = (id: string): string => (id === D ? "'" : '"').repeat(32);
  const founders = ids.map((id) => ({ id, region: REGION, zone: zoneOf(id), peer: null }));
  const cluster = { id: "c-1", name: "test", salt: new Uint8Array(16) };
  const founding = { instance: "0".repeat(32), partitionBits: 6, atMs: 0 };
  machine.restore(foundingOf({ cluster, self: A }, founders, founding, world.sha256));
  const agree = (wish: Wish): void => {
    const version = present(machine.state, "it was founded").version;
    const bytes = encodeCommand(commandOf({ ...wish, by: "test" }, version, world));
    expect(machine.apply({ index: version + 1, bytes })).toMatchObject({ ok: true });
  };
  const known = { addresses: { client: null, gossip: null, peer: null }, protocol: { min: 1, max: 1 }, weight: 100 };
  for (const [i, member] of [B, C, D].entries())
    agree({ kind: "update-member", member, instance: `${i + 1}`.repeat(32), zone: zoneOf(member), ...known, ...BY });
  const learner = [B, C].find((id) => machine.state?.members.get(id)?.role === "learner") ?? "";
  agree({ kind: "promote", member: learner, to: "voter", instead: D, ...BY });
  agree({ kind: "promote", member: D, to: "learner", instead: null, ...BY });

  const wishes: Wish[] = [];
  const status: RaftStatus = {
    state: "running",
    reason: null,
    instance: "0".repeat(32),
    node: A,
    role: "leader",
    term: 1,
    leader: A,
    voters: [A, B, C],
    outgoingVoters: [],
    learners: [D],
    indexes: { last: 9, committed: 9, applied: 9, first: 1 },
    followers: [B, C, D].map((node) => ({
      node,
      isLearner: node === D,
      state: "replicate",
      match: 9,
      lagEntries: 0,
      isActive: true,
    })),
    figures: { ...NO_FIGURES, messagesReceived: 0, messagesRefused: 0 },
  };
  const steward = new Steward(world, {
    status: () => status,
    state: () => machine.state,
    hearsayOf: () => ({ isAlive: true, sinceMs: 0 }),
    propose: async (wish) => void wishes.push(wish),
    changeGroup: async () => {},
    transfer: () => {},
  });
  steward.start();
  for (let i = 0; i < 3; i++) {
    await hostile.pass(1_000);
    for (const id of [B, C, D]) steward.heard(id);
  }
  steward.stop();
  expect(wishes[0]).toMatchObject({ kind: "promote", member: D });
  expect(steward.advice?.length).toBeGreaterThan(256);
  for (const wish of wishes) expect(commandOf(wish, 0, world).kind).toBe("promote");
});
