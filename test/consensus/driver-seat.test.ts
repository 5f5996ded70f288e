import { describe, expect, it } from "vitest";
import type { LogInHand } from "../../src/consensus/driver/host.ts";
import { OutcomeUnknown } from "../../src/consensus/driver/refusal.ts";
import { encodeMessage } from "../../src/consensus/driver/wire.ts";
import { InputError, present } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { RaftImage } from "../../src/storage/memory-raft.ts";
import { readRecords } from "../../src/storage/raft-records.ts";
import { INSTANCE, type Member, type MemberOptions } from "./members.ts";
import { NAMES, type SimGroup, watch, withGroup } from "./sim-group.ts";

const OTHER = "fedcba9876543210".repeat(2);
const NOT_RUNNING = { name: "RaftRefusal", slug: "raft-not-running" };
const WHY = "the cluster knows this member with another log";

function imageOf(group: SimGroup, name: string): RaftImage {
  const image = group.nodes.get(name)?.disk.raftImage("/data");
  if (!image) throw new Error(`${name} has a log`);
  return image;
}

const loadOf = (group: SimGroup, name: string) => readRecords(imageOf(group, name)).load;

/** Whether a member may take part, as a test decides; and what it was asked. */
interface Gate {
  answer: true | string;
  readonly asked: LogInHand[];
  readonly option: (log: LogInHand) => true | string;
}

function gate(): Gate {
  const made: Gate = {
    answer: true,
    asked: [],
    option: (log) => {
      made.asked.push(log);
      return made.answer;
    },
  };
  return made;
}

/** Starts them with a log each. */
async function foundedWith(group: SimGroup, more: Record<string, Partial<MemberOptions>>): Promise<void> {
  for (const name of NAMES)
    await (await group.start(name, more[name] ?? {})).host.found(NAMES, utf8("first"), INSTANCE);
}

async function expectNoPart({ host, ledger }: Member): Promise<void> {
  const { words } = ledger;
  const before = [...words];
  await expect(host.propose(utf8("x"), 100)).rejects.toMatchObject(NOT_RUNNING);
  await expect(host.read(100)).rejects.toMatchObject(NOT_RUNNING);
  await expect(host.snapshot()).rejects.toMatchObject(NOT_RUNNING);
  expect(() => host.transfer("n1")).toThrow(InputError);
  const beat = { type: "heartbeat", from: "n1", to: host.node, term: 99, committed: 0, read: 0 } as const;
  expect(() => host.receive("n1", encodeMessage(beat))).toThrow(expect.objectContaining(NOT_RUNNING));
  expect(ledger.words).toEqual(before);
  expect(host.status()).toMatchObject({ role: "follower", term: 0, leader: null, voters: [] });
}

/** A follower of three whose directory is an older copy; the same leader goes on. */
async function withOldCopy(
  run: (group: SimGroup, leader: string, other: string) => Promise<void>,
  settings: Parameters<typeof withGroup>[2] = {},
): Promise<void> {
  await withGroup(
    async (group) => {
      await group.found();
      const leader = await group.elected();
      const other = NAMES.find((name) => name !== leader) ?? "";
      await group.say(leader, "before the copy");
      await group.level();
      const copy = imageOf(group, other);
      for (let i = 0; i < 5; i++) await group.say(leader, `after it ${i}`);
      await group.level();
      group.crash(other);
      group.nodes.get(other)?.disk.restoreRaft("/data", copy);
      await run(group, leader, other);
    },
    1,
    settings,
  );
}

describe("a log that has gone back", () => {
  it("is found out by the next heartbeat, given up for good, and ends the seat, not the node; the others go on", async () => {
    await withOldCopy(async (group, leader, other) => {
      const member = await group.start(other);
      expect(member.host.status().state).toBe("running");
      await group.kernel.until(() => member.host.status().state === "damaged", 1_000);
      expect(member.host.status()).toMatchObject({
        reason: expect.stringMatching(/ends at entry 3, and its leader knows that it had entry 8: an older copy/),
        instance: null,
      });
      await expectNoPart(member);
      await expect(member.host.found(NAMES, utf8(""), INSTANCE)).rejects.toThrow(/damaged/);
      await group.say(leader, "without it");
      expect(group.leader()).toBe(leader);
      expect(loadOf(group, other)).toMatchObject({ kind: "damaged", reason: expect.stringMatching(/older copy/) });
      group.crash(other);
      const again = await group.start(other);
      expect(again.host.status()).toMatchObject({ state: "damaged", reason: expect.stringMatching(/entry 8/) });
      await group.kernel.sleep(3_000);
      await group.say(leader, "still");
      expect([member.failures, again.failures, group.at(leader).failures]).toEqual([[], [], []]);
      expect(again.ledger.words).toEqual([]);
    });
  });

  it("tells whoever waits at it, and is given up when there is room", async () => {
    await withOldCopy(async (group, leader, other) => {
      const member = await group.start(other);
      const { disk } = group.nodes.get(other) ?? {};
      if (!disk) throw new Error("it has a disk");
      disk.isFull = true;
      await group.kernel.until(() => member.host.status().state === "damaged", 1_000);
      await group.kernel.sleep(2_500);
      expect(loadOf(group, other)).toMatchObject({ kind: "whole" });
      await expectNoPart(member);
      disk.isFull = false;
      await group.kernel.until(() => loadOf(group, other).kind === "damaged", 1_500);
      expect(member.failures).toEqual([]);
      expect(group.at(leader).failures).toEqual([]);
      await group.kernel.sleep(2_500);
      expect(loadOf(group, other)).toMatchObject({ kind: "damaged" });
    });
  });

  it("is begun anew, also while it is being given up", async () => {
    await withOldCopy(async (group, _, other) => {
      const member = await group.start(other, { mayTakePart: ({ isEmpty }) => (isEmpty ? WHY : true) });
      await group.kernel.until(() => member.host.status().state === "damaged", 1_000);
      await member.host.renew(OTHER);
      expect(member.host.status()).toMatchObject({ state: "aside", instance: OTHER, reason: WHY });
      expect(loadOf(group, other)).toMatchObject({ kind: "whole", identity: { instance: OTHER }, life: 2 });
    });
  });
});

describe("a member whose log may not take part", () => {
  it("is aside: it says and takes nothing, and restores nothing, until it may", async () => {
    await withGroup(
      async (group) => {
        await foundedWith(group, {});
        const leader = await group.elected();
        const other = NAMES.find((name) => name !== leader) ?? "";
        for (let i = 0; i < 9; i++) await group.say(leader, `word ${i}`);
        await group.level();
        group.crash(other);
        const sent: string[] = [];
        const rule = gate();
        rule.answer = WHY;
        const onSend = ({ type }: { type: string }): void => void sent.push(type);
        const member = await group.start(other, { mayTakePart: rule.option, onSend });
        await group.kernel.sleep(4_000);
        expect(rule.asked).toEqual([{ instance: INSTANCE, isEmpty: false }]);
        expect(member.host.status()).toMatchObject({ state: "aside", reason: WHY, instance: INSTANCE });
        expect(member.ledger.words).toEqual([]);
        expect(sent).toEqual([]);
        expect(member.host.status().figures.messagesRefused).toBeGreaterThan(0);
        await expectNoPart(member);
        await expect(member.host.found(NAMES, utf8(""), OTHER)).rejects.toMatchObject({ slug: "raft-exists" });
        rule.answer = "another reason";
        await member.host.reconsider();
        expect(member.host.status()).toMatchObject({ state: "aside", reason: "another reason" });
        expect(member.ledger.words).toEqual([]);
        rule.answer = true;
        await member.host.reconsider();
        expect(member.host.status()).toMatchObject({ state: "running", reason: null, instance: INSTANCE });
        await group.level();
        expect(member.ledger.words).toHaveLength(10);
        await group.say(other, "here again");
      },
      1,
      { compactEntries: 5 },
    );
  });

  it("ends its part in the midst of it, when what it writes is written, and begins another life when it may again", async () => {
    await withGroup(async (group) => {
      const rules = new Map(NAMES.map((name) => [name, gate()]));
      await foundedWith(
        group,
        Object.fromEntries([...rules].map(([name, { option }]) => [name, { mayTakePart: option }])),
      );
      const leader = await group.elected();
      const rule = present(rules.get(leader), "there is one for each");
      const member = group.at(leader);
      await member.host.reconsider();
      expect(member.host.status().role).toBe("leader");
      for (const node of group.nodes.values()) node.disk.slowness = 20;
      const word = watch(member.host.propose(utf8("in hand"), 60_000));
      const read = watch(member.host.read(60_000));
      const life = loadOf(group, leader);
      rule.answer = WHY;
      const laidAside = member.host.reconsider();
      expect(member.host.status()).toMatchObject({ state: "aside", reason: WHY, instance: INSTANCE });
      await expectNoPart(member);
      await laidAside;
      expect(word.error).toBeInstanceOf(OutcomeUnknown);
      expect(read.error).toMatchObject(NOT_RUNNING);
      expect(rule.asked.at(-1)).toEqual({ instance: INSTANCE, isEmpty: false });
      for (const node of group.nodes.values()) node.disk.slowness = 1;
      await group.kernel.until(() => ![null, leader].includes(group.leader()), 10_000);
      await group.say(group.leader() ?? "", "without it");
      expect(member.ledger.words).not.toContain("without it");
      rule.answer = true;
      await member.host.reconsider();
      await group.level();
      expect(member.ledger.words).toContain("without it");
      await group.say(leader, "with it");
      if (life.kind !== "whole") throw new Error("it was whole");
      expect(loadOf(group, leader)).toMatchObject({ kind: "whole", life: life.life + 1 });
      expect(member.failures).toEqual([]);
    });
  });

  it("asks again after a change of mind that came while it was being laid aside", async () => {
    await withGroup(async (group) => {
      const rule = gate();
      await foundedWith(group, { n1: { mayTakePart: rule.option } });
      await group.elected();
      rule.answer = WHY;
      const first = group.at("n1").host.reconsider();
      rule.answer = true;
      await group.at("n1").host.reconsider();
      await first;
      expect(group.at("n1").host.status().state).toBe("running");
      await group.level();
    });
  });
});

describe("a log that is begun anew", () => {
  it("is so from nothing, from one that is aside and from a damaged one; then it is asked whether it may take part", async () => {
    await withGroup(async (group) => {
      const rule = gate();
      rule.answer = WHY;
      const { host } = await group.start("n1", { mayTakePart: rule.option });
      expect(host.status()).toMatchObject({ state: "empty", instance: null });
      await host.renew(INSTANCE);
      expect(host.status()).toMatchObject({ state: "aside", instance: INSTANCE });
      await host.renew(OTHER);
      expect(host.status()).toMatchObject({ state: "aside", instance: OTHER });
      expect(rule.asked).toEqual([
        { instance: INSTANCE, isEmpty: true },
        { instance: OTHER, isEmpty: true },
      ]);
      await expect(host.renew("no instance")).rejects.toMatchObject({ slug: "bad-instance" });
      expect(host.status()).toMatchObject({ state: "aside", instance: OTHER });
      group.crash("n1");
      group.nodes.get("n1")?.disk.restoreRaft("/data", { ...imageOf(group, "n1"), state: null });
      const again = await group.start("n1");
      expect(again.host.status()).toMatchObject({ state: "damaged", instance: null });
      await again.host.renew(INSTANCE);
      expect(again.host.status()).toMatchObject({ state: "running", instance: INSTANCE, indexes: { last: 0 } });
      await expect(again.host.renew(OTHER)).rejects.toMatchObject({ name: "RaftRefusal", slug: "raft-running" });
      await again.stop();
      await expect(again.host.renew(OTHER)).rejects.toMatchObject(NOT_RUNNING);
      expect(loadOf(group, "n1")).toMatchObject({ kind: "whole", identity: { instance: INSTANCE } });
    });
  });

  it("or begun at all, waits for room: nothing has happened, and the same may be asked again", async () => {
    await withGroup(async (group) => {
      const rule = gate();
      rule.answer = WHY;
      const { host, failures } = await group.start("n1", { mayTakePart: rule.option });
      const { disk } = group.nodes.get("n1") ?? {};
      if (!disk) throw new Error("it has a disk");
      const noRoom = { name: "RaftRefusal", slug: "no-room", retryAfterMs: 1_000 };
      disk.isFull = true;
      await expect(host.found(["n1"], utf8("first"), INSTANCE)).rejects.toMatchObject(noRoom);
      await expect(host.join(INSTANCE)).rejects.toMatchObject(noRoom);
      await expect(host.renew(INSTANCE)).rejects.toMatchObject(noRoom);
      expect(host.status().state).toBe("empty");
      disk.isFull = false;
      await host.found(["n1"], utf8("first"), INSTANCE);
      disk.isFull = true;
      await expect(host.renew(OTHER)).rejects.toMatchObject(noRoom);
      expect(host.status()).toMatchObject({ state: "aside", instance: INSTANCE });
      rule.answer = true;
      disk.isFull = false;
      await host.reconsider();
      await group.kernel.until(() => host.status().role === "leader", 1_000);
      expect(failures).toEqual([]);
    });
  });

  it("is not taken for the one before by what was asked at the same time", async () => {
    await withGroup(async (group) => {
      const rule = gate();
      rule.answer = WHY;
      const { host } = await group.start("n1", { mayTakePart: rule.option });
      await host.found(["n1"], utf8("first"), INSTANCE);
      rule.answer = true;
      const renewed = host.renew(OTHER);
      await group.kernel.sleep(0.01);
      await host.reconsider();
      await renewed;
      expect(host.status()).toMatchObject({ state: "running", instance: OTHER, indexes: { last: 0 } });
      const [one, two] = await Promise.allSettled([host.renew(INSTANCE), host.join(INSTANCE)]);
      expect([one?.status, two?.status]).toEqual(["rejected", "rejected"]);
      await host.stop();
    });
  });
});
