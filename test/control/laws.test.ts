import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { apply, RECENT_MAX, UNFOUNDED } from "../../src/control/apply.ts";
import {
  decodeCommand,
  decodeControl,
  decodeState,
  encodeCommand,
  encodeControl,
  encodeState,
  hashOf,
} from "../../src/control/codec.ts";
import { commandSchema } from "../../src/control/commands.ts";
import { diff, replay } from "../../src/control/diff.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import { MAX } from "../../src/control/schemas.ts";
import { votersWanted } from "../../src/control/state.ts";
import { viewOf } from "../../src/control/view.ts";
import { equalBytes } from "../../src/kernel/bytes.ts";
import { history, lived, type Moment } from "./arbitraries.ts";
import { Cluster, hashOfText, nodeNamed, sha256 } from "./cluster.ts";

const RUNS = { numRuns: Number(process.env.LAW_RUNS ?? 80) };
const hold = (
  claim: (moments: readonly Moment[], lived: ReturnType<typeof import("./arbitraries.ts").lived>) => void,
): void =>
  fc.assert(
    fc.property(history, (some) => {
      const all = lived(some);
      claim(all.moments, all);
    }),
    RUNS,
  );

describe("laws of the control state, over random logs", () => {
  it("in which every kind of command is applied, and refused", () => {
    const moments = fc.sample(history, { numRuns: 200, seed: 1 }).flatMap((some) => lived(some).moments);
    const kinds = (ok: boolean): string[] =>
      [...new Set(moments.filter(({ result }) => result.ok === ok).map(({ command }) => command.kind))].sort();
    const all = commandSchema.options.map(({ shape }) => shape.kind.value).filter((kind) => kind !== "finalize");
    expect(kinds(true)).toEqual([...all].sort());
    expect(kinds(false)).toEqual(all.filter((kind) => kind !== "init").sort());
  });

  it("who applies the same commands has the same state and hash, and gives the same answers, also from a snapshot on", () => {
    fc.assert(
      fc.property(history, fc.nat(), (some, cut) => {
        const { moments, cluster } = lived(some);
        const machines = [new ControlMachine(sha256), new ControlMachine(sha256)] as const;
        const restartAt = cut % moments.length;
        for (const [i, { command, index, result }] of moments.entries()) {
          if (i === restartAt) machines[1].restore(machines[0].snapshot());
          const entry = { index, bytes: encodeCommand(command) };
          expect(machines[0].apply(entry)).toEqual(result);
          if (i >= restartAt) expect(machines[1].apply(entry)).toEqual(result);
        }
        expect(machines[1].snapshot()).toEqual(machines[0].snapshot());
        expect(machines[1].hash()).toBe(machines[0].hash());
        expect(machines[0].hash()).toBe(hashOf(cluster.state, sha256));
      }),
      RUNS,
    );
  });

  it("hashes are equal where states are, and else differ", () =>
    hold((moments) => {
      const byHash = new Map<string, string>();
      for (const { after } of moments) {
        if (!after) continue;
        const text = Buffer.from(encodeState(after)).toString();
        const known = byHash.get(hashOf(after, sha256)) ?? text;
        expect(known).toBe(text);
        byHash.set(hashOf(after, sha256), text);
      }
      expect(new Set(byHash.values()).size).toBe(byHash.size);
    }));

  it("commands, states and snapshots come back from their bytes", () =>
    hold((moments, { cluster }) => {
      for (const { command } of moments) expect(decodeCommand(encodeCommand(command), 2)).toEqual(command);
      expect(decodeState(encodeState(cluster.state))).toEqual(cluster.state);
      expect(decodeControl(encodeControl(cluster.control))).toEqual(cluster.control);
    }));

  it("the version is the index of what changed the state last, and only grows; a refusal changes nothing", () =>
    hold((moments) => {
      for (const { before, after, index, result } of moments) {
        if (after === before) continue;
        expect(result).toEqual({ ok: true, version: index });
        expect(after?.version).toBe(index);
        expect(index).toBeGreaterThan(before?.version ?? 0);
      }
      for (const { before, after, result } of moments) if (!result.ok) expect(after).toBe(before);
    }));

  it("no state that was handed out is changed later", () =>
    hold((moments) => {
      let control = UNFOUNDED;
      for (const { command, index, after } of moments) {
        control = apply(control, index, command).control;
        // What was handed out has seen all that came later.
        if (control.state && after) expect(equalBytes(encodeState(after), encodeState(control.state))).toBe(true);
      }
    }));

  it("the differences between two versions make the one of the other", () =>
    hold((moments) => {
      for (const { before, after } of moments) {
        if (!before || !after || before === after) continue;
        const changes = diff(viewOf(before), viewOf(after));
        expect(replay(viewOf(before), changes)).toEqual(viewOf(after));
        expect(replay(viewOf(after), diff(viewOf(after), viewOf(before)))).toEqual(viewOf(before));
      }
    }));

  it("there is always somebody to vote, and tables and memory keep their bounds", () =>
    hold((moments, { cluster }) => {
      for (const { after } of moments) {
        if (!after) continue;
        const voters = votersWanted(after).length;
        expect(voters).toBeGreaterThan(0);
        expect(voters).toBeLessThanOrEqual(5);
        expect(after.members.size).toBeLessThanOrEqual(MAX.members);
        for (const { usesLeft, uses } of after.joinTokens.values())
          expect(usesLeft >= 0 && usesLeft <= uses).toBe(true);
        for (const { history: past } of after.policies.values())
          expect(past.length).toBeLessThanOrEqual(MAX.policyHistory);
      }
      const { entries, floor } = cluster.control.recent;
      expect(entries.length).toBeLessThanOrEqual(RECENT_MAX);
      expect(floor).toBeLessThanOrEqual(cluster.state.version);
    }));

  it("no view and no difference tells a hash of a secret", () =>
    hold((moments) => {
      const secrets = ["tok0", "tok1", "tok2"].map((token) => hashOfText(`${token} secret`));
      secrets.push(hashOfText("salt"), hashOfText("a key"));
      for (const { before, after } of moments) {
        if (!after) continue;
        const told = JSON.stringify([viewOf(after), before && diff(viewOf(before), viewOf(after))]);
        for (const secret of secrets) expect(told).not.toContain(secret);
        // Whatever a later version adds: nothing that looks like a hash.
        expect(told).not.toMatch(/[0-9a-f]{64}/);
      }
    }));

  it("a token opens the door as often as it says, however often and in whatever order its joins are in the log", () => {
    const joins = fc.array(fc.integer({ min: 0, max: 7 }), { minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), joins, (uses, order) => {
        const cluster = new Cluster("eu");
        const hash = hashOfText("door");
        cluster.ok("token-create", { token: "door", hash, uses, region: null, expiresAtMs: cluster.nowMs + 1e9 });
        const attempts = Array.from({ length: 8 }, (_, i) => {
          return cluster.make(
            "join",
            { cluster: "birds", token: "door", tokenHash: hash, member: nodeNamed(`m${i}`), replace: null },
            { id: `attempt-${i}` },
          );
        });
        const results = order.map((i) => [i, cluster.apply(attempts[i] as Moment["command"])] as const);
        const joined = [...cluster.state.members.keys()].filter((id) => id.startsWith("m"));
        expect(joined.length).toBe(Math.min(uses, new Set(order).size));
        expect(cluster.state.joinTokens.get("door")?.usesLeft).toBe(uses - joined.length);
        // Each attempt has one answer, whenever it is asked for.
        for (const [i, result] of results) expect(result.ok).toBe(joined.includes(`m${i}`));
      }),
      RUNS,
    );
  });
});
