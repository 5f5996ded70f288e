import { describe, expect, it } from "vitest";
import { encodeElement, VersionVector } from "../../../crdt/index.ts";
import { makeActorId, parseNodeId } from "../../../src/kernel/ids.ts";
import type { ReplicaStatus } from "../../../src/replication/api.ts";
import { assign, FakeNode, KEY, removeAll, Scene } from "./fake-node.ts";
import type { Explained, FinalNode } from "./final.ts";
import { checkFinal } from "./final.ts";
import { keyId } from "./history.ts";
import { Observer } from "./observer.ts";
import { checkSums, checkValues, expectedOf } from "./values.ts";

const ID = keyId(KEY);

/** What an honest node says of itself. */
function finalOf(
  node: FakeNode,
  change: Partial<FinalNode> & { readonly explained1?: Partial<Explained> } = {},
): FinalNode {
  const { explained1, ...more } = change;
  const dots = [...node.row.cells.values()].map(({ dot }) => ({ dot: `${dot.actor}:${dot.seq}`, type: "register" }));
  const values = [...node.row.cells.values()]
    .map(({ content }) =>
      content.kind === "register" ? (JSON.parse(new TextDecoder().decode(content.bytes)) as unknown) : null,
    )
    .sort();
  const isConflict = new Set(values).size > 1;
  const explained: Explained = {
    partition: 0,
    shown: values.at(-1) ?? null,
    type: values.length > 0 ? "register" : null,
    conflict: isConflict ? "c1" : null,
    dots,
    removedBeforeTheyCame: node.row.stubs.size,
    vector: Object.fromEntries(node.state.vector.entries()),
    ...explained1,
  };
  const listed = { value: explained.shown, conflict: explained.conflict };
  return {
    name: node.name,
    digest: "d",
    records: dots.length > 0 ? 1 : 0,
    earlyEntries: 0,
    queuedWrites: 0,
    explained: new Map([[ID, explained]]),
    conflicts: new Map(isConflict ? [[ID, "c1"]] : []),
    listed: new Map(dots.length > 0 ? [[ID, listed]] : []),
    ...more,
  };
}

interface Level {
  readonly scene: Scene;
  readonly eu: FakeNode;
  readonly us: FakeNode;
}

/** Two level nodes; `values` were written one after the other, or at the same time. */
async function level(values: readonly string[], how: "after" | "beside" = "after"): Promise<Level> {
  const scene = new Scene();
  const [eu, us] = [new FakeNode(scene, "eu"), new FakeNode(scene, "us")];
  const write = async (node: FakeNode, value: string) => {
    const ops = [assign(value)];
    const entry = await node.write(ops, value);
    scene.acknowledged(node, entry, { ops });
    return entry;
  };
  if (how === "beside") {
    const [left, right] = [await write(eu, values[0] ?? ""), await write(us, values[1] ?? "")];
    await eu.receive(right);
    await us.receive(left);
  } else for (const value of values) await us.receive(await write(eu, value));
  return { scene, eu, us };
}

describe("final states of honest nodes", () => {
  it("are accepted, with values as the twin says", async () => {
    for (const { scene, eu, us } of [await level(["a", "b"]), await level(["a", "b"], "beside"), await level(["a"])]) {
      const nodes = [finalOf(eu), finalOf(us)];
      checkFinal(nodes, scene.ledger, scene.violations);
      checkValues(nodes, scene.history, scene.ledger, scene.violations);
      expect(scene.violations.list).toEqual([]);
    }
  });
});

describe("the checkers of final states reject", () => {
  type Run = (all: Level) => readonly FinalNode[];
  const cases: Record<string, { readonly invariant: string; readonly run: Run; readonly beside?: true }> = {
    "digests that differ": {
      invariant: "convergence",
      run: ({ eu, us }) => [finalOf(eu), finalOf(us, { digest: "e" })],
    },
    "values that differ": {
      invariant: "convergence",
      run: ({ eu, us }) => [finalOf(eu), finalOf(us, { explained1: { shown: "z" } })],
    },
    "a lost value": {
      invariant: "acknowledged is kept",
      run: ({ eu, us }) => [finalOf(eu), finalOf(us, { explained1: { dots: [] } })],
    },
    "a write that is gone everywhere": {
      invariant: "acknowledged is kept",
      run: ({ eu }) => [finalOf(eu, { explained1: { vector: {}, dots: [] }, records: 0, listed: new Map() })],
    },
    "a value that came back": {
      invariant: "nothing is resurrected",
      run: ({ eu }) => [
        finalOf(eu, {
          explained1: { dots: [...[1, 2].map((seq) => ({ dot: `${eu.actor}:${seq}`, type: "register" }))] },
        }),
      ],
    },
    "early entries that stay": {
      invariant: "quiet",
      run: ({ eu }) => [finalOf(eu, { earlyEntries: 1 })],
    },
    "a stub that stays": {
      invariant: "stubs go",
      run: ({ eu }) => [finalOf(eu, { explained1: { removedBeforeTheyCame: 1 } })],
    },
    "a conflict that is not listed": {
      invariant: "conflicts are listed",
      run: ({ eu }) => [finalOf(eu, { conflicts: new Map() })],
      beside: true,
    },
    "a conflict that is none": {
      invariant: "conflicts are listed",
      run: ({ eu }) => [finalOf(eu, { conflicts: new Map([[ID, "c1"]]) })],
    },
    "ids that differ": {
      invariant: "conflict ids",
      run: ({ eu, us }) => [finalOf(eu), finalOf(us, { explained1: { conflict: "c2" } })],
      beside: true,
    },
    "records that are miscounted": {
      invariant: "records are counted",
      run: ({ eu }) => [finalOf(eu, { records: 2 })],
    },
    "a record that is not listed": {
      invariant: "records are listed",
      run: ({ eu }) => [finalOf(eu, { listed: new Map() })],
    },
  };

  for (const [what, { invariant, run, beside }] of Object.entries(cases))
    it(what, async () => {
      const all = await level(["a", "b"], beside ? "beside" : "after");
      checkFinal(run(all), all.scene.ledger, all.scene.violations);
      expect(all.scene.broken).toContain(invariant);
    });

  it("a value that the twin does not know", async () => {
    const { scene, eu } = await level(["a"]);
    checkValues([finalOf(eu, { explained1: { shown: "z" } })], scene.history, scene.ledger, scene.violations);
    expect(scene.broken).toEqual(["types"]);
  });

  it("excuse a write that was lost with a disk", async () => {
    const { scene, eu } = await level(["a"]);
    for (const write of scene.ledger.written.values()) write.lost = true;
    const gone = finalOf(eu, { explained1: { vector: {}, dots: [], shown: null }, records: 0, listed: new Map() });
    checkFinal([gone], scene.ledger, scene.violations);
    expect(scene.violations.list).toEqual([]);
  });
});

describe("sums and elements that follow from histories alone", () => {
  const increment = (by: number) => [{ path: [], slot: { op: "increment" as const, by: BigInt(by) } }];
  const add = (word: string) => [{ path: [], slot: { op: "add" as const, elements: [encodeElement(word)] } }];

  async function shown(what: "counts" | "words", value: unknown, isLost = false): Promise<string[]> {
    const { scene, eu } = await level([]);
    for (const [i, by] of [5, -2].entries()) {
      const ops = what === "counts" ? increment(by) : add(`w${i}`);
      scene.acknowledged(eu, null, { ops, tag: `${i}`, outcome: i === 0 ? "acknowledged" : "unknown" });
    }
    checkSums([finalOf(eu, { explained1: { shown: value } })], scene.history, () => isLost, scene.violations);
    return scene.broken;
  }

  it("are within what was acknowledged and what may have happened", async () => {
    expect(await shown("counts", 5)).toEqual([]);
    expect(await shown("counts", 3)).toEqual([]);
    expect(await shown("counts", null, true)).toEqual([]);
    expect(await shown("words", ["w0"])).toEqual([]);
    expect(await shown("words", ["w0", "w1"])).toEqual([]);
  });

  it("are rejected beyond that", async () => {
    expect(await shown("counts", 6)).toEqual(["counters"]);
    expect(await shown("counts", 2)).toEqual(["counters"]);
    expect(await shown("counts", null)).toEqual(["counters"]);
    expect(await shown("words", ["w1"])).toEqual(["sets"]);
    expect(await shown("words", ["w0", "w9"])).toEqual(["sets"]);
  });
});

describe("the twin's words as JSON", () => {
  it("are nested as maps are, and name conflicts", () => {
    const json = (value: unknown): string => `application/json:${Buffer.from(JSON.stringify(value)).toString("hex")}`;
    expect(expectedOf("")).toBeNull();
    expect(expectedOf(`[] register ${json("a")}`)).toBe("a");
    expect(expectedOf(`[] register ${json("a")} ${json("b")}`)).toBe("conflict");
    expect(expectedOf(`[] flag true\n["f"] counter 1`)).toBe("conflict");
    expect(expectedOf(`["a","b"] counter -3\n["c"] flag true`)).toEqual({ a: { b: -3 }, c: true });
  });
});

describe("the observer rejects", () => {
  const bounds = { queueDepth: 3, earlyEntries: 3 };
  const status = (digest: string, more: Partial<ReplicaStatus> = {}): ReplicaStatus => ({
    actor: makeActorId(parseNodeId("eu"), 1, 1),
    records: 0,
    digest,
    partitions: [
      { partition: 0, records: 0, digest, vector: new VersionVector(), floor: new VersionVector(), damagedLeaves: 0 },
    ],
    peers: [],
    ready: true,
    queueDepth: 0,
    earlyEntries: 0,
    disk: { level: "ample", freeBytes: null },
    clock: { suspect: false, clocks: 1, offsetMs: null, uncertaintyMs: null },
    ...more,
  });

  it("equal digests of different dots", async () => {
    const { scene, eu } = await level(["a"]);
    const observer = new Observer(scene.ledger, scene.violations, bounds);
    observer.look("eu", status("d1"));
    await eu.write([removeAll], "2");
    observer.look("eu", status("d1"));
    expect(scene.broken).toEqual(["same dots, same digest"]);
  });

  it("different digests of the same dots", async () => {
    const { scene } = await level(["a"]);
    const observer = new Observer(scene.ledger, scene.violations, bounds);
    observer.look("eu", status("d1"));
    observer.look("us", status("d2"));
    expect(scene.broken).toEqual(["same dots, same digest"]);
  });

  it("queues above their bounds", async () => {
    const { scene } = await level([]);
    const observer = new Observer(scene.ledger, scene.violations, bounds);
    observer.look("eu", status("d", { queueDepth: 4 }));
    observer.look("us", status("d", { earlyEntries: 4 }));
    expect(scene.violations.count).toBe(2);
    expect(scene.broken).toEqual(["bounded"]);
  });
});
