import type { RaftConfig, Saved } from "../../src/consensus/core/core.ts";
import type { Entry, Payload } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import type { Id } from "../../src/consensus/core/quorum.ts";
import { Raft, type Ready } from "../../src/consensus/core/raft.ts";
import { InputError, InternalError } from "../../src/kernel/assert.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { EventKind } from "../sim/trace.ts";
import type { Agenda } from "./agenda.ts";
import { Disk } from "./disk.ts";
import { Machine, type Outcome } from "./machine.ts";
import type { Plan } from "./plan.ts";
import { type Safety, Violation } from "./safety.ts";

/** What a node finds around it. */
export interface Surroundings {
  readonly plan: Plan;
  readonly agenda: Agenda;
  readonly safety: Safety;
  send(message: Message): void;
  record(id: Id, kind: EventKind, content: number, detail: unknown): void;
}

type Answer<T> = (value: T) => void;

/** Drives one core as a driver must: disk, then promises; reads when they are applied. */
export class SimNode {
  readonly id: Id;
  readonly disk: Disk;
  raft: Raft | null = null;
  machine = new Machine(0);
  /** Its disk lost what it must not lose: it never comes back. */
  isDamaged = false;
  readonly #config: RaftConfig;
  readonly #around: Surroundings;
  readonly #rng: Rng;
  #life = 0;
  #stalledUntilMs = 0;
  #drift = 1;
  readonly #proposed = new Map<string, Answer<Outcome>>();
  readonly #asked = new Map<number, Answer<Machine>>();
  #reads: { readonly index: number; readonly answer: Answer<Machine> }[] = [];

  constructor(id: Id, saved: Saved, around: Surroundings, rng: Rng) {
    this.id = id;
    this.disk = new Disk(saved);
    this.#config = { ...around.plan.raft, id };
    this.#around = around;
    this.#rng = rng;
  }

  get isUp(): boolean {
    return this.raft !== null;
  }

  /** Throws InternalError when the disk lost what was committed. */
  start(): void {
    const { saved } = this.disk;
    this.#life += 1;
    this.raft = new Raft(this.#config, saved, this.#rng.fork());
    this.machine = saved.snapshot?.data.length
      ? Machine.decode(saved.snapshot.data)
      : new Machine(saved.snapshot?.index ?? 0);
    this.#record("start", saved.hardState.term, saved.hardState);
    this.#around.safety.started(this.raft, saved, this.#config.electionTicks);
    this.#planTick(this.#rng.unit());
  }

  crash(): void {
    if (!this.raft) return;
    const { keeps, isTorn } = this.#around.plan.disk;
    this.#record("crash", this.disk.pending, this.disk.pending);
    this.disk.crash(this.#rng, keeps, isTorn);
    this.raft = null;
    this.#life += 1;
    this.#stalledUntilMs = 0;
    this.#proposed.clear();
    this.#asked.clear();
    this.#reads = [];
    this.#around.safety.stopped(this.id);
  }

  /** Its end of the log is lost while it is down; a core that starts from that must refuse. Returns false where there was
   *  nothing to lose. */
  damage(): boolean {
    if (this.raft || !this.disk.loseEnd(this.#rng)) return false;
    this.isDamaged = true;
    this.#record("fault", this.disk.lastIndex, "damage");
    try {
      this.start();
    } catch (error) {
      if (!(error instanceof InternalError)) throw error;
      this.raft = null;
      return true;
    }
    // Whatever it does now, it does as if it were whole: the checks will see what comes of it.
    return true;
  }

  stall(ms: number): void {
    this.#stalledUntilMs = this.#around.agenda.nowMs + ms;
    this.#record("stall", ms, ms);
  }

  // ---- what comes in

  receive(message: Message): void {
    this.#soon(() => {
      this.#record("data", contentOf(message), message);
      this.#around.safety.heard(message);
      this.input((raft) => raft.step(message));
    });
  }

  snapshotEnded(to: Id, arrived: boolean): void {
    this.#soon(() => this.input((raft) => raft.snapshotEnded(to, arrived)));
  }

  /** Throws InputError when it was refused. */
  propose(payload: Payload, key: string, answer: Answer<Outcome>): void {
    this.#proposed.set(key, answer);
    try {
      this.input((raft) => raft.propose([payload]));
    } catch (error) {
      this.#proposed.delete(key);
      throw error;
    }
  }

  /** Throws InputError when it was refused. @param id never used before, not by an earlier life either */
  read(id: number, answer: Answer<Machine>): void {
    this.#asked.set(id, answer);
    this.input((raft) => raft.read(id));
  }

  compact(): void {
    const { raft, machine } = this;
    if (!raft || raft.indexes.applied < raft.indexes.first || raft.indexes.applied !== machine.applied) return;
    this.#record("commit", machine.applied, "compact");
    this.disk.compact(raft.compact(machine.applied, machine.encode()));
  }

  /** A step of the core, and all that follows from it. */
  input(act: (raft: Raft) => void): void {
    if (!this.raft) return;
    try {
      act(this.raft);
    } finally {
      this.#pump();
    }
  }

  #soon(act: () => void): void {
    const { agenda } = this.#around;
    const life = this.#life;
    if (!this.raft) return;
    if (this.#stalledUntilMs <= agenda.nowMs) act();
    else agenda.after(this.#stalledUntilMs - agenda.nowMs, () => life === this.#life && this.#soon(act));
  }

  // ---- time

  #planTick(share: number): void {
    const { agenda, plan } = this.#around;
    const life = this.#life;
    if (this.#rng.unit() < 0.02 || share < 1) this.#drift = 1 + ((2 * this.#rng.unit() - 1) * plan.driftPercent) / 100;
    agenda.after(plan.tickMs * this.#drift * share, () => {
      if (life !== this.#life) return;
      this.#soon(() => {
        this.#record("timer", 0, "tick");
        this.#around.safety.ticked(this.id);
        this.input((raft) => raft.tick());
        this.#planTick(1);
      });
    });
  }

  // ---- what comes out

  #pump(): void {
    const { raft } = this;
    while (raft?.hasReady) {
      const ready = this.#ready(raft);
      this.#around.safety.ready(this.id, ready, this.disk.lastIndex);
      for (const message of ready.messages) this.#send(message);
      this.#apply(ready);
      if (this.disk.write(ready) || (!this.#around.plan.disk.isLazy && this.disk.hasPending)) {
        this.#sync(ready);
        break;
      }
      this.#durable(raft, ready);
    }
    this.#around.safety.moved(this.id);
  }

  /** What was committed can't be refused any more. */
  #ready(raft: Raft): Ready {
    try {
      return raft.ready();
    } catch (error) {
      if (isRefusal(error)) throw new Violation("committed is applied", `${this.id}: ${error.message}`);
      throw error;
    }
  }

  #sync(ready: Ready): void {
    const { raft } = this;
    const { agenda, plan } = this.#around;
    const life = this.#life;
    const count = this.disk.pending;
    agenda.after(plan.disk.syncMs * (0.5 + this.#rng.unit()), () => {
      if (life !== this.#life || !raft) return;
      this.disk.sync(count);
      this.#record("durable", count, count);
      this.#durable(raft, ready);
      this.#pump();
    });
  }

  #durable(raft: Raft, { afterDurable }: Ready): void {
    raft.durable();
    for (const message of afterDurable) if (message.to !== this.id) this.#send(message);
  }

  #send(message: Message): void {
    this.#around.safety.sent(message, this.disk);
    this.#record("send", contentOf(message), message);
    this.#around.send(message);
  }

  #apply({ snapshot, committed, reads }: Ready): void {
    if (snapshot) {
      this.machine = snapshot.data.length > 0 ? Machine.decode(snapshot.data) : new Machine(snapshot.index);
      this.#record("commit", snapshot.index, "snapshot");
    }
    for (const entry of committed) this.#applyOne(entry);
    for (const { id, index } of reads) {
      const answer = this.#asked.get(id);
      this.#asked.delete(id);
      if (answer) this.#reads.push({ index, answer });
    }
    const due = this.#reads.filter(({ index }) => index <= this.machine.applied);
    if (due.length === 0) return;
    this.#reads = this.#reads.filter(({ index }) => index > this.machine.applied);
    for (const { answer } of due) answer(this.machine);
  }

  #applyOne({ index, payload }: Entry): void {
    const outcome = payload.kind === "command" ? this.machine.apply(payload.data) : null;
    this.machine.applied = index;
    this.#record("commit", index, payload.kind);
    if (!outcome) return;
    const key = `${outcome.client}.${outcome.seq}`;
    const answer = this.#proposed.get(key);
    this.#proposed.delete(key);
    answer?.(outcome);
  }

  #record(kind: EventKind, content: number, detail: unknown): void {
    this.#around.record(this.id, kind, content, detail);
  }
}

/** Was it the answer, and not an accident? */
export function isRefusal(error: unknown): error is InputError {
  return error instanceof InputError;
}

const TYPES: readonly Message["type"][] = ["vote", "vote-reply", "append", "append-reply", "heartbeat", "snapshot"];

function contentOf(message: Message): number {
  const term = "term" in message ? message.term : 0;
  const index = "index" in message ? message.index : "prevIndex" in message ? message.prevIndex : 0;
  return (TYPES.indexOf(message.type) + 2) * 0x1000000 + term * 0x1000 + index;
}
