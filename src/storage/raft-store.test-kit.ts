import { describe, expect, it } from "vitest";
import { founded, NOTHING_SAVED, type Saved } from "../consensus/core/core.ts";
import type { Entry } from "../consensus/core/log.ts";
import { InputError } from "../kernel/assert.ts";
import { equalBytes, utf8 } from "../kernel/bytes.ts";
import { type Rng, seededRng } from "../kernel/rng.ts";
import type { RaftStore } from "./raft-store.ts";
import { giveUpClaims, replaceClaims } from "./raft-store-anew.test-kit.ts";
import {
  created,
  entriesOf,
  entryOf,
  IDENTITY,
  type RaftSubject,
  reloaded,
  saveOf,
  snapshotOf,
  stateOf,
  wholeOf,
  within,
} from "./raft-store-subject.test-kit.ts";

/** The claims of the RaftStore interface. */
export function describeRaftStore(name: string, subject: RaftSubject): void {
  describe(`${name} Raft store`, () => {
    firstClaims(subject);
    replaceClaims(subject);
    giveUpClaims(subject);
    saveClaims(subject);
    crashClaims(subject);
    damageClaims(subject);
  });
}

function firstClaims(subject: RaftSubject): void {
  it("is nothing before it is created, also when it was opened before", async () => {
    const dataDir = await subject.newDir();
    for (let i = 0; i < 2; i++) expect(await reloaded(subject, dataDir)).toEqual({ kind: "nothing" });
  });

  it("has what it was created with, and whose it is", async () => {
    for (const saved of [NOTHING_SAVED, founded(["n1", "n2"], utf8("the first state"))]) {
      const load = await reloaded(subject, await created(subject, saved));
      expect(load).toEqual({ kind: "whole", identity: IDENTITY, life: 1, saved });
    }
  });

  it("is created once: then it says that it is there, and stays as it is", async () => {
    const dataDir = await created(subject, founded(["n1"], utf8("mine")));
    await within(subject, dataDir, async (store) => {
      const again = store.create(IDENTITY, founded(["n2"], utf8("other")));
      await expect(again).rejects.toThrow(/belongs to a group already/);
      await expect(again).rejects.toBeInstanceOf(InputError);
    });
    expect(await reloaded(subject, dataDir)).toMatchObject({ saved: founded(["n1"], utf8("mine")) });
  });

  it("counts its lives", async () => {
    const dataDir = await created(subject);
    for (const life of [1, 2, 3]) expect(await reloaded(subject, dataDir)).toMatchObject({ life });
  });
}

function saveClaims(subject: RaftSubject): void {
  it("has what was saved, in this life and the next", async () => {
    const dataDir = await created(subject);
    const hardState = stateOf(3, 2, "n2");
    const payloads: Entry[] = [
      { index: 3, term: 3, payload: { kind: "nothing" } },
      {
        index: 4,
        term: 3,
        payload: {
          kind: "change",
          change: { transition: "joint-explicit", changes: [{ kind: "learner", id: "n9" }] },
          data: utf8("why"),
        },
      },
    ];
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.save(saveOf({ entries: entriesOf(1, 2, 2) }));
      await store.save(saveOf({ hardState, entries: payloads }));
    });
    const saved = { hardState, snapshot: null, entries: [...entriesOf(1, 2, 2), ...payloads] };
    expect(await reloaded(subject, dataDir)).toMatchObject({ saved });
  });

  it("puts a leader's entries in place of those that contradict them, to the end", async () => {
    const dataDir = await created(subject);
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.save(saveOf({ entries: entriesOf(1, 6, 1) }));
      await store.save(saveOf({ entries: entriesOf(3, 4, 2), hardState: stateOf(2, 0) }));
    });
    const { entries } = await within(subject, dataDir, wholeOf);
    expect(entries.map(({ index, term }) => `${index}.${term}`)).toEqual(["1.1", "2.1", "3.2", "4.2"]);
  });

  it("puts a leader's snapshot in place of everything, and entries of the same save after it", async () => {
    const dataDir = await created(subject, founded(["n1"], utf8("")));
    const hardState = stateOf(5, 9);
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.save(saveOf({ entries: entriesOf(2, 6, 1) }));
      await store.save({ hardState, snapshot: snapshotOf(9, 4), entries: entriesOf(10, 11, 5) });
    });
    const saved = { hardState, snapshot: snapshotOf(9, 4), entries: entriesOf(10, 11, 5) };
    expect(await reloaded(subject, dataDir)).toMatchObject({ saved });
  });

  it("compacts up to an entry, keeps those after it, and knows what the snapshot says to be committed", async () => {
    const dataDir = await created(subject);
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.save(saveOf({ entries: entriesOf(1, 6, 1), hardState: stateOf(1, 2) }));
      await store.compact(snapshotOf(4, 1));
    });
    const saved = { hardState: stateOf(1, 4), snapshot: snapshotOf(4, 1), entries: entriesOf(5, 6, 1) };
    expect(await reloaded(subject, dataDir)).toMatchObject({ saved });
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.compact(snapshotOf(6, 1));
      await store.save(saveOf({ entries: entriesOf(7, 7, 1) }));
    });
    expect((await within(subject, dataDir, wholeOf)).entries).toEqual(entriesOf(7, 7, 1));
  });

  it("refuses a log with a gap, and what was there stays", async () => {
    const dataDir = await created(subject, founded(["n1"], utf8("")));
    await within(subject, dataDir, async (store) => {
      await store.load();
      for (const entries of [entriesOf(3, 3, 1), entriesOf(1, 1, 1), [entryOf(2, 1), entryOf(4, 1)]])
        await expect(store.save(saveOf({ entries }))).rejects.toThrow();
      await expect(store.save(saveOf({ hardState: stateOf(1, 2) }))).rejects.toThrow();
      await expect(store.compact(snapshotOf(2, 1))).rejects.toThrow();
    });
    expect(await reloaded(subject, dataDir)).toMatchObject({ saved: founded(["n1"], utf8("")) });
  });

  it("holds large entries, large states and long logs", async () => {
    const dataDir = await created(subject);
    const large = new Uint8Array(4 * 2 ** 20).map((_, i) => (i * 31) & 255);
    const snapshot = { ...snapshotOf(2, 1), data: large };
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.save(saveOf({ entries: [entryOf(1, 1, large), entryOf(2, 1)] }));
      const [first] = (await wholeOf(store)).entries;
      expect(first?.payload.kind === "command" && equalBytes(first.payload.data, large)).toBe(true);
      await store.compact(snapshot);
      await store.save(saveOf({ entries: entriesOf(3, 2_002, 1) }));
    });
    const saved = await within(subject, dataDir, wholeOf);
    expect(equalBytes(saved.snapshot?.data ?? utf8(""), large)).toBe(true);
    expect(saved.entries).toEqual(entriesOf(3, 2_002, 1));
  });

  it.each([1, 2, 3])("is like a list in memory, whatever comes (seed %i)", async (seed) => {
    const rng = seededRng(seed);
    const dataDir = await created(subject);
    let model: Saved = NOTHING_SAVED;
    for (let life = 0; life < 5; life++)
      await within(subject, dataDir, async (store) => {
        expect(await wholeOf(store)).toEqual(model);
        for (let i = 0; i < 20; i++) model = await anyWrite(rng, store, model);
      });
    expect(await within(subject, dataDir, wholeOf)).toEqual(model);
  });
}

async function anyWrite(rng: Rng, store: RaftStore, model: Saved): Promise<Saved> {
  const { snapshot, entries, hardState } = model;
  const first = (snapshot?.index ?? 0) + 1;
  const last = first + entries.length - 1;
  const { committed } = hardState;
  const term = hardState.term + rng.below(2);
  if (rng.below(4) === 0 && committed >= first) {
    const index = first + rng.below(committed - first + 1);
    const compacted = { ...snapshotOf(index, entries[index - first]?.term ?? 0) };
    await store.compact(compacted);
    return { hardState, snapshot: compacted, entries: entries.slice(index - first + 1) };
  }
  const installed = rng.below(12) === 0 ? snapshotOf(last + 1 + rng.below(3), Math.max(1, term)) : null;
  const base = installed ? installed.index : committed + rng.below(last - committed + 1);
  const added = entriesOf(base + 1, base + rng.below(4), Math.max(1, term));
  const kept = installed ? [] : added.length === 0 ? entries : entries.slice(0, base + 1 - first);
  const after = [...kept, ...added];
  const reaches = (installed?.index ?? first - 1) + after.length;
  const least = Math.max(committed, installed?.index ?? 0);
  const next = stateOf(Math.max(1, term), least + rng.below(reaches - least + 1), rng.below(2) === 0 ? null : "n2");
  await store.save({ hardState: next, snapshot: installed, entries: added });
  return { hardState: next, snapshot: installed ?? snapshot, entries: after };
}

function crashClaims(subject: RaftSubject): void {
  it("has all of a save that was answered, and all or nothing of one that was not", async () => {
    const dataDir = await created(subject);
    const store = await subject.open(dataDir);
    try {
      await store.load();
      for (let i = 0; i < 12; i++) {
        const before = { hardState: stateOf(i, 0, "n1"), entries: entriesOf(1, 3 + (i % 4), i + 1) };
        await store.save(saveOf(before));
        const after = { hardState: stateOf(i + 1, 0, "n2"), entries: entriesOf(2, 9, i + 2) };
        const saving = store.save(saveOf(after));
        const during: string[] = [];
        let isSaved = false;
        const noted = saving.then(() => {
          isSaved = true;
        });
        while (!isSaved) during.push(await subject.crashed(dataDir));
        await noted;
        const then = await subject.crashed(dataDir);
        const whole = { hardState: after.hardState, entries: [...before.entries.slice(0, 1), ...after.entries] };
        for (const copy of during) {
          const { hardState, entries } = await within(subject, copy, wholeOf);
          expect([before, whole]).toContainEqual({ hardState, entries });
        }
        expect(await within(subject, then, wholeOf)).toMatchObject(whole);
      }
    } finally {
      await store.close();
    }
  });
}

function damageClaims(subject: RaftSubject): void {
  async function withLog(): Promise<string> {
    const dataDir = await created(subject);
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.save(saveOf({ entries: entriesOf(1, 3, 1), hardState: stateOf(1, 2, "n3") }));
      await store.compact(snapshotOf(1, 1));
    });
    return dataDir;
  }

  it("finds any byte of any record that changed, says which record it is, and has lost nothing by that", async () => {
    const dataDir = await withLog();
    const before = await subject.records(dataDir);
    expect(before.map(({ name }) => name).sort()).toEqual(["entry 2", "entry 3", "snapshot", "state"]);
    for (const { name, bytes } of before)
      for (let flip = 0; flip < bytes; flip++) {
        await subject.damage(dataDir, name, { flip });
        const load = await reloaded(subject, dataDir);
        expect(load, `${name}, byte ${flip}`).toMatchObject({ kind: "damaged", reason: expect.stringContaining(name) });
        await subject.damage(dataDir, name, { flip });
      }
    expect(await reloaded(subject, dataDir)).toMatchObject({ kind: "whole", saved: { entries: entriesOf(2, 3, 1) } });
  });

  it.each(["state", "snapshot", "entry 2", "entry 3"])("finds that %s is gone", async (name) => {
    const dataDir = await withLog();
    await subject.damage(dataDir, name, "remove");
    const load = await reloaded(subject, dataDir);
    expect(load).toMatchObject({ kind: "damaged" });
    await within(subject, dataDir, async (store) => {
      await expect(store.create(IDENTITY, NOTHING_SAVED)).rejects.toThrow(/damaged/);
    });
  });
}
