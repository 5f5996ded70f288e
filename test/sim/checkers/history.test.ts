import { describe, expect, it } from "vitest";
import type { DotKey, Entry, Op } from "../../../crdt/index.ts";
import { VersionVector } from "../../../crdt/index.ts";
import { makeActorId, parseNodeId } from "../../../src/kernel/ids.ts";
import { assign, FakeNode, KEY, removeAll, Scene } from "./fake-node.ts";
import type { Seen } from "./history.ts";
import { checkReads } from "./reads.ts";
import { checkSessions } from "./sessions.ts";
import { checkWrites } from "./writes.ts";

interface Stage {
  readonly scene: Scene;
  readonly eu: FakeNode;
  readonly us: FakeNode;
}

function stage(): Stage {
  const scene = new Scene();
  return { scene, eu: new FakeNode(scene, "eu"), us: new FakeNode(scene, "us") };
}

function check({ history, ledger, violations }: Scene): void {
  checkWrites(history, ledger, violations);
  checkReads(history, ledger, violations);
  checkSessions(history, ledger, violations);
}

/** A write that its client was told of. */
async function told({ scene, eu }: Stage, ops: readonly Op[], tag: string): Promise<Entry> {
  scene.nowMs += 10;
  const entry = await eu.write(ops, tag);
  scene.acknowledged(eu, entry, { ops });
  return entry;
}

function read(
  { scene }: Stage,
  seen: Seen,
  session: Seen["session"] = null,
  level: "node" | "session" = "session",
): void {
  scene.history.reads.push({ client: "ann", level, session, reply: seen });
}

const nobody = makeActorId(parseNodeId("eu"), 1, 1);
const dot = `${nobody}:1` as DotKey;

describe("histories of honest nodes", () => {
  it("are accepted: writes, reads, sessions, requests without effect, refusals, attempts without an answer", async () => {
    const all = stage();
    const { scene, eu, us } = all;
    const first = await told(all, [assign("1")], "1");
    await us.receive(first);
    read(all, scene.seen(us), eu.session);
    const before = scene.seen(us).session;
    await us.receive(await told(all, [assign("2")], "2"));
    read(all, scene.seen(us), eu.session);
    read(all, { ...scene.seen(us), session: null }, before); // its token did not fit
    await told(all, [removeAll], "3");
    const ops = [removeAll];
    scene.acknowledged(eu, null, { ops, tag: "nothing to do" });
    scene.acknowledged(eu, null, { ops, tag: "refused", outcome: "refused", reply: null });
    scene.acknowledged(eu, null, { ops, tag: "unanswered", outcome: "unknown", reply: null });
    check(scene);
    expect(scene.violations.list).toEqual([]);
  });
});

describe("the checkers of histories reject", () => {
  const cases: Record<string, { readonly invariant: string; readonly run: (all: Stage) => Promise<void> }> = {
    "an acknowledged write that is in no log": {
      invariant: "acknowledged is durable",
      run: async ({ scene, eu }) => {
        scene.acknowledged(eu, null, { ops: [assign("1")], tag: "1" });
      },
    },
    "a delete that says it had nothing to do, where there was something": {
      invariant: "acknowledged is durable",
      run: async (all) => {
        await told(all, [assign("1")], "1");
        all.scene.nowMs += 10;
        all.scene.acknowledged(all.eu, null, { ops: [removeAll], tag: "2" });
      },
    },
    "an answer that came before the write was durable": {
      invariant: "durable before visible",
      run: async ({ scene, eu }) => {
        const early = scene.nowMs;
        scene.nowMs += 10;
        const entry = await eu.write([assign("1")], "1");
        scene.acknowledged(eu, entry, { ops: [assign("1")], reply: { ...scene.seen(eu), doneMs: early } });
      },
    },
    "a refused write that was carried out": {
      invariant: "refused is undone",
      run: async ({ scene, eu }) => {
        const entry = await eu.write([assign("1")], "1");
        scene.acknowledged(eu, entry, { ops: [assign("1")], outcome: "refused" });
      },
    },
    "a write that was carried out twice": {
      invariant: "written once",
      run: async (all) => {
        await told(all, [assign("1")], "1");
        await all.eu.write([assign("1")], "1");
      },
    },
    "a write that nobody asked for": {
      invariant: "written by clients",
      run: async ({ eu }) => {
        await eu.write([assign("1")], "1");
      },
    },
    "a blind write that leaves a value standing": {
      invariant: "names what it saw",
      run: async (all) => {
        await told(all, [assign("1")], "1");
        const entry = await all.eu.write([assign("2")], "2", { entry: (entry) => ({ ...entry, removes: [] }) });
        all.scene.acknowledged(all.eu, entry, { ops: [assign("2")] });
      },
    },
    "a write with a context that removes more than its reader saw": {
      invariant: "names what it saw",
      run: async (all) => {
        const { scene, eu } = all;
        const nothing = scene.seen(eu);
        await told(all, [assign("1")], "1");
        const entry = await eu.write([assign("2")], "2");
        scene.acknowledged(eu, entry, { ops: [assign("2")], context: nothing });
      },
    },
    "an answer that shows another row than the write left": {
      invariant: "reply is exact",
      run: async ({ scene, eu }) => {
        const entry = await eu.write([assign("1")], "1");
        scene.acknowledged(eu, entry, { ops: [assign("1")], reply: { ...scene.seen(eu), dots: new Set([dot]) } });
      },
    },
    "a token that does not cover the write that it came with": {
      invariant: "session",
      run: async ({ scene, eu }) => {
        const entry = await eu.write([assign("1")], "1");
        scene.acknowledged(eu, entry, { ops: [assign("1")], reply: { ...scene.seen(eu), session: [] } });
      },
    },
    "a read of what was on no disk": {
      invariant: "reads are durable",
      run: async (all) => read(all, { ...all.scene.seen(all.eu), dots: new Set([dot]) }),
    },
    "a read of what was gone long before": {
      invariant: "reads are durable",
      run: async (all) => {
        await told(all, [assign("1")], "1");
        const old = all.scene.seen(all.eu);
        await told(all, [assign("2")], "2");
        all.scene.nowMs += 10;
        read(all, { ...all.scene.seen(all.eu), dots: old.dots });
      },
    },
    "a token that does not cover what the read showed": {
      invariant: "session",
      run: async (all) => {
        await told(all, [assign("1")], "1");
        read(all, { ...all.scene.seen(all.eu), session: [] });
      },
    },
    "a session that does not read its own write": {
      invariant: "session",
      run: async (all) => {
        await told(all, [assign("1")], "1");
        read(all, all.scene.seen(all.us), all.eu.session);
      },
    },
    "a session that is shown again what it knew as removed": {
      invariant: "session",
      run: async (all) => {
        await all.us.receive(await told(all, [assign("1")], "1"));
        await told(all, [removeAll], "2");
        read(all, all.scene.seen(all.us), all.eu.session);
      },
    },
    "a session whose token forgets": {
      invariant: "session",
      run: async (all) => {
        const session = [{ partition: 3, vector: new VersionVector([[nobody, 5]]) }];
        read(all, all.scene.seen(all.us), session);
      },
    },
    "a write that did not see what its session had seen": {
      invariant: "session",
      run: async (all) => {
        const { scene, eu, us } = all;
        await told(all, [assign("1")], "1");
        const entry = await us.write([assign("2")], "2");
        scene.acknowledged(us, entry, { ops: [assign("2")], session: eu.session });
      },
    },
  };

  for (const [what, { invariant, run }] of Object.entries(cases))
    it(what, async () => {
      const all = stage();
      await run(all);
      check(all.scene);
      expect(all.scene.broken).toContain(invariant);
    });

  it("nothing in a read without r=session that lags behind", async () => {
    const all = stage();
    await told(all, [assign("1")], "1");
    read(all, all.scene.seen(all.us), all.eu.session, "node");
    check(all.scene);
    expect(all.scene.violations.list).toEqual([]);
    expect(all.scene.seen(all.us).key).toBe(KEY);
  });
});
