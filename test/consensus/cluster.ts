import { memberIds, voteOf } from "../../src/consensus/core/configuration.ts";
import { founded, NOTHING_SAVED } from "../../src/consensus/core/core.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import type { Id } from "../../src/consensus/core/quorum.ts";
import { present } from "../../src/kernel/assert.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { type EventKind, hashText, NOBODY, Trace } from "../sim/trace.ts";
import { Agenda } from "./agenda.ts";
import { Client } from "./clients.ts";
import { judge, type Operation } from "./history.ts";
import { encodeCommand, type Outcome } from "./machine.ts";
import { Nemesis, STALL_MS_MAX } from "./nemesis.ts";
import { Network } from "./network.ts";
import { isRefusal, SimNode } from "./node.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { Safety, Violation } from "./safety.ts";

const NODES_MAX = 10;
/** For everything to be well again; an election takes one or two seconds, and some go wrong. */
const CALM_MS = 40_000;
const ASK_AGAIN_MS = 1_000;
const QUIET_MS = 3_000;
/** The client that asks at the end. */
const LAST_CLIENT = 15;

interface Met {
  readonly elections: number;
  readonly groups: number;
  readonly installs: number;
  /** Entries of a log that gave way to others. */
  readonly replaced: number;
  readonly refusedStarts: number;
}

export interface Result {
  readonly seed: number;
  readonly ok: boolean;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  readonly operations: number;
  /** The search for an order was given up. */
  readonly isUndecided: boolean;
  /** Too few of its voters have whole disks: nobody can expect a leader. */
  readonly hadNoQuorum: boolean;
  readonly violation: { readonly invariant: string; readonly text: string } | null;
  /** How often there was what the checks are for. */
  readonly met: Met;
  /** For people: what was planned, and each node's last events. */
  report(): string;
}

/** Runs one seed; the same seed gives the same run. */
export function simulate(seed: number): Result {
  return new Cluster(drawPlan(seed)).run();
}

/** Nodes that come and go, their network, their clients and their bad luck, in virtual time. */
class Cluster {
  readonly plan: Plan;
  readonly agenda = new Agenda();
  readonly nodes = new Map<Id, SimNode>();
  readonly network: Network;
  readonly operations: Operation[] = [];
  readonly safety = new Safety(1);
  readonly #numbers = new Map<Id, number>();
  readonly #trace = new Trace();
  readonly #rng: Rng;
  readonly #nemesis: Nemesis;
  readonly #clients: Client[];
  #moments = 0;
  #isUndecided = false;
  #hadNoQuorum = false;

  constructor(plan: Plan) {
    this.plan = plan;
    this.#rng = seededRng(plan.seed + 0x5eed);
    this.network = new Network(plan.network, this.agenda, this.#rng.fork(), (message) => this.#deliver(message));
    this.#nemesis = new Nemesis(this, this.#rng.fork());
    const world = { ...this.#forClients(), moment: () => ++this.#moments };
    this.#clients = Array.from({ length: plan.clients }, (_, i) => new Client(i + 1, world, this.#rng.fork()));
  }

  #forClients(): Pick<Cluster, "plan" | "agenda" | "nodes" | "operations"> & {
    record(what: string, detail: unknown): void;
  } {
    const { plan, agenda, nodes, operations } = this;
    const record = (what: string, detail: unknown): void => {
      this.#trace.record(agenda.nowMs, NOBODY, what === "call" ? "request" : "response", hashText(what), detail);
    };
    return { plan, agenda, nodes, operations, record };
  }

  run(): Result {
    let violation: Result["violation"] = null;
    try {
      this.#run();
    } catch (error) {
      violation = violationOf(error);
    }
    const { seed } = this.plan;
    return {
      seed,
      ok: violation === null,
      traceHash: this.#trace.hash(),
      events: this.#trace.events,
      virtualMs: Math.round(this.agenda.nowMs),
      operations: this.operations.length,
      isUndecided: this.#isUndecided,
      hadNoQuorum: this.#hadNoQuorum,
      violation,
      met: { ...this.safety.met, refusedStarts: [...this.nodes.values()].filter((node) => node.isDamaged).length },
      report: () => this.#report(),
    };
  }

  #run(): void {
    const ids = Array.from({ length: this.plan.nodes }, (_, i) => `n${i + 1}`);
    for (const id of ids) this.#node(id, ids).start();
    for (const client of this.#clients) client.begin();
    this.#nemesis.begin();
    this.agenda.run(this.plan.busyMs);
    this.#calm();
    this.agenda.run(this.agenda.nowMs + STALL_MS_MAX);
    try {
      this.#until(() => this.#isLevel(), CALM_MS, "all members have the same log");
      this.#lastWord();
      this.#quiet();
    } catch (error) {
      if (!(error instanceof Violation) || error.invariant !== "liveness" || this.#hasQuorum()) throw error;
      this.#hadNoQuorum = true;
    }
    for (const client of this.#clients) client.end();
    const verdict = judge(this.operations);
    if (verdict === "not") throw new Violation("linearizable", "no order explains what the clients saw");
    this.#isUndecided = verdict === "undecided";
  }

  // ---- what the parts need

  send(message: Message): void {
    const arrivesMs = this.network.send(message);
    if (message.type !== "snapshot") return;
    // Whoever brings a snapshot says how it went.
    const { from, to } = message;
    this.agenda.after(arrivesMs ?? 400, () => {
      const hasArrived = arrivesMs !== null && this.nodes.get(to)?.isUp === true;
      this.nodes.get(from)?.snapshotEnded(to, hasArrived);
    });
  }

  record(id: Id, kind: EventKind, content: number, detail: unknown): void {
    this.#trace.record(this.agenda.nowMs, this.#numbers.get(id) ?? NOBODY, kind, content, detail);
  }

  fault(what: string, detail: unknown): void {
    this.#trace.record(this.agenda.nowMs, NOBODY, "fault", hashText(what), { what, detail });
  }

  born(): SimNode | null {
    if (this.nodes.size >= NODES_MAX) return null;
    const node = this.#node(`n${this.nodes.size + 1}`, null);
    node.start();
    return node;
  }

  #node(id: Id, founders: readonly Id[] | null): SimNode {
    this.#numbers.set(id, this.nodes.size);
    const saved = founders ? founded(founders, new Uint8Array(0)) : NOTHING_SAVED;
    const node = new SimNode(id, saved, this, this.#rng.fork());
    this.nodes.set(id, node);
    return node;
  }

  #deliver(message: Message): void {
    this.nodes.get(message.to)?.receive(message);
  }

  // ---- calm

  #calm(): void {
    this.#nemesis.stop();
    for (const client of this.#clients) client.isStopped = true;
    this.network.calm();
    for (const node of this.nodes.values()) if (!node.isUp && !node.isDamaged) node.start();
  }

  get #whole(): SimNode[] {
    return [...this.nodes.values()].filter(({ isDamaged }) => !isDamaged);
  }

  /** Without those whose disks are damaged; in every group that a node knows, for each may be the one that must agree. */
  #hasQuorum(): boolean {
    const votes = new Map([...this.nodes.values()].map(({ id, isDamaged }) => [id, !isDamaged]));
    return this.#whole.every(({ raft }) => !raft || voteOf(raft.configuration, votes) === "won");
  }

  #leader(): SimNode | null {
    const leaders = this.#whole.filter(({ raft }) => raft?.role === "leader");
    return leaders.length === 1 ? (leaders[0] ?? null) : null;
  }

  #isLevel(): boolean {
    const leader = this.#leader()?.raft;
    if (!leader) return false;
    const { last, committed } = leader.indexes;
    const { configuration } = leader;
    if (committed !== last || (configuration.outgoing.size > 0 && configuration.autoLeave)) return false;
    return memberIds(configuration).every((id) => {
      const node = present(this.nodes.get(id), "members are nodes");
      return node.isDamaged || (node.raft?.indexes.committed === last && node.machine.applied === last);
    });
  }

  #until(isMet: () => boolean, withinMs: number, what: string): void {
    const endMs = this.agenda.nowMs + withinMs;
    while (!isMet()) {
      if (this.agenda.nowMs > endMs) throw new Violation("liveness", `not within ${withinMs} ms of calm: ${what}`);
      this.agenda.run(this.agenda.nowMs + 50);
    }
  }

  /** A write from any member gets through, and then all members have the same state. */
  #lastWord(): void {
    const asked = this.#members();
    const node = present(asked[this.#rng.below(asked.length)], "a quorum is up");
    let isDone = false;
    const op: Operation = { ...LAST_WRITE, calledAt: ++this.#moments };
    const data = encodeCommand({ ...op, kind: "write", client: LAST_CLIENT, seq: 1 }, 0);
    // Again and again: one that was forwarded is refused without a word while leadership is on its way to another.
    let nextMs = 0;
    const ask = (): boolean => {
      if (!isDone && this.agenda.nowMs >= nextMs) {
        nextMs = this.agenda.nowMs + ASK_AGAIN_MS;
        this.#tryWrite(node, data, ({ seen }) => {
          if (!isDone) this.operations.push({ ...op, seen, returnedAt: ++this.#moments });
          isDone = true;
        });
      }
      return isDone;
    };
    this.#until(ask, CALM_MS, `a write at ${node.id} is committed`);
    this.#until(() => this.#isLevel(), CALM_MS, "all members applied the last write");
    const members = this.#members();
    const states = new Map(members.map((member) => [String(member.machine.encode()), member.id]));
    if (states.size > 1) throw new Violation("state machine safety", `${[...states.values()]} end in different states`);
    for (const member of members) this.#readAt(member, op);
  }

  /** Whose disks are whole; when all are level. */
  #members(): SimNode[] {
    const leader = present(this.#leader()?.raft, "level with a leader");
    const ids = memberIds(leader.configuration);
    return this.#whole.filter(({ id, isUp }) => isUp && ids.includes(id));
  }

  #tryWrite(node: SimNode, data: Uint8Array, answer: (outcome: Outcome) => void): void {
    try {
      node.propose({ kind: "command", data }, `${LAST_CLIENT}.1`, answer);
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
  }

  #readAt(node: SimNode, { key }: Operation): void {
    const op: Operation = { ...LAST_WRITE, kind: "read", key, calledAt: ++this.#moments };
    const count = this.operations.length;
    node.read(++this.#moments, (machine) => {
      this.operations.push({ ...op, seen: machine.read(key), returnedAt: ++this.#moments });
    });
    this.#until(() => this.operations.length > count, CALM_MS, `a read at ${node.id} is answered`);
  }

  /** Nothing happens, and nobody outside the group can make something happen. */
  #quiet(): void {
    const leader = present(this.#leader(), "level with a leader");
    const term = leader.raft?.term;
    this.agenda.run(this.agenda.nowMs + QUIET_MS);
    if (this.#leader() !== leader || leader.raft?.term !== term)
      throw new Violation("quiet", `${leader.id}, leader of term ${term}, was disturbed in calm`);
  }

  #report(): string {
    const lines = [JSON.stringify({ ...this.plan, faults: Object.fromEntries(this.plan.faults) })];
    for (const [id, number] of [["the run", NOBODY] as const, ...this.#numbers])
      lines.push(`--- ${id}`, ...this.#trace.lines(number).slice(-40));
    return lines.join("\n");
  }
}

const LAST_WRITE: Operation = {
  kind: "write",
  key: 1,
  value: 1_000_000,
  from: 0,
  calledAt: 0,
  returnedAt: Number.POSITIVE_INFINITY,
  seen: 0,
};

/** What was thrown in a run is what it found: a check's, an assertion's of the core, or any crash of it. */
function violationOf(error: unknown): { invariant: string; text: string } {
  if (error instanceof Violation) return { invariant: error.invariant, text: error.message };
  if (error instanceof Error) {
    const where = error.stack
      ?.split("\n")
      .slice(1, 5)
      .map((line) => line.trim())
      .join(" < ");
    return { invariant: `crash: ${error.name}`, text: `${error.message} (${where})` };
  }
  throw error;
}
