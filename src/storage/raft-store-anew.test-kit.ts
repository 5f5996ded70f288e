import { expect, it } from "vitest";
import { founded, NOTHING_SAVED, type Saved } from "../consensus/core/core.ts";
import { InputError } from "../kernel/assert.ts";
import { utf8 } from "../kernel/bytes.ts";
import {
  created,
  entriesOf,
  IDENTITY,
  type RaftSubject,
  reloaded,
  saveOf,
  snapshotOf,
  stateOf,
  wholeOf,
  within,
} from "./raft-store-subject.test-kit.ts";

// What a Raft store says of a log that takes the place of another one, and of one that is given up.

const ANEW = { ...IDENTITY, instance: "fedcba9876543210".repeat(2) };
const FULL: Saved = { hardState: stateOf(4, 10), snapshot: snapshotOf(9, 4), entries: entriesOf(10, 12, 4) };

/** A log that was written some times; as a crash leaves it when `isCut`. */
async function written(subject: RaftSubject, isCut = false): Promise<string> {
  const dataDir = await created(subject, founded(["n1", "n2"], utf8("the first state")));
  return within(subject, dataDir, async (store) => {
    await store.load();
    for (let index = 2; index < 20; index++) await store.save(saveOf({ entries: entriesOf(index, index, 1) }));
    return isCut ? subject.crashed(dataDir) : dataDir;
  });
}

export function replaceClaims(subject: RaftSubject): void {
  it("is begun anew in place of nothing, of a log, of a cut off and of a damaged one, whatever it was written", async () => {
    const damaged = await written(subject);
    await subject.damage(damaged, "state", "remove");
    const gaveUp = await written(subject);
    await within(subject, gaveUp, async (store) => {
      await store.load();
      await store.giveUp("it has gone back");
    });
    for (const dataDir of [
      await subject.newDir(),
      await written(subject),
      await written(subject, true),
      damaged,
      gaveUp,
    ])
      for (const saved of [NOTHING_SAVED, FULL]) {
        await within(subject, dataDir, async (store) => {
          await store.load();
          await store.replace(ANEW, saved);
          expect(await store.load()).toEqual({ kind: "whole", identity: ANEW, life: 1, saved });
          await store.save(saveOf({ hardState: stateOf(9, saved.hardState.committed) }));
        });
        const load = await reloaded(subject, dataDir);
        expect(load).toMatchObject({ kind: "whole", identity: ANEW, life: 2, saved: { entries: saved.entries } });
      }
  });

  it("is begun anew wholly or not at all, wherever that is cut off", async () => {
    const dataDir = await written(subject);
    const store = await subject.open(dataDir);
    try {
      await store.load();
      for (let i = 1, before = 18; i <= 8; before = i, i++) {
        const replacing = store.replace(ANEW, { ...NOTHING_SAVED, entries: entriesOf(1, i, 1) });
        let isDone = false;
        const done = (): void => {
          isDone = true;
        };
        replacing.then(done, done);
        const during: string[] = [];
        while (!isDone) during.push(await subject.crashed(dataDir));
        await replacing;
        // Each is opened with a write, and on a slow disk there are many.
        const step = Math.ceil(during.length / 6);
        for (const copy of during.filter((_, n) => n % step === 0))
          expect([before, i]).toContain((await within(subject, copy, wholeOf)).entries.length);
        expect((await within(subject, await subject.crashed(dataDir), wholeOf)).entries).toHaveLength(i);
        await store.load();
      }
    } finally {
      await store.close();
    }
  });

  it("takes no instance that is none, and stays as it is", async () => {
    const dataDir = await written(subject);
    await within(subject, dataDir, async (store) => {
      for (const instance of ["", "0".repeat(31), "A".repeat(32), "g".repeat(32)]) {
        await expect(store.replace({ ...IDENTITY, instance }, NOTHING_SAVED)).rejects.toThrow(/32 lower-case hex/);
        await expect(store.replace({ ...IDENTITY, instance }, NOTHING_SAVED)).rejects.toBeInstanceOf(InputError);
      }
    });
    expect(await reloaded(subject, dataDir)).toMatchObject({ kind: "whole", identity: IDENTITY });
  });
}

export function giveUpClaims(subject: RaftSubject): void {
  const reason = "it ends at entry 19, and had entry 25";

  it("that was given up is damaged from then on, with the reason, and takes nothing more", async () => {
    const dataDir = await written(subject);
    await within(subject, dataDir, async (store) => {
      await store.load();
      await store.giveUp(reason);
      const lost = { kind: "damaged", reason: expect.stringContaining(reason) };
      expect(await reloaded(subject, await subject.crashed(dataDir))).toMatchObject(lost);
      await expect(store.save(saveOf({ entries: entriesOf(20, 20, 1) }))).rejects.toThrow();
      await expect(store.create(IDENTITY, NOTHING_SAVED)).rejects.toThrow(/damaged/);
      expect(await store.load()).toMatchObject(lost);
    });
    for (let i = 0; i < 2; i++) expect(await reloaded(subject, dataDir)).toMatchObject({ kind: "damaged" });
    const [{ bytes } = { bytes: 0 }] = (await subject.records(dataDir)).filter(({ name }) => name === "state");
    for (let flip = 0; flip < bytes; flip++) {
      await subject.damage(dataDir, "state", { flip });
      expect(await reloaded(subject, dataDir), `byte ${flip}`).toMatchObject({ kind: "damaged" });
      await subject.damage(dataDir, "state", { flip });
    }
  });
}
