import { type Configuration, changed, isJoint, leaveJoint, NOBODY } from "../../src/consensus/core/configuration.ts";
import { restored } from "../../src/consensus/core/core.ts";
import { advise } from "../../src/control/autopilot.ts";
import { ANSWER_MS, type Decision, type GroupView, type Hearsay, type Situation } from "../../src/control/group.ts";
import { votersWanted } from "../../src/control/state.ts";
import { present } from "../../src/kernel/assert.ts";
import { type Cluster, instanceOf } from "./cluster.ts";

const STEP_MS = 1_000;
const FAR = 1_000;

/** A cluster, its Raft group and who truly lives. Each step takes a second, in which the leader carries out one advice.
 *  Raft is played by its rules for groups; whoever lives and is in the group answers and catches up in two steps, unless it
 *  has another log than the one that the group took in: it stays silent then. */
export class GroupWorld {
  readonly cluster: Cluster;
  readonly dead = new Set<string>();
  readonly decisions: Decision[] = [];
  /** What the last advice was given on. */
  lastSituation: Situation;
  leader: string;
  nowMs = 1_000_000;
  #leaderSinceMs = 1_000_000;
  #group = { configuration: NOBODY as Configuration, progress: restored(null, 0).progress };
  readonly #heardAtMs = new Map<string, number>();
  readonly #steps = new Map<string, number>();
  readonly #diedAtMs = new Map<string, number>();
  /** With which log each one in the group came to it. */
  readonly #takenIn = new Map<string, string>();

  constructor(cluster: Cluster) {
    this.cluster = cluster;
    const incoming = votersWanted(cluster.state).filter((id) => cluster.memberOf(id).instance !== null);
    this.#group = restored({ incoming, outgoing: [], learners: [], learnersNext: [], autoLeave: false }, FAR);
    this.leader = present(incoming[0], "a founder votes");
    this.#takeIn();
    this.#hear();
    this.lastSituation = this.situation();
  }

  get configuration(): Configuration {
    return this.#group.configuration;
  }

  get voters(): string[] {
    return [...this.configuration.incoming].sort();
  }

  kill(id: string): this {
    this.dead.add(id);
    // The leader counts on it for a moment longer. To die in that moment is to die after the advice: no promise covers it.
    this.#heardAtMs.set(id, Math.min(this.#heardAtMs.get(id) ?? 0, this.nowMs - ANSWER_MS - 1));
    this.#diedAtMs.set(id, this.nowMs);
    return this;
  }

  isAlive(id: string): boolean {
    return !this.dead.has(id);
  }

  /** It is in the group with the log that it has now, or not at all. */
  isWhole(id: string): boolean {
    const taken = this.#takenIn.get(id);
    const member = this.cluster.state.members.get(id);
    return taken === undefined || member === undefined || member.instance === taken;
  }

  /** It lost its log and claims a new one, and doesn't lead from then on. Refused where it is the only voter. */
  lose(id: string, life: number): this {
    const { addresses, protocol, weight, zone } = this.cluster.memberOf(id);
    const fields = { member: id, addresses, protocol, weight, zone, instance: instanceOf(id, life) };
    if (!this.cluster.try("update-member", fields).ok || this.isWhole(id)) return this;
    this.#heardAtMs.set(id, Math.min(this.#heardAtMs.get(id) ?? 0, this.nowMs - ANSWER_MS - 1));
    if (id === this.leader) this.#elect();
    return this;
  }

  truth(): Map<string, Hearsay> {
    const told = (id: string): Hearsay =>
      this.dead.has(id) ? { isAlive: false, sinceMs: this.#diedAtMs.get(id) ?? 0 } : { isAlive: true, sinceMs: 0 };
    return new Map([...this.cluster.state.members.keys()].map((id) => [id, told(id)]));
  }

  view(): GroupView {
    const { incoming, outgoing, learners } = this.configuration;
    const others = [...new Set([...incoming, ...outgoing, ...learners])].filter((id) => id !== this.leader);
    const follower = (id: string) => ({
      match: (this.#steps.get(id) ?? 0) >= 2 ? FAR : 0,
      heardAtMs: this.#heardAtMs.get(id) ?? null,
    });
    return {
      self: this.leader,
      leaderSinceMs: this.#leaderSinceMs,
      configuration: this.configuration,
      committed: FAR,
      followers: new Map(others.map((id) => [id, follower(id)])),
    };
  }

  situation(hearsay: ReadonlyMap<string, Hearsay> = this.truth()): Situation {
    return { state: this.cluster.state, group: this.view(), hearsay, nowMs: this.nowMs };
  }

  step(hearsay?: ReadonlyMap<string, Hearsay>): Decision {
    this.nowMs += STEP_MS;
    this.#hear();
    // What the leader does by itself.
    if (isJoint(this.configuration)) this.#group = { ...leaveJoint(this.#group) };
    this.lastSituation = this.situation(hearsay);
    const decision = advise(this.lastSituation);
    this.decisions.push(decision);
    this.#carryOut(decision);
    this.#takeIn();
    if (!this.configuration.incoming.has(this.leader) && !isJoint(this.configuration)) this.#elect();
    return decision;
  }

  /** Until it has had nothing to do for longer than a voter must be dead. */
  settle(stepsMax = 400): this {
    let calm = 0;
    for (let i = 0; i < stepsMax && calm < 90; i++) calm = this.step().kind === "nothing" ? calm + 1 : 0;
    if (calm < 90) throw new Error(`it never comes to rest: ${this.decisions.slice(-6).map(({ why }) => why)}`);
    return this;
  }

  #carryOut(decision: Decision): void {
    if (decision.kind === "transfer") this.#lead(decision.to);
    if (decision.kind === "group") this.#group = { ...changed(this.#group, decision.change, FAR) };
    if (decision.kind === "command") {
      const { kind, ...fields } = decision.command;
      const { ifVersion } = decision;
      this.cluster.ok(kind, fields as never, { by: "autopilot", reason: decision.why.slice(0, 256), ifVersion });
    }
  }

  #takeIn(): void {
    const { incoming, outgoing, learners } = this.configuration;
    const all = new Set([...incoming, ...outgoing, ...learners]);
    for (const id of this.#takenIn.keys()) if (!all.has(id)) this.#takenIn.delete(id);
    for (const id of all)
      if (!this.#takenIn.has(id)) this.#takenIn.set(id, present(this.cluster.memberOf(id).instance, `${id} has a log`));
  }

  #hear(): void {
    const { incoming, learners } = this.configuration;
    for (const id of [...incoming, ...learners]) {
      if (this.dead.has(id) || !this.isWhole(id)) continue;
      this.#heardAtMs.set(id, this.nowMs);
      this.#steps.set(id, (this.#steps.get(id) ?? 0) + 1);
    }
    for (const id of this.#steps.keys()) if (!incoming.has(id) && !learners.has(id)) this.#steps.delete(id);
  }

  #elect(): void {
    this.#lead(
      present(
        this.voters.find((id) => this.isAlive(id) && this.isWhole(id)),
        "somebody who lives votes",
      ),
    );
  }

  #lead(id: string): void {
    this.leader = id;
    this.#leaderSinceMs = this.nowMs;
    this.#heardAtMs.clear();
  }
}
