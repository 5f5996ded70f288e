import { describe, expect, it } from "vitest";
import { OutcomeUnknown, RaftRefusal } from "../../src/consensus/driver/refusal.ts";
import { RAFT_SETTINGS } from "../../src/consensus/driver/settings.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { EVERYONE } from "../sim/links.ts";
import { INSTANCE } from "./members.ts";
import { NAMES, SimGroup, watch, withGroup } from "./sim-group.ts";

describe("a group of three members", () => {
  it("elects a leader, and applies what any of them proposes at all of them", async () => {
    await withGroup(async (group) => {
      await group.found();
      await group.elected();
      for (const name of NAMES) await group.say(name, `from ${name}`);
      await group.level();
      for (const { ledger } of group.running())
        expect(ledger.words).toEqual(["first", "from n1", "from n2", "from n3"]);
      const leader = group.at(group.leader() ?? "").host.status();
      expect(leader.followers.map(({ state, lagEntries }) => [state, lagEntries])).toEqual([
        ["replicate", 0],
        ["replicate", 0],
      ]);
      expect(leader.figures.proposalMs.count).toBe(1);
    });
  });

  it("tells each proposer the place of its own entry", async () => {
    await withGroup(async (group) => {
      await group.found();
      await group.elected();
      const asked = NAMES.flatMap((name) =>
        Array.from({ length: 20 }, async (_, i) => {
          const { result } = await group.at(name).host.propose(utf8(`${name}.${i}`), 4_000);
          expect(group.at(name).ledger.words[result - 1]).toBe(`${name}.${i}`);
        }),
      );
      await Promise.all(asked);
      await group.level();
      expect(new Set(group.at("n1").ledger.words).size).toBe(61);
    });
  });

  it("goes on when its leader is gone, and the old one comes back as a follower with everything", async () => {
    await withGroup(async (group) => {
      await group.found();
      const first = await group.elected();
      await group.say(first, "before");
      group.crash(first);
      const second = await group.elected();
      expect(second).not.toBe(first);
      await group.say(second, "while it was away");
      await group.start(first);
      await group.level();
      expect(group.at(first).ledger.words).toEqual(["first", "before", "while it was away"]);
    });
  });

  it("need not wait for a leader whose process ended: its links broke", async () => {
    await withGroup(async (group) => {
      await group.found();
      const first = await group.elected();
      await group.kernel.sleep(3_000);
      group.crash(first);
      const { nowMs } = group.kernel;
      expect(await group.elected()).not.toBe(first);
      // Whoever only hears nothing waits for ten ticks at least.
      expect(group.kernel.nowMs - nowMs).toBeLessThan(RAFT_SETTINGS.tickMs * RAFT_SETTINGS.electionTicks);
    });
  });

  it("starts again from its disks alone", async () => {
    await withGroup(
      async (group) => {
        await group.found();
        const leader = await group.elected();
        for (let i = 0; i < 30; i++) await group.say(leader, `word ${i}`);
        for (const name of NAMES) group.crash(name);
        for (const name of NAMES) await group.start(name);
        await group.elected();
        await group.say("n1", "after");
        await group.level();
        for (const { ledger } of group.running()) expect(ledger.words).toHaveLength(32);
      },
      3,
      { compactEntries: 8 },
    );
  });

  it("replaces its log by the state, and who was away gets that", async () => {
    await withGroup(
      async (group) => {
        await group.found();
        await group.elected();
        group.crash("n3");
        await group.elected();
        for (let i = 0; i < 60; i++) await group.say("n1", `word ${i}`);
        expect(group.at("n1").host.status().indexes.first).toBeGreaterThan(40);
        expect(group.at("n1").host.status().figures.snapshotsTaken).toBeGreaterThan(3);
        const back = await group.start("n3");
        await group.level();
        expect(back.ledger.words).toEqual(group.at("n1").ledger.words);
        expect(back.host.status().figures.snapshotsRestored).toBe(1);
      },
      4,
      { compactEntries: 10 },
    );
  });

  it("replaces it at once when asked; whoever asks meanwhile gets the same, and one that says nothing new stays", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      for (let i = 0; i < 5; i++) await group.say(leader, `word ${i}`);
      const { host } = group.at(leader);
      const { applied } = host.status().indexes;
      const taken = await Promise.all([host.snapshot(), host.snapshot()]);
      expect(taken).toMatchObject([
        { index: applied, isNew: true },
        { index: applied, isNew: true },
      ]);
      expect(host.status()).toMatchObject({ indexes: { first: applied + 1 }, figures: { snapshotsTaken: 1 } });
      expect(await host.snapshot()).toEqual({ ...taken[0], isNew: false });
      expect(host.status().figures.snapshotsTaken).toBe(1);
      group.crash(leader);
      await group.start(leader);
      await group.level();
      expect(group.at(leader).ledger.words).toHaveLength(6);
      await group.at(leader).stop();
      await expect(group.at(leader).host.snapshot()).rejects.toMatchObject({ slug: "raft-not-running" });
    });
  });

  it("refuses to save a state that is too large, and keeps the log", async () => {
    await withGroup(
      async (group) => {
        await group.found();
        const leader = await group.elected();
        await group.say(leader, "a word");
        const { host } = group.at(leader);
        await expect(host.snapshot()).rejects.toMatchObject({ slug: "snapshot-too-large", retryAfterMs: null });
        expect(host.status().indexes.first).toBeLessThan(host.status().indexes.applied);
      },
      6,
      { snapshotBytesMax: 3 },
    );
  });

  it("takes a new member: a learner first, then a voter", async () => {
    const group = new SimGroup(5, [...NAMES, "n4"]);
    await group.run(async () => {
      await group.found(NAMES);
      const leader = await group.elected();
      await group.say(leader, "old news");
      const joining = await group.start("n4");
      await joining.host.join(INSTANCE);
      const { host } = group.at(leader);
      const { result } = await host.changeGroup(
        { transition: "auto", changes: [{ kind: "learner", id: "n4" }] },
        4_000,
        utf8("n4 listens"),
      );
      expect(result).toBe(3);
      await group.level();
      expect(host.status().learners).toEqual(["n4"]);
      await host.changeGroup({ transition: "auto", changes: [{ kind: "voter", id: "n4" }] }, 4_000);
      await group.level();
      expect(joining.host.status().voters).toEqual(["n1", "n2", "n3", "n4"]);
      expect(joining.ledger.words).toEqual(["first", "old news", "n4 listens"]);
      expect(joining.ledger.changes).toBe(2);
    });
  });

  it("hands leadership over when asked", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const heir = NAMES.find((name) => name !== leader) ?? "";
      const seen: (string | null)[] = [];
      group.at(heir).host.onLeader((id) => seen.push(id));
      group.at(leader).host.transfer(heir);
      // Listeners hear of it at the end of the turn in which it happened.
      await group.kernel.until(() => group.leader() === heir && seen.at(-1) === heir, 2_000);
      expect(() => group.at(heir).host.transfer("n9")).toThrow(/no voter/);
    });
  });
});

describe("a proposal", () => {
  it("that no quorum can take comes to an unknown outcome, and may still be applied later", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      await group.say(leader, "before");
      for (const name of NAMES) if (name !== leader) group.kernel.cut(leader, name);
      const seen = watch(group.at(leader).host.propose(utf8("lost or found"), 500));
      await group.kernel.until(() => seen.done, 1_000);
      expect(seen.error).toBeInstanceOf(OutcomeUnknown);
      expect(String(seen.error)).toMatch(/may have been elsewhere, or may yet be/);
      group.kernel.heal();
      await group.level();
      for (const { ledger } of group.running()) expect(ledger.words.slice(0, 2)).toEqual(["first", "before"]);
      expect(group.at(leader).host.status().figures.proposalsUnknown).toBe(1);
    });
  });

  it("at a member that knows no leader is refused at once, with when to come back", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const other = NAMES.find((name) => name !== leader) ?? "";
      group.kernel.cut(other, EVERYONE);
      await group.kernel.until(() => group.at(other).host.status().leader === null, 5_000);
      const refused = await group
        .at(other)
        .host.propose(utf8("x"), 1_000)
        .catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(RaftRefusal);
      expect(refused).toMatchObject({ slug: "no-leader", retryAfterMs: 1_000 });
      await expect(group.at(other).host.read(1_000)).rejects.toMatchObject({ slug: "no-leader" });
      expect(() => group.at(other).host.transfer(leader)).toThrow(/no leader/);
    });
  });

  it("too large, or one too many, is refused; nothing of it happens", async () => {
    await withGroup(
      async (group) => {
        await group.found();
        const leader = await group.elected();
        const { host } = group.at(leader);
        await expect(host.propose(new Uint8Array(101), 1_000)).rejects.toMatchObject({
          slug: "too-large",
          retryAfterMs: null,
        });
        const some = Array.from({ length: 7 }, (_, i) => host.propose(utf8(`w${i}`), 1_000));
        const settled = await Promise.allSettled(some);
        expect(settled.map(({ status }) => status)).toEqual([...Array(5).fill("fulfilled"), "rejected", "rejected"]);
        expect(settled[5]).toMatchObject({ reason: { slug: "too-many-in-flight" } });
        await host.propose(new Uint8Array(100).fill(65), 1_000);
        expect(group.at(leader).ledger.words).toHaveLength(7);
      },
      2,
      { proposalBytesMax: 100, inFlightMax: 5 },
    );
  });

  it("made in the middle of another's application is taken like any", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const { host, ledger } = group.at(leader);
      let second: Promise<unknown> | undefined;
      ledger.onApply = (word) => {
        if (word === "one") second = host.propose(utf8("two"), 1_000);
      };
      await host.propose(utf8("one"), 1_000);
      await second;
      expect(ledger.words).toEqual(["first", "one", "two"]);
    });
  });

  it("that a change of the group refuses comes to that refusal at the leader", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const nobody = { transition: "auto", changes: NAMES.map((id) => ({ kind: "remove", id }) as const) } as const;
      await expect(group.at(leader).host.changeGroup(nobody, 1_000)).rejects.toMatchObject({
        name: "RaftRefusal",
        slug: "bad-group-change",
        retryAfterMs: null,
      });
    });
  });

  it("made with many others in one turn goes to the disk and to each follower with them", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      await group.level();
      const figures = () => NAMES.map((name) => group.at(name).host.status().figures);
      const before = figures();
      const { host } = group.at(leader);
      await Promise.all(Array.from({ length: 50 }, (_, i) => host.propose(utf8(`word ${i}`), 4_000)));
      await group.level();
      for (const [i, { saveMs, messagesReceived }] of figures().entries()) {
        expect(saveMs.count - (before[i]?.saveMs.count ?? 0)).toBe(1);
        // Beside heartbeats, of which there are few in so short a time.
        expect(messagesReceived - (before[i]?.messagesReceived ?? 0)).toBeLessThan(20);
      }
    });
  });

  it("still waited for when the node stops is told so", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      for (const name of NAMES) if (name !== leader) group.crash(name);
      const member = group.at(leader);
      const seen = watch(member.host.propose(utf8("x"), 60_000));
      await group.kernel.sleep(100);
      await member.stop();
      expect(seen.error).toBeInstanceOf(OutcomeUnknown);
      await expect(member.host.propose(utf8("y"), 1_000)).rejects.toMatchObject({ slug: "raft-not-running" });
    });
  });
});

describe("a linearizable read", () => {
  it("is as new as what anybody had heard acknowledged, at whichever member it is asked", async () => {
    await withGroup(async (group) => {
      await group.found();
      await group.elected();
      for (let i = 0; i < 10; i++) {
        const at = await group.say(NAMES[i % 3] ?? "", `word ${i}`);
        const other = group.at(NAMES[(i + 1) % 3] ?? "");
        const index = await other.host.read(2_000);
        expect(index).toBeGreaterThanOrEqual(at);
        expect(other.ledger.words).toContain(`word ${i}`);
      }
    });
  });

  it("isn't answered by a leader that is cut off, and is by the others", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      group.kernel.cut(leader, EVERYONE);
      const seen = watch(group.at(leader).host.read(700));
      await group.kernel.until(() => seen.done, 1_000);
      expect(seen.error).toMatchObject({ slug: "no-leader" });
      await group.kernel.until(() => ![null, leader].includes(group.leader()), 10_000);
      const next = group.leader() ?? "";
      const at = await group.say(next, "news");
      const third = NAMES.find((name) => name !== next && name !== leader) ?? "";
      expect(await group.at(third).host.read(3_000)).toBeGreaterThanOrEqual(at);
    });
  });

  it("goes on with the next leader when the one that was asked is gone", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const other = NAMES.find((name) => name !== leader) ?? "";
      await group.kernel.sleep(500);
      group.crash(leader);
      const seen = watch(group.at(other).host.read(10_000));
      await group.kernel.until(() => seen.done, 10_000);
      expect(seen.error).toBeUndefined();
    });
  });
});
