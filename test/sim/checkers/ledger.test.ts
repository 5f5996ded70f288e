import { describe, expect, it } from "vitest";
import type { Entry } from "../../../crdt/index.ts";
import { encodeEntry } from "../../../crdt/index.ts";
import { utf8 } from "../../../src/kernel/bytes.ts";
import { parseNodeId } from "../../../src/kernel/ids.ts";
import { damageRow } from "../../../src/storage/memory.ts";
import { commitOf } from "../../../src/storage/store.ts";
import { assign, FakeNode, KEY, removeAll, Scene } from "./fake-node.ts";

interface Pair {
  readonly scene: Scene;
  readonly eu: FakeNode;
  readonly us: FakeNode;
}

function pair(): Pair {
  const scene = new Scene();
  return { scene, eu: new FakeNode(scene, "eu"), us: new FakeNode(scene, "us") };
}

/** Both hold `first`; then a concurrent write on each side, and all is level. */
async function conflict({ eu, us }: Pair): Promise<[Entry, Entry, Entry]> {
  const first = await eu.write([assign("first")], "1");
  await us.receive(first);
  const [left, right] = [await eu.write([assign("left")], "2"), await us.write([assign("right")], "3")];
  await eu.receive(right);
  await us.receive(left);
  return [first, left, right];
}

describe("the ledger", () => {
  it("finds nothing wrong with honest nodes: writes, conflicts, deletes, copies, cuts and rollbacks", async () => {
    const all = pair();
    const { scene, eu, us } = all;
    await conflict(all);
    const old = us.image();
    const settled = await eu.write([assign("settled")], "4");
    await us.receive(settled);
    await us.receive(await eu.write([removeAll], "5"));
    await eu.cut();
    await us.cut();
    await new FakeNode(scene, "ap").adopt(eu);
    scene.ledger.restored("us", us.image(), old);
    scene.ledger.opened("us", old);
    expect(scene.violations.list).toEqual([]);
    expect([...scene.ledger.written.values()].some(({ lost }) => lost)).toBe(false);
  });

  it("counts the lost writes that others may wait behind: all of a run but the first", async () => {
    const { scene, eu, us } = pair();
    await us.receive(await eu.write([assign("1")], "1"));
    const old = eu.image();
    for (const tag of ["2", "3", "4"]) await eu.write([assign(tag)], tag);
    expect(scene.ledger.orphans()).toBe(0);
    scene.ledger.restored("eu", eu.image(), old);
    expect(scene.ledger.orphans()).toBe(2);
  });

  it("takes a disk that goes back again before it was opened for what it is", async () => {
    const { scene, eu } = pair();
    await eu.write([assign("1")], "1");
    const first = eu.image();
    await eu.write([assign("2")], "2");
    const second = eu.image();
    scene.ledger.restored("eu", second, first);
    scene.ledger.opened("eu", first);
    scene.ledger.restored("eu", first, second);
    scene.ledger.restored("eu", second, first);
    scene.ledger.opened("eu", first);
    expect(scene.violations.list).toEqual([]);
  });

  it("excuses what had its last copy on a disk that went back, and nothing else", async () => {
    const { scene, eu, us } = pair();
    const old = eu.image();
    await us.receive(await eu.write([assign("known")], "known"));
    await eu.write([assign("alone")], "alone");
    scene.ledger.restored("eu", eu.image(), old);
    const lost = (tag: string): boolean | undefined => scene.ledger.byTag.get(tag)?.[0]?.lost;
    expect([lost("known"), lost("alone")]).toEqual([false, true]);
  });
});

describe("the ledger rejects", () => {
  const cases: Record<string, { readonly invariant: string; readonly run: (all: Pair) => Promise<void> }> = {
    "an entry applied over a gap": {
      invariant: "contiguous",
      run: async ({ eu, us }) => {
        await eu.write([assign("1")], "1");
        await us.receive(await eu.write([assign("2")], "2"));
      },
    },
    "a vector that rises without entries": {
      invariant: "contiguous",
      run: async ({ eu, us }) => {
        await eu.write([assign("1")], "1");
        await us.commit(commitOf({ vectors: [{ partition: 0, actor: eu.actor, seq: 1 }] }));
      },
    },
    "a copy whose rows are not those of its vector": {
      invariant: "rows are exact",
      run: async ({ eu, us }) => {
        await eu.write([assign("1")], "1");
        await us.adopt(eu, { commit: (commit) => ({ ...commit, rows: [] }) });
      },
    },
    "an entry without its vector": {
      invariant: "one transaction",
      run: async ({ eu }) => {
        await eu.write([assign("1")], "1", { commit: (commit) => ({ ...commit, vectors: [] }) });
      },
    },
    "a vector that falls": {
      invariant: "monotone",
      run: async ({ eu }) => {
        await eu.write([assign("1")], "1");
        await eu.commit(commitOf({ vectors: [{ partition: 0, actor: eu.actor, seq: 0 }] }));
      },
    },
    "a value that was removed and stays": {
      invariant: "rows are exact",
      run: async ({ eu }) => {
        await eu.write([assign("1")], "1");
        await eu.write([removeAll], "2", { row: (_, before) => before });
      },
    },
    "a value that is lost": {
      invariant: "rows are exact",
      run: async ({ eu }) => {
        await eu.write([assign("1")], "1", { row: () => ({ cells: new Map(), stubs: new Map() }) });
      },
    },
    "a removed dot without its stub": {
      invariant: "stubs are exact",
      run: async ({ eu, us, scene }) => {
        const ap = new FakeNode(scene, "ap");
        await us.receive(await eu.write([assign("1")], "1"));
        await ap.receive(await us.write([assign("2")], "2"), { row: (row) => ({ ...row, stubs: new Map() }) });
      },
    },
    "an entry that its author never had": {
      invariant: "durable before visible",
      run: async ({ eu, us }) => {
        let unsaid: Entry | undefined;
        await eu.write([assign("1")], "1", {
          entry: (entry) => {
            unsaid = entry;
            return entry;
          },
          commit: () => commitOf({}),
        });
        if (unsaid) await us.receive(unsaid);
      },
    },
    "a dot with two values": {
      invariant: "one dot, one value",
      run: async ({ eu, us }) => {
        const entry = await eu.write([assign("1")], "1");
        const other = await new FakeNode(new Scene(), "eu").write([assign("2")], "2");
        expect(encodeEntry(other)).not.toEqual(encodeEntry(entry));
        await us.receive(other);
      },
    },
    "a disk that forgot": {
      invariant: "durable",
      run: async ({ eu, scene }) => {
        const old = eu.image();
        await eu.write([assign("1")], "1");
        scene.ledger.opened("eu", old);
      },
    },
    "a log that is cut before anybody else has it": {
      invariant: "log cut too early",
      run: async ({ eu }) => {
        await eu.write([assign("1")], "1");
        await eu.cut();
      },
    },
    "a log that is cut while a removed dot is still to come": {
      invariant: "log cut too early",
      run: async ({ eu, us, scene }) => {
        const ap = new FakeNode(scene, "ap");
        await us.receive(await eu.write([assign("1")], "1"));
        await ap.receive(await us.write([assign("2")], "2"));
        await ap.cut();
      },
    },
    "a log that is cut above its floor": {
      invariant: "log cut too early",
      run: async ({ eu, us }) => {
        await us.receive(await eu.write([assign("1")], "1"));
        await eu.cut({ commit: (commit) => ({ ...commit, floors: [] }) });
      },
    },
    "an acknowledgement of what the peer never had": {
      invariant: "acknowledgements are true",
      run: async ({ eu, us }) => {
        await eu.write([assign("1")], "1");
        const vector = eu.state.vector.encode();
        await eu.commit(commitOf({ acks: [{ peer: parseNodeId(us.name), partition: 0, vector }] }));
      },
    },
    "damage where nothing is damaged": {
      invariant: "damage is real",
      run: async ({ eu }) => {
        const vector = eu.state.vector.encode();
        await eu.commit(commitOf({ damaged: [{ partition: 0, leaf: 0, vector }] }));
      },
    },
    "damage where only sums were lost, and they are saved again": {
      invariant: "damage is real",
      run: async ({ eu, scene }) => {
        await eu.write([assign("1")], "1");
        scene.ledger.opened("eu", { ...eu.image(), lostSums: new Set([0]) });
        const damaged = [{ partition: 0, leaf: 7, vector: eu.state.vector.encode() }];
        const healed = [{ partition: 0, leaf: 7, vector: null }];
        await eu.commit(commitOf({ sums: [{ partition: 0, pos: 1, body: new Uint8Array(1) }], damaged }));
        await eu.commit(commitOf({ damaged })); // it may say so again
        await eu.commit(commitOf({ damaged: healed }));
        expect(scene.broken).toEqual([]);
        await eu.commit(commitOf({ damaged }));
      },
    },
    "a healed leaf whose rows are still not right": {
      invariant: "rows are exact",
      run: async ({ eu, scene }) => {
        await eu.write([assign("1")], "1");
        scene.ledger.opened("eu", damageRow(eu.image(), KEY.bucket, KEY.key, "flip"));
        const rows = [{ ...KEY, slot: 0, body: null, conflict: false }];
        await eu.commit(commitOf({ rows, damaged: [{ partition: 0, leaf: 0, vector: null }] }));
      },
    },
    "a concurrent value that goes without a record": {
      invariant: "journal is complete",
      run: async (all) => {
        await conflict(all);
        const empty = utf8(JSON.stringify({ lost: [] }));
        await all.eu.write([assign("settled")], "4", {
          commit: (commit) => ({ ...commit, journal: commit.journal.map((record) => ({ ...record, body: empty })) }),
        });
      },
    },
  };

  for (const [what, { invariant, run }] of Object.entries(cases))
    it(what, async () => {
      const all = pair();
      await run(all);
      expect(all.scene.broken).toContain(invariant);
    });
});
