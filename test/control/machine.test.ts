import { describe, expect, it } from "vitest";
import { canonicalJson, encodeCommand } from "../../src/control/codec.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
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
