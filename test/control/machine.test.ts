import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { apply, type Control, UNFOUNDED } from "../../src/control/apply.ts";
import { canonicalJson, encodeCommand, encodeControl, encodeState, hashOf } from "../../src/control/codec.ts";
import { replay } from "../../src/control/diff.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import { type Tree, viewOf } from "../../src/control/view.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { history, lived, type Moment } from "./arbitraries.ts";
import { Cluster, FOUNDING, foundersOf, instanceOf, nodeNamed, sha256 } from "./cluster.ts";

/** A machine that has applied the founding and so many changes, and the cluster that says what comes next. */
function machineAfter(changes: number): { machine: ControlMachine; cluster: Cluster; change: () => void } {
  const machine = new ControlMachine(sha256);
  const cluster = new Cluster();
  const apply = (command: ReturnType<Cluster["make"]>): void => {
    cluster.apply(command);
    machine.apply({ index: cluster.index, bytes: encodeCommand(command) });
  };
  const change = (): void => apply(cluster.make("set-placement", { minOwners: 1 + (cluster.index % 3) }));
  apply(cluster.make("init", { ...FOUNDING, founders: foundersOf(nodeNamed("n1")) }));
  for (let i = 0; i < changes; i++) change();
  return { machine, cluster, change };
}

describe("the control machine", () => {
  it("shows what was applied, its version and hash", () => {
    const empty = new ControlMachine(sha256);
    expect([empty.state, empty.hash(), empty.stateBytes()]).toEqual([null, null, null]);
    const { machine, cluster } = machineAfter(2);
    expect(machine.state).toEqual(cluster.state);
    expect(machine.hash()).toMatch(/^[0-9a-f]{64}$/);
    const earlier = machine.hash();
    expect(machine.hash()).toBe(earlier);
    expect(machineAfter(3).machine.hash()).not.toBe(earlier);
  });

  it("stops at a committed command that it can't read, and at all after it, until it gets a snapshot", () => {
    const { machine, cluster } = machineAfter(1);
    const { state } = machine;
    const next = cluster.make("set-placement", { minOwners: 3 });
    const later = utf8(canonicalJson({ ...next, level: 2, zeal: 1 } as never));
    const stops = expect.objectContaining({ slug: "unknown-level" });
    expect(() => machine.apply({ index: 3, bytes: later })).toThrow(stops);
    expect(() => machine.apply({ index: 4, bytes: encodeCommand(next) })).toThrow(stops);
    expect(machine.state).toBe(state);
    machine.restore(machineAfter(5).machine.snapshot());
    const anew = { ...next, id: "anew-0001" };
    expect(machine.apply({ index: 9, bytes: encodeCommand(anew) })).toEqual({ ok: true, version: 9 });
  });

  it("says what would become of a command, and does nothing", () => {
    const { machine, cluster } = machineAfter(1);
    const { state } = machine;
    expect(machine.preview(cluster.make("drain", { member: "n9" }))).toMatchObject({ slug: "unknown-node" });
    expect(machine.preview(cluster.make("set-placement", { minOwners: 3 }))).toMatchObject({ ok: true });
    expect(machine.state).toBe(state);
  });

  it("keeps what it has when a snapshot or a peer's state is none", () => {
    const { machine } = machineAfter(1);
    const { state } = machine;
    expect(() => machine.restore(utf8("{}"))).toThrow(expect.objectContaining({ slug: "bad-state" }));
    expect(() => machine.adopt(utf8("{}"))).toThrow(expect.objectContaining({ slug: "bad-state" }));
    expect(machine.state).toBe(state);
  });

  it("outside the group takes a peer's state when it is newer, of the same cluster", () => {
    const [older, newer] = [machineAfter(1).machine, machineAfter(4).machine];
    const reader = new ControlMachine(sha256);
    expect(reader.adopt(older.stateBytes() as Uint8Array)).toBe(true);
    expect(reader.adopt(newer.stateBytes() as Uint8Array)).toBe(true);
    expect(reader.adopt(older.stateBytes() as Uint8Array)).toBe(false);
    expect(reader.hash()).toBe(newer.hash());
    const stranger = new ControlMachine(sha256);
    const founders = foundersOf(nodeNamed("n1"));
    const another = { ...FOUNDING, cluster: { ...FOUNDING.cluster, id: "cluster-0002" }, founders };
    stranger.apply({ index: 90, bytes: encodeCommand(new Cluster().make("init", another)) });
    expect(() => reader.adopt(stranger.stateBytes() as Uint8Array)).toThrow(
      expect.objectContaining({ slug: "wrong-cluster" }),
    );
    expect(reader.hash()).toBe(newer.hash());
  });

  it("takes a higher incarnation's state though its version is lower: the old group was given up", () => {
    const { machine, cluster } = machineAfter(1);
    const old = machineAfter(6).machine;
    const raised = cluster.make("raise-incarnation", {
      incarnation: 2,
      voters: ["n1"],
      member: "n1",
      instance: instanceOf("n1", 2),
    });
    machine.apply({ index: 3, bytes: encodeCommand(raised) });
    expect(old.adopt(machine.stateBytes() as Uint8Array)).toBe(true);
    expect(old.state).toMatchObject({ version: 3, cluster: { incarnation: 2 } });
    expect(old.adopt(machineAfter(9).machine.stateBytes() as Uint8Array)).toBe(false);
  });

  it("shows what it heard of, and applies its log to what the log came to", () => {
    const { machine, cluster } = machineAfter(1);
    const { machine: ahead, cluster: later } = machineAfter(4);
    expect(machine.adopt(ahead.stateBytes() as Uint8Array)).toBe(true);
    expect([machine.state, machine.appliedState]).toEqual([later.state, cluster.state]);
    expect(machine.snapshot()).toEqual(machineAfter(1).machine.snapshot());
    const next = cluster.make("set-placement", { minOwners: 3 });
    expect(machine.preview(next)).toEqual({ ok: true, version: 6 });
    expect(machine.apply({ index: 3, bytes: encodeCommand(next) })).toEqual({ ok: true, version: 3 });
    expect(machine.state).toEqual(later.state);
    expect(machine.hash()).toBe(ahead.hash());
    // Back to an earlier point of the log: only what is shown doesn't follow.
    machine.restore(machineAfter(0).machine.snapshot());
    expect([machine.state?.version, machine.appliedState?.version]).toEqual([5, 1]);
  });

  it("takes no other content for a version that it shows, and says so", () => {
    const { machine, cluster } = machineAfter(1);
    const command = cluster.make("set-placement", { minOwners: 9 });
    machine.apply({ index: 3, bytes: encodeCommand(command) });
    const state = machine.state;
    const other = machineAfter(2).machine;
    expect(() => machine.adopt(other.stateBytes() as Uint8Array)).toThrow(
      expect.objectContaining({ slug: "state-differs", message: expect.stringContaining("version 3") }),
    );
    expect(machine.state).toBe(state);
    expect(machine.adopt(machine.stateBytes() as Uint8Array)).toBe(false);
  });

  it("stays stopped at what it can't read when it hears of a newer state", () => {
    const { machine, cluster } = machineAfter(1);
    const next = cluster.make("set-placement", { minOwners: 3 });
    const later = utf8(canonicalJson({ ...next, level: 2, zeal: 1 } as never));
    expect(() => machine.apply({ index: 3, bytes: later })).toThrow("upgrade this node");
    expect(machine.adopt(machineAfter(5).machine.stateBytes() as Uint8Array)).toBe(true);
    expect(() => machine.apply({ index: 4, bytes: encodeCommand(next) })).toThrow("upgrade this node");
  });

  it("tells watchers to begin anew where its log goes past what it heard of, which was given up itself", () => {
    const raise = (incarnation: number) => {
      const fields = { incarnation, voters: ["n1"], member: "n1", instance: instanceOf("n1", incarnation) };
      return encodeCommand({
        ...machineAfter(1).cluster.make("raise-incarnation", fields),
        id: `raise-000${incarnation}`,
      });
    };
    const [mine, theirs] = [machineAfter(1).machine, machineAfter(1).machine];
    theirs.apply({ index: 3, bytes: raise(2) });
    expect(mine.adopt(theirs.stateBytes() as Uint8Array)).toBe(true);
    mine.apply({ index: 4, bytes: raise(3) });
    expect(mine.state).toMatchObject({ version: 4, cluster: { incarnation: 3 } });
    expect(mine.feed.since(3)).toMatchObject({ kind: "reset", version: 4 });
    // Also where its own log has a version of that number: it is another one.
    const { machine: other, change } = machineAfter(1);
    change();
    expect(other.adopt(theirs.stateBytes() as Uint8Array)).toBe(true);
    other.apply({ index: 4, bytes: raise(3) });
    expect(other.feed.since(3)).toMatchObject({ kind: "reset", version: 4 });
  });

  it("once its log has got to what it shows, watchers are told how it came to be", () => {
    const { machine: ahead } = machineAfter(5);
    const bytes = ahead.stateBytes() as Uint8Array;
    const { machine, cluster, change } = machineAfter(1);
    expect(machine.adopt(bytes)).toBe(true);
    const versions = (since: number, feed = machine.feed): number[] | "reset" => {
      const answer = feed.since(since);
      return answer.kind === "reset" ? "reset" : answer.events.map(({ version }) => version);
    };
    while (cluster.index < 5) change();
    expect([versions(2), versions(6), machine.feed.version]).toEqual(["reset", [], 6]);
    expect([versions(2, machine.logFeed), versions(6, machine.logFeed)]).toEqual([[3, 4, 5], []]);
    change();
    expect([versions(1), versions(4), versions(6)]).toEqual([[2, 3, 4, 5, 6], [5, 6], []]);
    change();
    expect([versions(4), machine.logFeed === machine.feed]).toEqual([[5, 6, 7], true]);
    const begun = new ControlMachine(sha256);
    begun.adopt(bytes);
    expect(begun.logFeed).toBe(begun.feed);
    // As a start does: the state that was kept, then the snapshot, then the entries after it.
    begun.restore(machineAfter(2).machine.snapshot());
    const { cluster: same } = machineAfter(2);
    for (let i = 0; i < 3; i++) {
      const command = same.make("set-placement", { minOwners: 1 + (same.index % 3) });
      same.apply(command);
      begun.apply({ index: same.index, bytes: encodeCommand(command) });
    }
    expect([versions(3, begun.feed), versions(2, begun.feed)]).toEqual([[4, 5, 6], "reset"]);
  });

  it("remembers across a snapshot which commands it has applied", () => {
    const { machine, cluster } = machineAfter(1);
    const command = cluster.make("set-placement", { minOwners: 3 });
    const result = machine.apply({ index: 3, bytes: encodeCommand(command) });
    const heir = new ControlMachine(sha256);
    heir.restore(machine.snapshot());
    expect(heir.apply({ index: 4, bytes: encodeCommand(command) })).toEqual(result);
    expect(heir.state?.version).toBe(3);
  });
});

/** A watcher of one machine, as a client is: it has a view and a version. */
class Watcher {
  view: Tree = {};
  version = 0;
  readonly told = { events: 0, resets: 0 };

  look({ feed, state }: ControlMachine): void {
    const answer = feed.since(this.version);
    if (answer.kind === "reset") {
      expect(answer.version).toBeGreaterThan(this.version);
      ({ view: this.view, version: this.version } = answer);
      this.told.resets += 1;
    } else
      for (const event of answer.events) {
        expect(event.version).toBeGreaterThan(this.version);
        expect(event.previous ?? 0).toBe(this.version);
        this.view = replay(this.view, event.changes);
        this.version = event.version;
        this.told.events += 1;
      }
    expect(this.version).toBe(state?.version ?? 0);
    expect(this.view).toEqual(state ? viewOf(state) : {});
  }
}

const doing = fc.oneof(
  { arbitrary: fc.record({ what: fc.constantFrom("apply", "look"), at: fc.constant(0) }), weight: 6 },
  fc.record({ what: fc.constantFrom("adopt", "restore"), at: fc.nat(40) }),
);

describe("what a control machine shows", () => {
  it("is the newest that it had by any way; watchers have no version twice and no older one", () => {
    const told = { events: 0, resets: 0, behind: 0 };
    fc.assert(
      fc.property(history, fc.array(doing, { maxLength: 80, size: "max" }), (some, deeds) => {
        const { moments } = lived(some);
        const controls = [UNFOUNDED];
        for (const { index, command } of moments)
          controls.push(apply(controls.at(-1) ?? UNFOUNDED, index, command).control);
        const states = new Set(controls.map(({ state }) => state).filter((state) => state !== null));
        const hashes = new Map([...states].map((state) => [state, hashOf(state, sha256)]));
        const machine = new ControlMachine(sha256);
        const watcher = new Watcher();
        // Of `controls`: what its log came to, and the newest it had.
        let [at, newest] = [0, 0];
        for (const { what, at: wish } of deeds) {
          const other = wish % controls.length;
          const { state } = controls[other] as Control;
          const isNewer = (state?.version ?? 0) > (machine.state?.version ?? 0);
          if (what === "look") watcher.look(machine);
          else if (what === "adopt" && state) expect(machine.adopt(encodeState(state))).toBe(isNewer);
          else if (what === "restore") {
            machine.restore(encodeControl(controls[other] as Control));
            at = other;
          } else if (what === "apply" && at < moments.length) {
            const { index, command, result } = moments[at] as Moment;
            expect(machine.apply({ index, bytes: encodeCommand(command) })).toEqual(result);
            at += 1;
          }
          newest = Math.max(newest, at, what === "adopt" ? other : 0);
          const shown = (controls[newest] as Control).state;
          expect(machine.hash()).toBe(shown && hashes.get(shown));
          expect(machine.feed.version).toBe(shown?.version ?? 0);
          const applied = (controls[at] as Control).state;
          expect(machine.appliedState?.version).toBe(applied?.version);
          if (machine.appliedState !== machine.state) told.behind += 1;
        }
        watcher.look(machine);
        expect(machine.snapshot()).toEqual(encodeControl(controls[at] as Control));
        told.events += watcher.told.events;
        told.resets += watcher.told.resets;
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 60) },
    );
    expect(Math.min(told.events, told.resets, told.behind)).toBeGreaterThan(10);
  });
});
