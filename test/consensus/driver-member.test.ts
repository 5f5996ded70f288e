import { describe, expect, it } from "vitest";
import { OutcomeUnknown } from "../../src/consensus/driver/refusal.ts";
import { encodeMessage } from "../../src/consensus/driver/wire.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { EVERYONE } from "../sim/links.ts";
import { INSTANCE } from "./members.ts";
import { NAMES, watch, withGroup } from "./sim-group.ts";

/** Ids of reads begin with what the log's instance begins with. */
const LOG = Number.parseInt(INSTANCE.slice(0, 5), 16);

describe("a member", () => {
  it("that stands still for long doesn't take its own sleep for its leader's silence", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const others = NAMES.filter((name) => name !== leader);
      await group.kernel.sleep(300);
      const news: unknown[] = [];
      for (const { host } of group.running()) host.onLeader((...what) => news.push(what));
      for (let i = 0; i < 10; i++) {
        group.nodes.get(others[i % 2] ?? "")?.stall(3_000);
        await group.kernel.sleep(3_700);
      }
      expect(news).toEqual([]);
      for (const name of others) expect(group.at(name).host.status().figures.stalls).toBe(5);
    });
  });

  it("answers a read when what was committed is applied here, not before", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      await group.say(leader, "before");
      await group.level();
      const other = NAMES.find((name) => name !== leader) ?? "";
      const { host } = group.at(other);
      const index = host.status().indexes.applied + 1;
      group.kernel.cut(other, EVERYONE);
      const seen = watch(host.read(60_000));
      const answer = { type: "read-reply", from: leader, to: other, id: 2 ** 31 + 1, index } as const;
      host.receive(leader, encodeMessage(answer));
      await group.kernel.sleep(100);
      expect(seen.done).toBe(false);
      group.kernel.heal();
      await group.say(await group.elected(), "after");
      await group.kernel.until(() => seen.done, 10_000);
      expect(seen.value).toBeGreaterThanOrEqual(index);
    });
  });

  it("takes no answer to a read of its earlier life for one to its own", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const other = NAMES.find((name) => name !== leader) ?? "";
      await group.at(other).host.read(1_000);
      group.crash(other);
      await group.start(other);
      await group.elected();
      group.kernel.cut(other, EVERYONE);
      const seen = watch(group.at(other).host.read(500));
      for (const life of [0, 1, 3])
        for (const n of [1, 2]) {
          const id = (LOG + life) * 2 ** 31 + n;
          group
            .at(other)
            .host.receive(leader, encodeMessage({ type: "read-reply", from: leader, to: other, id, index: 1 }));
        }
      await group.kernel.sleep(100);
      expect(seen.done).toBe(false);
      group
        .at(other)
        .host.receive(
          leader,
          encodeMessage({ type: "read-reply", from: leader, to: other, id: (LOG + 2) * 2 ** 31 + 1, index: 1 }),
        );
      await group.kernel.sleep(1);
      expect(seen.value).toBeGreaterThanOrEqual(1);
    });
  });

  it("whose disk is slow goes on, only later", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      for (const node of group.nodes.values()) node.disk.slowness = 20;
      await group.say(leader, "slowly");
      await group.level();
      expect(group.at("n1").ledger.words).toContain("slowly");
    });
  });

  it("whose write fails stops, says so once, and is whole when it starts again", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      await group.say(leader, "before");
      await group.level();
      const member = group.at(leader);
      group.nodes.get(leader)?.disk.failNextCommit();
      const seen = watch(member.host.propose(utf8("x"), 60_000));
      await group.kernel.until(() => member.failures.length > 0, 2_000);
      expect(member.failures).toEqual([expect.stringMatching(/unknown state after a failed commit/)]);
      expect(member.host.status()).toMatchObject({ state: "failed", reason: member.failures[0] });
      await group.kernel.sleep(1);
      expect(seen.error).toBeInstanceOf(OutcomeUnknown);
      await expect(member.host.propose(utf8("y"), 1_000)).rejects.toMatchObject({ slug: "raft-not-running" });
      await group.kernel.sleep(3_000);
      expect(member.failures).toHaveLength(1);
      group.crash(leader);
      await group.start(leader);
      await group.elected();
      await group.level();
      expect(group.at(leader).ledger.words.slice(0, 2)).toEqual(["first", "before"]);
    });
  });

  it("whose state machine can't go on stops", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const other = NAMES.find((name) => name !== leader) ?? "";
      const member = group.at(other);
      member.ledger.onApply = () => {
        throw new Error("impossible");
      };
      await group.say(leader, "word");
      await group.kernel.until(() => member.failures.length > 0, 2_000);
      expect(member.failures).toEqual(["impossible"]);
    });
  });

  it("whose log is damaged takes no part, says what to do, and founds nothing", async () => {
    await withGroup(async (group) => {
      await group.found();
      const leader = await group.elected();
      const other = NAMES.find((name) => name !== leader) ?? "";
      await group.say(leader, "before");
      await group.level();
      group.crash(other);
      const { disk } = group.nodes.get(other) ?? {};
      const image = disk?.raftImage("/data");
      if (!image || !disk) throw new Error("there is an image");
      disk.restoreRaft("/data", { ...image, entries: image.entries.slice(0, -1) });
      const { host } = await group.start(other);
      expect(host.status()).toMatchObject({ state: "damaged", reason: expect.stringMatching(/under a new instance/) });
      await expect(host.found(NAMES, utf8("first"), INSTANCE)).rejects.toThrow(/damaged/);
      await expect(host.join(INSTANCE)).rejects.toThrow(/damaged/);
      await expect(host.propose(utf8("x"), 100)).rejects.toMatchObject({ slug: "raft-not-running" });
      group.crash(leader);
      await group.kernel.sleep(8_000);
      // One of three is left, and the damaged one must not be the other half of a quorum.
      expect(group.leader()).toBeNull();
      expect(host.status()).toMatchObject({ term: 0, role: "follower" });
      expect(host.status().figures.messagesRefused).toBeGreaterThan(0);
    });
  });

  it("founds once, and never a group without itself; a log of another node is refused", async () => {
    await withGroup(async (group) => {
      const { host } = await group.start("n1");
      expect(host.status()).toMatchObject({ state: "empty" });
      await expect(host.found(["n2"], utf8(""), INSTANCE)).rejects.toThrow(/without itself/);
      await host.found(["n1"], utf8("first"), INSTANCE);
      await group.kernel.until(() => host.status().role === "leader", 200);
      await expect(host.found(["n1"], utf8("other"), INSTANCE)).rejects.toThrow(/belongs to a group already/);
      await expect(host.join(INSTANCE)).rejects.toBeInstanceOf(InputError);
      await host.propose(utf8("alone"), 1_000);
      group.crash("n1");
      await expect(group.start("n1", { node: "n7" })).rejects.toThrow(/that of node n1 of cluster c-1, not of n7/);
      group.crash("n1");
      const again = await group.start("n1");
      await group.kernel.until(() => again.ledger.words.length === 2, 2_000);
    });
  });

  it("takes messages from whom they are from only, of members or of who is allowed", async () => {
    await withGroup(async (group) => {
      for (const name of NAMES)
        await (await group.start(name, { allow: (node) => node === "n8" })).host.found(NAMES, utf8("first"), INSTANCE);
      await group.elected();
      const { host } = group.at("n1");
      const vote = (from: string, to = "n1"): Uint8Array =>
        encodeMessage({ type: "vote", from, to, term: 99, pre: true, transfer: false, lastIndex: 9, lastTerm: 9 });
      expect(() => host.receive("n2", vote("n3"))).toThrow(/from n3 came from n2/);
      expect(() => host.receive("n2", vote("n2", "n3"))).toThrow(/for n3 came to n1/);
      expect(() => host.receive("n9", vote("n9"))).toThrow(/no member/);
      expect(() => host.receive("n2", utf8("nonsense"))).toThrow(InputError);
      const forged = {
        type: "propose",
        from: "n2",
        to: "n1",
        payloads: [{ kind: "command", data: utf8("x") }],
      } as const;
      expect(() => host.receive("n2", encodeMessage(forged))).toThrow(InputError);
      host.receive("n8", vote("n8"));
      host.receive("n2", vote("n2"));
      expect(host.status().figures.messagesRefused).toBe(5);
    });
  });

  it("of another cluster gets no link", async () => {
    await withGroup(async (group) => {
      await (await group.start("n1")).host.found(NAMES, utf8("first"), INSTANCE);
      await (await group.start("n2", { salt: "another salt of sixteen bytes" })).host.found(
        NAMES,
        utf8("first"),
        INSTANCE,
      );
      await group.kernel.sleep(8_000);
      expect(group.leader()).toBeNull();
      expect(
        group
          .at("n1")
          .links.status()
          .find(({ node }) => node === "n2"),
      ).toMatchObject({
        isUp: false,
        reason: expect.stringMatching(/salt differs/),
      });
      expect(group.at("n1").door.refused).toBeGreaterThan(0);
    });
  });

  it("whose state is too large keeps its log, and says so", async () => {
    await withGroup(
      async (group) => {
        await group.found();
        const leader = await group.elected();
        for (let i = 0; i < 30; i++) await group.say(leader, `a word of some length ${i}`);
        const { figures, indexes } = group.at(leader).host.status();
        expect(figures.oversizedBytes).toBeGreaterThan(200);
        expect(figures.snapshotBytes).toBeLessThanOrEqual(200);
        expect(indexes.last - indexes.first).toBeGreaterThan(15);
      },
      1,
      { compactEntries: 5, snapshotBytesMax: 200 },
    );
  });
});
