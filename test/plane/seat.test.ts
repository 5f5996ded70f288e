import { describe, expect, it } from "vitest";
import { NO_FIGURES } from "../../src/consensus/driver/status.ts";
import { encodeState } from "../../src/control/codec.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import type { ControlState } from "../../src/control/state.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { foundingOf, foundingPlan } from "../../src/plane/founding.ts";
import { Keeper } from "../../src/plane/keeper.ts";
import type { Neighbour } from "../../src/plane/neighbours.ts";
import { Outside } from "../../src/plane/outside.ts";
import { Seat } from "../../src/plane/seat.ts";
import { MemoryRaftStore } from "../../src/storage/memory-raft.ts";
import { HostileWorld } from "../fuzz/hostile-world.ts";
import { testConfig } from "../http/harness.ts";

const MINE = "1".repeat(32);
const OTHER = "2".repeat(32);
const base = testConfig();
const cluster = { ...base.cluster, owners: [], start: { kind: "expect", count: 2 } } as const;
const config = { ...base, cluster };

function stateOf(hostile: HostileWorld, ids: readonly string[] = ["eu-1"]): ControlState {
  const machine = new ControlMachine(hostile.world.sha256);
  const founders = ids.map((id) => ({ id, region: "eu", zone: "", peer: null }));
  const founding = { instance: MINE, partitionBits: 6, atMs: 0 };
  machine.restore(foundingOf({ cluster, self: ids[0] ?? "" }, founders, founding, hostile.world.sha256));
  return machine.state as ControlState;
}

function neighbour(id: string, more: Partial<Neighbour> = {}): Neighbour {
  return { id, region: "eu", zone: "", isAlive: true, sinceMs: 0, state: null, leads: null, expects: 2, ...more };
}

interface Stage {
  readonly seat: Seat;
  readonly hostile: HostileWorld;
  readonly founded: string[];
  readonly renewed: string[];
  /** Ends the questions that are under way. */
  readonly answer: (text: string) => void;
  state: ControlState | null;
  instance: string | null;
  isKept: boolean;
}

function stage(): Stage {
  const hostile = new HostileWorld(new MemoryRaftStore());
  const asked: ((answer: Uint8Array) => void)[] = [];
  const one: Stage = {
    hostile,
    founded: [],
    renewed: [],
    answer: (text) => {
      for (const resolve of asked.splice(0)) resolve(utf8(text));
    },
    state: null,
    instance: null,
    isKept: true,
    seat: new Seat({
      host: () => ({
        status: () =>
          ({ state: one.instance === null ? "empty" : "aside", instance: one.instance, figures: NO_FIGURES }) as never,
        found: async (_, __, instance) => void one.founded.push(instance),
        renew: async (instance) => void one.renewed.push(instance),
        reconsider: async () => {},
      }),
      config,
      world: hostile.world,
      partitionBits: 6,
      state: () => one.state,
      neighbours: () => [neighbour("us-1")],
      addresses: () => ({ client: null, gossip: null, peer: null }),
      propose: async (wish) => {
        if (wish.kind === "update-member" && one.state)
          one.state = {
            ...one.state,
            members: new Map(
              [...one.state.members].map(([id, member]) => [id, { ...member, instance: wish.instance }]),
            ),
          };
        return { ok: true, version: 2 };
      },
      askToFound: () => new Promise((resolve) => asked.push(resolve)),
      keep: async () => one.isKept,
    }),
  };
  return one;
}

describe("who founds", () => {
  it("is let by nobody, and lets nobody, at the same time", async () => {
    const one = stage();
    const looking = one.seat.look();
    expect(one.seat.answerFound("ap-1")).toBe("other");
    one.answer("yes");
    await looking;
    expect(one.founded).toHaveLength(1);
  });

  it("founds nothing when it stood still until the promises were over", async () => {
    const one = stage();
    const looking = one.seat.look();
    one.hostile.nowMs += 6_000;
    one.answer("yes");
    await looking;
    expect(one.founded).toEqual([]);
    expect(one.seat.why).toMatch(/stood still/);
  });

  it("founds nothing after a promise to another, until that is over", async () => {
    const one = stage();
    expect(one.seat.answerFound("ap-1")).toBe("yes");
    expect(one.seat.answerFound("sa-1")).toBe("other");
    await one.seat.look();
    expect(one.seat.why).toMatch(/waiting for ap-1/);
    one.hostile.nowMs += 10_001;
    expect(one.seat.answerFound("sa-1")).toBe("yes");
  });

  it.each(["state", "other"])("founds nothing when one says %s", async (answer) => {
    const one = stage();
    const looking = one.seat.look();
    one.answer(answer);
    await looking;
    expect(one.founded).toEqual([]);
  });

  it("waits where gossip shows that there is a cluster", () => {
    const knowing = neighbour("us-1", { state: { incarnation: 1, version: 9, hash: "00000000" }, isAlive: false });
    expect(foundingPlan(config, [knowing])).toMatchObject({ kind: "wait", why: expect.stringMatching(/us-1 knows/) });
    expect(foundingPlan(config, [neighbour("us-1")])).toMatchObject({ kind: "found", needed: 1 });
    const alone = { ...config, cluster: { ...cluster, start: { kind: "alone" } as const } };
    expect(foundingPlan(alone, [knowing])).toMatchObject({ kind: "wait" });
  });
});

describe("a log takes part", () => {
  it("when the agreed state knows it as this node's, and has a role for it or it has entries", () => {
    const one = stage();
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: true })).toMatch(/no cluster/);
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: false })).toBe(true);
    one.state = stateOf(one.hostile);
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: true })).toBe(true);
    expect(one.seat.mayTakePart({ instance: OTHER, isEmpty: false })).toMatch(/isn't the one/);
    const [me] = one.state.members.values();
    one.state = { ...one.state, members: new Map([["eu-1", { ...(me as NonNullable<typeof me>), role: "none" }]]) };
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: true })).toMatch(/isn't needed/);
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: false })).toBe(true);
  });

  it("of a removed member no more after a start, and only that one until then", () => {
    const one = stage();
    one.state = stateOf(one.hostile, ["us-1"]);
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: false })).toMatch(/no member/);
    one.state = stateOf(one.hostile);
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: false })).toBe(true);
    one.state = stateOf(one.hostile, ["us-1"]);
    expect(one.seat.mayTakePart({ instance: MINE, isEmpty: false })).toBe(true);
    expect(one.seat.mayTakePart({ instance: OTHER, isEmpty: false })).toMatch(/no member/);
  });

  it("of another instance only after that was agreed and is kept for the next start", async () => {
    const one = stage();
    [one.state, one.instance, one.isKept] = [stateOf(one.hostile), OTHER, false];
    await one.seat.look();
    expect(one.renewed).toEqual([]);
    await one.seat.look();
    expect(one.renewed).toEqual([]);
    one.isKept = true;
    await one.seat.look();
    expect(one.renewed).toHaveLength(1);
    expect(one.renewed[0]).toMatch(/^[0-9a-f]{32}$/);
    expect(one.renewed[0]).not.toBe(OTHER);
  });
});

describe("what another node answers", () => {
  const outside = (answer: Uint8Array): Outside => {
    const hostile = new HostileWorld(new MemoryRaftStore());
    const never = (): never => {
      throw new Error("nobody asks for that here");
    };
    return new Outside({
      self: "eu-1",
      world: hostile.world,
      neighbours: () => [neighbour("us-1", { state: { incarnation: 1, version: 1, hash: "00000000" } })],
      state: () => null,
      tag: () => null,
      stateBytes: () => null,
      adopt: (bytes) => void new ControlMachine(hostile.world.sha256).adopt(bytes),
      ask: async () => answer,
      hasSeat: () => false,
      propose: never,
      read: never,
      mayFound: never,
      isInGroup: never,
    });
  };

  it("and this version can't read, leaves open what became of a proposal, and is no failure of this node", async () => {
    const later = utf8('{"kind":"applied","result":{"ok":false,"slug":"of-later","status":409,"message":"no"}}');
    await expect(outside(later).propose(utf8("x"), 100)).rejects.toMatchObject({ name: "OutcomeUnknown" });
  });

  it("and is no state, is a read that failed and can be tried again", async () => {
    await expect(outside(utf8("nonsense")).read(100)).rejects.toMatchObject({ name: "RaftRefusal", slug: "no-leader" });
    await expect(outside(utf8("perhaps")).isLetGo(100)).rejects.toMatchObject({ name: "RaftRefusal" });
  });
});

describe("the state that is kept", () => {
  it("is shown again after a start, and what can't be read is as if nothing were there", () => {
    const hostile = new HostileWorld(new MemoryRaftStore());
    const bytes = encodeState(stateOf(hostile));
    const kept = (value: string): (Uint8Array | null)[] => {
      const found: Uint8Array[] = [];
      const notebook = { remembered: new Map([["control.state", value]]), remember: async () => true };
      new Keeper(notebook, hostile.world).restore((restored) => {
        new ControlMachine(hostile.world.sha256).adopt(restored);
        found.push(restored);
      });
      return found;
    };
    expect(kept(Buffer.from(bytes).toString("base64"))).toHaveLength(1);
    expect(kept("***")).toEqual([]);
    expect(kept(Buffer.from("{}").toString("base64"))).toEqual([]);
  });
});
