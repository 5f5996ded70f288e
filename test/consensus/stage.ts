import type { GroupChange } from "../../src/consensus/core/configuration.ts";
import { founded, NOTHING_SAVED, type RaftConfig, type Saved } from "../../src/consensus/core/core.ts";
import type { Payload } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import type { Id } from "../../src/consensus/core/quorum.ts";
import { Raft, type Ready } from "../../src/consensus/core/raft.ts";
import { InputError, present } from "../../src/kernel/assert.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { Disk } from "./disk.ts";
import { Safety } from "./safety.ts";
import { entryText, groupOf, messageText, textBytes } from "./words.ts";

/** All wait as long as anybody may: 19 ticks of 10. After 10 they have forgotten their leader. */
const NO_CHANCE: Rng = { u32: () => 0, unit: () => 0, below: (n) => n - 1, fork: () => NO_CHANCE };

export const LIMITS: Omit<RaftConfig, "id"> = {
  electionTicks: 10,
  heartbeatTicks: 1,
  messageBytesMax: 1 << 16,
  inflightMessagesMax: 64,
  inflightBytesMax: 1 << 20,
  uncommittedBytesMax: 1 << 20,
};

interface Actor {
  readonly id: Id;
  readonly disk: Disk;
  raft: Raft | null;
  /** Its disk has not finished this yet. */
  inHand: Ready | null;
  isSlow: boolean;
  shown: string;
}

/** Nodes whose every message and every sync the story moves by hand. What happens becomes lines. */
export class Stage {
  readonly #actors = new Map<Id, Actor>();
  readonly #limits: Omit<RaftConfig, "id">;
  readonly #safety = new Safety(1);
  #flight: Message[] = [];
  readonly #cuts = new Set<string>();
  lines: string[] = [];
  /** Messages and disks too, not only what comes of them. */
  isFull = true;

  constructor(limits: Partial<Omit<RaftConfig, "id">>) {
    this.#limits = { ...LIMITS, ...limits };
  }

  found(voters: readonly Id[], learners: readonly Id[]): void {
    const saved = founded(voters, textBytes(""));
    const snapshot = present(saved.snapshot, "founders have one");
    const withLearners = { ...saved, snapshot: { ...snapshot, group: { ...snapshot.group, learners } } };
    for (const id of [...voters, ...learners]) this.#enter(id, withLearners);
  }

  blank(id: Id): void {
    this.#enter(id, NOTHING_SAVED);
  }

  #enter(id: Id, saved: Saved): void {
    const actor = { id, disk: new Disk(saved), raft: null, inHand: null, isSlow: false, shown: "" };
    this.#actors.set(id, actor);
    this.#start(actor);
  }

  #start(actor: Actor): void {
    const { saved } = actor.disk;
    actor.raft = new Raft({ ...this.#limits, id: actor.id }, saved, NO_CHANCE);
    actor.shown = "";
    this.#safety.started(actor.raft, saved, this.#limits.electionTicks);
  }

  get ids(): Id[] {
    return [...this.#actors.keys()];
  }

  get flight(): readonly Message[] {
    return this.#flight;
  }

  raft(id: Id): Raft {
    return present(this.#actor(id).raft, `${id} is up`);
  }

  isUp(id: Id): boolean {
    return this.#actor(id).raft !== null;
  }

  saved(id: Id): Saved {
    return this.#actor(id).disk.saved;
  }

  #actor(id: Id): Actor {
    const actor = this.#actors.get(id);
    if (!actor) throw new Error(`nobody is called ${id}`);
    return actor;
  }

  // ---- what a story does

  act(id: Id, what: (raft: Raft) => void): void {
    const actor = this.#actor(id);
    try {
      what(this.raft(id));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#tell(`${id} refuses: ${error.message}`);
    }
    this.#pump(actor);
  }

  tick(id: Id, count: number): void {
    for (let i = 0; i < count; i++) {
      this.#safety.ticked(id);
      this.act(id, (raft) => raft.tick());
    }
  }

  /** An election that only these hear of, up to its end; those who vote have forgotten their leader. */
  lead(id: Id, voters: readonly Id[]): void {
    const among = [id, ...voters];
    for (const voter of voters) if (this.isUp(voter)) this.tick(voter, this.#limits.electionTicks);
    this.#flight = [];
    this.act(id, (raft) => raft.campaign());
    const isHere = ({ from, to }: Message): boolean => among.includes(from) && among.includes(to);
    for (let round = 0; round < 4 && this.raft(id).role !== "leader"; round++) {
      this.drop((message) => !isHere(message));
      this.deliver(isHere);
    }
  }

  change(id: Id, change: GroupChange): void {
    this.act(id, (raft) => raft.propose([{ kind: "change", change, data: textBytes("") }]));
  }

  compact(id: Id): void {
    const { disk } = this.#actor(id);
    const raft = this.raft(id);
    disk.compact(raft.compact(raft.indexes.applied, textBytes("")));
  }

  slow(id: Id, isSlow: boolean): void {
    const actor = this.#actor(id);
    actor.isSlow = isSlow;
    if (!isSlow) this.sync(id);
  }

  sync(id: Id): void {
    const actor = this.#actor(id);
    if (!actor.inHand) return;
    this.#durable(actor, actor.inHand);
    this.#pump(actor);
  }

  /** The first one's link to the other breaks. */
  doubt(id: Id, other: Id): void {
    this.act(id, (raft) => raft.linkBroke(other));
  }

  crash(id: Id): void {
    const actor = this.#actor(id);
    actor.disk.crash(seededRng(1), false, false);
    actor.raft = null;
    actor.inHand = null;
    this.#safety.stopped(id);
  }

  restart(id: Id): void {
    this.#start(this.#actor(id));
  }

  /** The last `count` entries of its log on disk are lost. */
  lose(id: Id, count: number): void {
    const actor = this.#actor(id);
    const { hardState, snapshot, entries } = actor.disk.saved;
    const less = { hardState, snapshot, entries: entries.slice(0, -count) };
    this.#actors.set(id, { ...actor, disk: new Disk(less) });
  }

  // ---- the network

  cut(link: string): void {
    this.#cuts.add(link);
  }

  heal(): void {
    this.#cuts.clear();
  }

  drop(which: (message: Message) => boolean): void {
    this.#flight = this.#flight.filter((message) => !which(message));
  }

  /** Those that are on their way now, in order. Returns whether there were any. */
  deliver(which: (message: Message) => boolean): boolean {
    const due = this.#flight.filter(which);
    this.drop(which);
    for (const message of due) this.receive(message);
    return due.length > 0;
  }

  receive(message: Message): void {
    const actor = this.#actors.get(message.to);
    if (this.isFull) this.#tell(messageText(message));
    if (!actor?.raft) return;
    this.#safety.heard(message);
    actor.raft.step(message);
    this.#pump(actor);
  }

  // ---- a node's driver

  #pump(actor: Actor): void {
    const { raft, id, disk } = actor;
    this.#show(actor);
    while (raft?.hasReady) {
      const ready = raft.ready();
      this.#safety.ready(id, ready, disk.lastIndex);
      this.#safety.moved(id);
      for (const message of ready.messages) this.#send(actor, message);
      this.#applied(actor, ready);
      const mustSync = disk.write(ready);
      actor.inHand = ready;
      if (mustSync && this.isFull) this.#tell(`  ${id} writes ${writtenText(ready)}`);
      if (mustSync && actor.isSlow) return;
      this.#durable(actor, ready);
    }
  }

  #durable(actor: Actor, ready: Ready): void {
    actor.inHand = null;
    actor.disk.sync(actor.disk.pending);
    present(actor.raft, "it is up").durable();
    this.#show(actor);
    for (const message of ready.afterDurable) if (message.to !== actor.id) this.#send(actor, message);
    this.#safety.moved(actor.id);
  }

  #send({ id, disk }: Actor, message: Message): void {
    this.#safety.sent(message, disk);
    if (this.isFull) this.#tell(`  + ${messageText(message)}`);
    const isCut = this.#cuts.has(id) || this.#cuts.has(message.to) || this.#cuts.has(`${id}>${message.to}`);
    if (!isCut) this.#flight.push(message);
  }

  #applied({ id }: Actor, { snapshot, committed, reads }: Ready): void {
    if (snapshot) this.#tell(`  ${id} installs ${snapshot.index}@${snapshot.term}, group ${groupOf(snapshot.group)}`);
    for (const entry of committed) this.#tell(`  ${id} applies ${entryText(entry)}`);
    for (const { id: read, index } of reads) this.#tell(`  ${id} may answer read ${read} after ${index}`);
  }

  /** What others would notice: its role, its term and its group. */
  #show(actor: Actor): void {
    const { raft, id } = actor;
    if (!raft) return;
    const text = `${raft.role} in term ${raft.term}`;
    if (text === actor.shown) return;
    if (actor.shown !== "" || raft.role !== "follower") this.#tell(`  ${id} is ${text}`);
    actor.shown = text;
  }

  #tell(line: string): void {
    this.lines.push(line);
  }
}

function writtenText({ hardState, snapshot, entries }: Ready): string {
  const parts = entries.map(entryText);
  if (snapshot) parts.unshift(`snapshot ${snapshot.index}@${snapshot.term}`);
  if (hardState) parts.push(`term ${hardState.term}${hardState.vote === null ? "" : `, vote ${hardState.vote}`}`);
  return parts.join("; ");
}

export function commands(words: readonly string[]): Payload[] {
  return words.map((word) => ({ kind: "command", data: textBytes(word) }));
}
