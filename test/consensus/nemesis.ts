import type { Configuration, GroupChange, MemberChange } from "../../src/consensus/core/configuration.ts";
import { isJoint, memberIds } from "../../src/consensus/core/configuration.ts";
import type { Id } from "../../src/consensus/core/quorum.ts";
import { type Rng, shuffle } from "../../src/kernel/rng.ts";
import type { Agenda } from "./agenda.ts";
import type { Network } from "./network.ts";
import { isRefusal, type SimNode } from "./node.ts";
import type { Fault, Plan } from "./plan.ts";

/** What the faults act on. */
export interface Target {
  readonly plan: Plan;
  readonly agenda: Agenda;
  readonly network: Network;
  readonly nodes: ReadonlyMap<Id, SimNode>;
  /** A node with an empty disk. */
  born(): SimNode | null;
  fault(what: string, detail: unknown): void;
}

export const STALL_MS_MAX = 2_500;
const NO_DATA = new Uint8Array(0);

/** Does what the plan says, at moments drawn from the seed, until it is stopped. */
export class Nemesis {
  readonly #target: Target;
  readonly #rng: Rng;
  #isStopped = false;
  #hasDamaged = false;

  constructor(target: Target, rng: Rng) {
    this.#target = target;
    this.#rng = rng;
  }

  begin(): void {
    for (const [fault, everyMs] of this.#target.plan.faults) this.#repeat(fault, everyMs);
  }

  stop(): void {
    this.#isStopped = true;
  }

  #repeat(fault: Fault, everyMs: number): void {
    this.#target.agenda.after(everyMs * (0.2 + 1.6 * this.#rng.unit()), () => {
      if (this.#isStopped) return;
      this.#act(fault);
      this.#repeat(fault, everyMs);
    });
  }

  #act(fault: Fault): void {
    const node = this.#victim();
    if (fault === "crash") this.#crash(node);
    else if (fault === "cut") this.#cut();
    else if (fault === "stall") node.stall(this.#rng.unit() * STALL_MS_MAX);
    else if (fault === "compact") node.compact();
    else if (fault === "change") this.#change();
    else if (fault === "transfer") this.#transfer();
    else this.#damage(node);
  }

  #nodes(): SimNode[] {
    return [...this.#target.nodes.values()];
  }

  #anyNode(): SimNode {
    const nodes = this.#nodes();
    return nodes[this.#rng.below(nodes.length)] as SimNode;
  }

  /** Often whoever leads: what it did not finish, others must. */
  #victim(): SimNode {
    const leaders = this.#nodes().filter(({ raft }) => raft?.role === "leader");
    return this.#rng.unit() < 0.4 ? (leaders[this.#rng.below(leaders.length)] ?? this.#anyNode()) : this.#anyNode();
  }

  #crash(first: SimNode): void {
    const together = this.#rng.unit() < 0.15 ? this.#nodes() : [first];
    this.#target.fault(
      "crash",
      together.map(({ id }) => id),
    );
    for (const node of together) {
      node.crash();
      if (this.#target.plan.seed % 2 === 0) this.#target.agenda.after(1, () => this.#breakLinks([node.id]));
      this.#target.agenda.after(50 + this.#rng.unit() * 3_000, () => {
        if (!this.#isStopped && !node.isUp && !node.isDamaged) node.start();
      });
    }
  }

  #cut(): void {
    const { network, agenda } = this.#target;
    const victim = this.#victim().id;
    const ids = [victim, ...shuffle([...this.#target.nodes.keys()], this.#rng).filter((id) => id !== victim)];
    const links = this.#links(ids);
    this.#target.fault("cut", links);
    for (const [from, to] of links) network.cut(from, to);
    // Also where nobody is gone.
    if (this.#target.plan.seed % 4 === 1) agenda.after(1, () => this.#breakLinks(ids));
    agenda.after(300 + this.#rng.unit() * 5_000, () => network.heal());
  }

  /** All others see that their links to these broke. */
  #breakLinks(ids: readonly Id[]): void {
    for (const node of this.#nodes())
      for (const id of ids) if (id !== node.id) node.input((raft) => raft.linkBroke(id));
  }

  #links(ids: readonly Id[]): [Id, Id][] {
    const how = this.#rng.below(5);
    const half = how < 2 ? 1 : 1 + this.#rng.below(ids.length - 1);
    const here = ids.slice(0, half);
    const there = ids.slice(half);
    const out = here.flatMap((a) => there.map((b): [Id, Id] => [a, b]));
    const back = out.map(([a, b]): [Id, Id] => [b, a]);
    if (how === 0) return out;
    if (how === 1) return back;
    if (how < 4) return [...out, ...back];
    return [...out, ...back].filter(() => this.#rng.unit() < 0.5);
  }

  #transfer(): void {
    const from = this.#someoneWhoKnows();
    const to = this.#anyNode();
    this.#target.fault("transfer", { by: from?.id, to: to.id });
    from?.input((raft) => raft.transfer(to.id));
  }

  /** Mostly the leader; else anybody who is up. */
  #someoneWhoKnows(): SimNode | undefined {
    const up = this.#nodes().filter(({ isUp }) => isUp);
    const leader = up.find(({ raft }) => raft?.role === "leader");
    return leader && this.#rng.unit() < 0.7 ? leader : up[this.#rng.below(up.length)];
  }

  #damage(node: SimNode): void {
    if (this.#hasDamaged) return;
    node.crash();
    this.#hasDamaged = node.damage();
    if (!this.#hasDamaged) node.start();
  }

  // ---- changes of the group

  #change(): void {
    const by = this.#someoneWhoKnows();
    if (!by?.raft) return;
    const change = this.#drawChange(by.raft.configuration);
    if (!change) return;
    this.#target.fault("change", { by: by.id, ...change });
    try {
      by.input((raft) => raft.propose([{ kind: "change", change, data: NO_DATA }]));
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
  }

  #drawChange(configuration: Configuration): GroupChange | null {
    if (isJoint(configuration)) {
      const isPatient = this.#rng.unit() < this.#target.plan.patience;
      return isPatient ? null : { transition: "auto", changes: [] };
    }
    const count = this.#rng.unit() < 0.6 ? 1 : 2 + this.#rng.below(2);
    const changes: MemberChange[] = [];
    for (let i = 0; i < count; i++) {
      const one = this.#drawOne(configuration, changes);
      if (one) changes.push(one);
    }
    if (changes.length === 0) return null;
    const transition = (["auto", "joint-auto-leave", "joint-explicit"] as const)[this.#rng.below(3)] ?? "auto";
    return { transition, changes };
  }

  #drawOne(configuration: Configuration, others: readonly MemberChange[]): MemberChange | null {
    const members = memberIds(configuration);
    const isFree = (id: Id): boolean => !others.some((other) => other.id === id);
    const kind = (["voter", "voter", "learner", "remove"] as const)[this.#rng.below(4)] ?? "voter";
    const isMeantForMembers = kind === "remove" || this.#rng.unit() < 0.4;
    const known = isMeantForMembers ? members : [...this.#target.nodes.keys()].filter((id) => !members.includes(id));
    const candidates = known.filter(isFree).filter((id) => !this.#target.nodes.get(id)?.isDamaged);
    const id =
      candidates[this.#rng.below(candidates.length)] ?? (isMeantForMembers ? undefined : this.#target.born()?.id);
    if (id === undefined) return null;
    const voters = configuration.incoming;
    const fewer = others.filter((other) => other.kind !== "voter" && voters.has(other.id)).length;
    const isLess = kind !== "voter" && voters.has(id);
    // One voter alone is no quorum that a fault can part; seldom it may be so.
    if (isLess && voters.size - fewer <= 3 && this.#rng.unit() < 0.8) return null;
    return { kind, id };
  }
}
