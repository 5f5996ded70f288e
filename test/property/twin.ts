// The naive twin: keeps every operation with what its writer had seen, and computes what shows from all of them each
// time. It knows no vectors, no stubs, no sums; slow and obvious on purpose.
//
// How it models counters (data.md, Types). An increment is a fact that continues its run's chain: it replaces the run's
// last live increment at that slot, where there is one here; otherwise it begins a chain. Whoever removes (or resets)
// having seen a chain has seen its last live increment, and with it the chain up to there.
//  - Value: over every chain whose last increment no operation removed, the increments that are not cancelled.
//    So delete ∥ increment keeps the whole uncancelled share of the run that incremented: the chain's last increment is
//    one the delete had not seen.
//  - Cancelled: what a live reset had seen, or had been cancelled by resets that it replaced; and what resets had
//    cancelled of its own chain that the run saw when it incremented (so a delete of the reset doesn't bring it back).
//  - A reset with a context counts a chain only if that reader's last increment of it is also the last one here: a node
//    can't tell how much of a longer chain the reader saw, and what may be unseen stays.

import type { RecordedRequest, Twin } from "../../crdt/replicas.test-kit.ts";
import type { Op, SlotOp } from "../../crdt/write.ts";
import { toHex } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";

interface Fact {
  readonly id: number;
  readonly request: number;
  readonly actor: ActorId;
  readonly path: readonly string[];
  readonly kind: "register" | "flag" | "set" | "increment" | "reset";
  /** What it shows: a register's or element's bytes as text. */
  readonly text: string;
  readonly by: bigint;
  /** Increments: the chain up to and with this one. */
  readonly chain: readonly Fact[];
  /** Increments that are cancelled for whoever sees this fact. */
  readonly cancelled: ReadonlySet<Fact>;
}

interface Remembered {
  readonly key: string;
  readonly facts: readonly Fact[];
  readonly removed: ReadonlySet<Fact>;
}

/** The slot's facts while one request is recorded: a later operation sees what an earlier one made. */
interface Recording {
  readonly request: RecordedRequest;
  readonly visible: Set<Fact>;
  readonly shown: Set<Fact>;
  readonly removed: Set<Fact>;
  readonly made: Set<Fact>;
}

export class NaiveTwin implements Twin {
  readonly #requests: Remembered[] = [];
  #facts = 0;

  record(request: RecordedRequest): void {
    const visible = this.#live(request.key, request.here);
    const shown = request.saw ? this.#live(request.key, request.saw) : new Set(visible);
    const recording: Recording = { request, visible, shown, removed: new Set(), made: new Set() };
    for (const op of request.ops) this.#operate(recording, op);
    const facts = [...recording.made].filter((fact) => !recording.removed.has(fact));
    this.#requests[request.id] = { key: request.key, facts, removed: recording.removed };
  }

  #live(key: string, requests: ReadonlySet<number>): Set<Fact> {
    const live = new Set<Fact>();
    const known: Remembered[] = [];
    for (const id of requests) {
      const request = this.#requests[id];
      if (request?.key !== key) continue;
      known.push(request);
      for (const fact of request.facts) live.add(fact);
    }
    for (const { removed } of known) for (const fact of removed) live.delete(fact);
    return live;
  }

  #operate(recording: Recording, op: Op): void {
    const { visible, shown, removed, made } = recording;
    const saw = (fact: Fact): boolean => shown.has(fact) || made.has(fact);
    const remove = (facts: Iterable<Fact>): void => {
      for (const fact of facts) removed.add(fact);
    };
    const wholeRow = op.path.length === 0 && ("removeAll" in op || op.slot.op === "assign");
    if (wholeRow) remove([...shown, ...made]); // also what the reader saw and this node has not
    if ("removeAll" in op) {
      const under = (fact: Fact): boolean =>
        JSON.stringify(fact.path.slice(0, op.path.length)) === JSON.stringify(op.path);
      remove([...visible, ...made].filter((fact) => under(fact) && saw(fact)));
      return;
    }
    const at = JSON.stringify(op.path);
    const here = [...visible, ...made].filter((fact) => JSON.stringify(fact.path) === at && !removed.has(fact));
    this.#change(recording, op.path, op.slot, here, here.filter(saw));
  }

  #change(
    recording: Recording,
    path: readonly string[],
    op: SlotOp,
    here: readonly Fact[],
    seen: readonly Fact[],
  ): void {
    const { request, removed, made } = recording;
    const remove = (kind: Fact["kind"], texts?: readonly string[]): void => {
      for (const fact of seen) if (fact.kind === kind && (!texts || texts.includes(fact.text))) removed.add(fact);
    };
    const make = (kind: Fact["kind"], more: Partial<Fact> = {}): void => {
      const fact = { text: "", by: 0n, chain: [], cancelled: new Set<Fact>(), ...more };
      made.add({ id: this.#facts++, request: request.id, actor: request.actor, path, kind, ...fact });
    };
    switch (op.op) {
      case "assign":
        remove("register");
        make("register", { text: `${op.contentType}:${toHex(op.bytes)}` });
        return;
      case "enable":
        remove("flag");
        make("flag");
        return;
      case "disable":
        remove("flag");
        return;
      case "clear":
        remove("set");
        return;
      case "add":
      case "remove": {
        const texts = [...new Set(op.elements.map(toHex))];
        remove("set", texts);
        if (op.op === "add") for (const text of texts) make("set", { text });
        return;
      }
      case "increment":
        this.#increment(recording, path, op.by, here);
        return;
      case "reset":
        this.#reset(recording, path, seen);
        return;
    }
  }

  #increment({ request, removed, made }: Recording, path: readonly string[], by: bigint, here: readonly Fact[]): void {
    const before = here.filter((fact) => fact.kind === "increment" && fact.actor === request.actor).at(-1);
    const resets = here.filter((fact) => fact.kind === "reset").flatMap((reset) => [...reset.cancelled]);
    const own = new Set(before?.chain);
    if (before) removed.add(before);
    const fact: Fact = {
      id: this.#facts++,
      request: request.id,
      actor: request.actor,
      path,
      kind: "increment",
      text: "",
      by,
      get chain() {
        return [...(before?.chain ?? []), fact];
      },
      cancelled: new Set([...(before?.cancelled ?? []), ...resets.filter((fact) => own.has(fact))]),
    };
    made.add(fact);
  }

  #reset({ request, removed, made }: Recording, path: readonly string[], seen: readonly Fact[]): void {
    const cancelled = new Set<Fact>();
    for (const fact of seen) {
      const begunNow = fact.kind === "increment" && fact.chain[0]?.request === request.id;
      if (fact.kind === "reset") for (const earlier of fact.cancelled) cancelled.add(earlier);
      if (fact.kind === "increment" && !begunNow) for (const link of fact.chain) cancelled.add(link);
      if (fact.kind === "reset" || begunNow) removed.add(fact);
    }
    if (cancelled.size === 0) return;
    const fact = { text: "", by: 0n, chain: [], cancelled };
    made.add({ id: this.#facts++, request: request.id, actor: request.actor, path, kind: "reset", ...fact });
  }

  show(key: string, requests: ReadonlySet<number>): string {
    const slots = new Map<string, Fact[]>();
    for (const fact of this.#live(key, requests)) {
      const type = fact.kind === "increment" || fact.kind === "reset" ? "counter" : fact.kind;
      const name = `${JSON.stringify(fact.path)} ${type}`;
      slots.set(name, [...(slots.get(name) ?? []), fact]);
    }
    const line = ([name, facts]: [string, Fact[]]): string => {
      if (name.endsWith(" flag")) return `${name} true`;
      if (name.endsWith(" counter")) return `${name} ${counted(facts)}`;
      return `${name} ${[...new Set(facts.map((fact) => fact.text))].sort().join(" ")}`;
    };
    return [...slots].map(line).sort().join("\n");
  }
}

function counted(facts: readonly Fact[]): bigint {
  const cancelled = new Set(facts.flatMap((fact) => [...fact.cancelled]));
  const links = facts.flatMap((fact) => fact.chain).filter((link) => !cancelled.has(link));
  return links.reduce((sum, link) => sum + link.by, 0n);
}
