import { type Configuration, voteOf } from "../../src/consensus/core/configuration.ts";
import { type HardState, type Saved, savedGroup } from "../../src/consensus/core/core.ts";
import type { Entry } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import type { Id } from "../../src/consensus/core/quorum.ts";
import type { Raft, Ready } from "../../src/consensus/core/raft.ts";
import { isSame, Mirror } from "./mirror.ts";

export class Violation extends Error {
  override name = "Violation";
  readonly invariant: string;
  constructor(invariant: string, text: string) {
    super(text);
    this.invariant = invariant;
  }
}

/** A node's life as it is watched. */
interface Watched {
  readonly raft: Raft;
  readonly mirror: Mirror;
  readonly electionTicks: number;
  /** The term in which it was seen to lead; 0 for none. */
  leads: number;
  committed: number;
  applied: number;
  ticks: number;
  group: Configuration | null;
  /** By its own ticks, when somebody's answer of this term came. */
  readonly heard: Map<Id, number>;
}

/** What holds at every moment (Ongaro 2014, fig. 3.2), and what a message may promise. It sees what a driver sees, and
 *  nothing of how the core does it. */
export class Safety {
  readonly #nodes = new Map<Id, Watched>();
  readonly #leaders = new Map<number, Id>();
  readonly #votes = new Map<string, Id>();
  /** By term and index: there is one such entry, and one before it. */
  readonly #entries = new Map<string, { readonly entry: Entry; readonly prevTerm: number | undefined }>();
  /** By index: what was committed, from `#firstCommitted` on, and in which term at the latest. */
  readonly #committed: Entry[] = [];
  readonly #committedIn: number[] = [];
  readonly #firstCommitted: number;
  /** By the index of the change that led to it. */
  readonly #groups = new Map<number, string>();

  #installs = 0;
  #replaced = 0;

  /** @param foundedAt the index of the snapshot that all founders begin with */
  constructor(foundedAt: number) {
    this.#firstCommitted = foundedAt + 1;
  }

  get committedIndex(): number {
    return this.#firstCommitted + this.#committed.length - 1;
  }

  get met(): { elections: number; groups: number; installs: number; replaced: number } {
    return {
      elections: this.#leaders.size,
      groups: this.#groups.size,
      installs: this.#installs,
      replaced: this.#replaced,
    };
  }

  started(raft: Raft, saved: Saved, electionTicks: number): void {
    const mirror = new Mirror(saved);
    mirror.lastChange = this.#lastChangeUpTo(mirror.baseIndex);
    const { applied } = raft.indexes;
    const committed = mirror.baseIndex;
    const life = { raft, mirror, electionTicks, leads: 0, committed, applied, ticks: 0, group: null, heard: new Map() };
    this.#nodes.set(raft.id, life);
    if (applied > 0) this.#group(raft.id, life);
  }

  stopped(id: Id): void {
    this.#nodes.delete(id);
  }

  /** After every event of a node. */
  moved(id: Id): void {
    const life = this.#nodes.get(id);
    if (!life) return;
    const { raft } = life;
    if (raft.role !== "leader") life.leads = 0;
    else if (life.leads !== raft.term) this.#elected(id, life);
  }

  #elected(id: Id, life: Watched): void {
    const { term } = life.raft;
    const other = this.#leaders.get(term);
    if (other !== undefined && other !== id) fail("election safety", `${id} and ${other} lead in term ${term}`);
    this.#leaders.set(term, id);
    life.leads = term;
    life.ticks = 0;
    life.heard.clear();
    for (const [i, entry] of this.#committed.entries()) {
      // One that is elected late, in a term that others have left behind, need not have what they did since.
      if (entry.index <= life.mirror.baseIndex || (this.#committedIn[i] ?? 0) >= term) continue;
      const mine = life.mirror.entry(entry.index);
      if (!isSame(entry, mine))
        fail("leader completeness", `${id} leads in term ${term} with ${name(mine)} instead of ${name(entry)}`);
    }
  }

  /** Right after it was made: its entries are the end of the node's log now. */
  ready(id: Id, ready: Ready, durableIndex: number): void {
    const life = this.#nodes.get(id);
    if (!life) return;
    const { mirror, raft } = life;
    this.#hardState(id, mirror, ready);
    const replaced = mirror.take(ready);
    this.#replaced += replaced.length;
    for (const entry of replaced) {
      if (life.leads === raft.term) fail("leader append-only", `${id} replaces ${name(entry)} while it leads`);
      if (entry.index <= life.committed) fail("committed entries survive", `${id} replaces ${name(entry)}`);
    }
    for (const entry of ready.entries) this.#appended(id, mirror, entry);
    if (ready.snapshot) this.#installed(life, ready.snapshot.index);
    this.#commits(id, life);
    for (const entry of ready.committed) {
      if (entry.index > durableIndex) fail("durability", `${id} applies ${name(entry)} before its disk has it`);
      this.#applies(id, life, entry);
    }
    if (raft.indexes.applied > 0) this.#group(id, life);
  }

  #hardState(id: Id, { hardState: before }: Mirror, { hardState: after }: Ready): void {
    if (!after) return;
    if (after.term < before.term) fail("terms rise", `${id} goes from term ${before.term} to ${after.term}`);
    if (after.term === before.term && before.vote !== null && after.vote !== before.vote)
      fail("one vote", `${id} votes for ${before.vote} and ${after.vote} in term ${after.term}`);
  }

  #appended(id: Id, mirror: Mirror, entry: Entry): void {
    const key = `${entry.term}.${entry.index}`;
    const prevTerm = mirror.termAt(entry.index - 1);
    const known = this.#entries.get(key);
    if (!known) this.#entries.set(key, { entry, prevTerm });
    else if (!isSame(known.entry, entry) || (known.prevTerm ?? prevTerm) !== (prevTerm ?? known.prevTerm))
      fail("log matching", `${id} has another ${name(entry)}, or another one before it`);
  }

  #installed(life: Watched, index: number): void {
    this.#installs += 1;
    life.applied = index;
    life.committed = Math.max(life.committed, index);
    life.mirror.lastChange = this.#lastChangeUpTo(index);
  }

  /** The memory's log is the mirror's now, so that what it says to be committed can be looked at. */
  #commits(id: Id, life: Watched): void {
    const { committed } = life.raft.indexes;
    if (committed < life.committed) fail("commits rise", `${id} goes from ${life.committed} to ${committed}`);
    for (let index = life.committed + 1; index <= committed; index++) {
      const mine = life.mirror.entry(index);
      const known = this.#committed[index - this.#firstCommitted];
      if (!mine) fail("committed entries survive", `${id} commits ${index}, which it doesn't have`);
      else if (!known && index === this.committedIndex + 1) {
        this.#committed.push(mine);
        this.#committedIn.push(life.raft.term);
      } else if (!known) fail("state machine safety", `${id} commits ${index} before what comes before it`);
      else if (!isSame(known, mine)) fail("state machine safety", `${id} commits ${name(mine)}, others ${name(known)}`);
    }
    life.committed = Math.max(committed, life.committed);
  }

  #applies(id: Id, life: Watched, entry: Entry): void {
    if (entry.index !== life.applied + 1) fail("order", `${id} applies ${name(entry)} after ${life.applied}`);
    life.applied = entry.index;
    const known = this.#committed[entry.index - this.#firstCommitted];
    if (!known || !isSame(known, entry))
      fail("state machine safety", `${id} applies ${name(entry)}, committed is ${name(known)}`);
    if (entry.payload.kind === "change") life.mirror.lastChange = entry.index;
  }

  /** What the group is follows from the changes up to the last one that was applied. */
  #group(id: Id, { raft, mirror }: Watched): void {
    const text = groupText(raft.configuration);
    const known = this.#groups.get(mirror.lastChange);
    if (known === undefined) this.#groups.set(mirror.lastChange, text);
    else if (known !== text)
      fail("one configuration", `after ${mirror.lastChange} ${id} has ${text}, another had ${known}`);
  }

  #lastChangeUpTo(index: number): number {
    for (let at = index; at >= this.#firstCommitted; at--)
      if (this.#committed[at - this.#firstCommitted]?.payload.kind === "change") return at;
    return 0;
  }

  // ---- what a message promises

  /** A node sends this now, with this on its disk. */
  sent(message: Message, disk: { readonly hardState: HardState; readonly lastIndex: number }): void {
    const { from, to } = message;
    const { hardState, lastIndex: durableIndex } = disk;
    if (message.type === "vote" && !message.pre) {
      if (!(hardState.term > message.term || (hardState.term === message.term && hardState.vote === from)))
        fail("durability", `${from} asks for votes in term ${message.term} before its disk has its own`);
    } else if (message.type === "vote-reply" && !message.pre && message.granted) {
      if (!(hardState.term > message.term || (hardState.term === message.term && hardState.vote === to)))
        fail("durability", `${from} votes for ${to} in term ${message.term} before its disk has that`);
      const key = `${message.term} ${from}`;
      const other = this.#votes.get(key);
      if (other !== undefined && other !== to)
        fail("one vote", `${from} votes for ${other} and ${to}: ${message.term}`);
      this.#votes.set(key, to);
    } else if (message.type === "append-reply" && message.accepted && durableIndex < message.index)
      fail("durability", `${from} acknowledges ${message.index} to ${to}, its disk ends at ${durableIndex}`);
  }

  // ---- a leader that nobody hears

  heard(message: Message): void {
    const life = this.#nodes.get(message.to);
    if (!life || life.leads === 0 || !("term" in message) || message.term !== life.leads) return;
    life.heard.set(message.from, life.ticks);
  }

  /** A leader counts once in an election's time who was heard of since: after twice that it must have stepped down. */
  ticked(id: Id): void {
    const life = this.#nodes.get(id);
    if (!life || life.leads === 0) return;
    const { heard, electionTicks, raft } = life;
    // Who has just come was never asked: a change starts the count again.
    if (life.group !== raft.configuration) {
      life.group = raft.configuration;
      life.ticks = 0;
      heard.clear();
    }
    life.ticks += 1;
    const { ticks } = life;
    if (ticks <= 2 * electionTicks) return;
    const votes = new Map([...heard].map(([from, at]) => [from, ticks - at <= 2 * electionTicks]));
    votes.set(id, true);
    if (voteOf(raft.configuration, votes) !== "won") fail("check-quorum", `${id} leads without a quorum`);
  }
}

export function groupText(configuration: Configuration): string {
  const { incoming, outgoing, learners, learnersNext, autoLeave } = savedGroup({ configuration, progress: new Map() });
  const next = learnersNext.length > 0 ? ` then learners ${learnersNext.join(" ")}` : "";
  const old = outgoing.length > 0 ? ` and ${outgoing.join(" ")}${autoLeave ? " auto" : ""}${next}` : "";
  return `${incoming.join(" ")}${old}${learners.length > 0 ? ` learners ${learners.join(" ")}` : ""}`;
}

function name(entry: Entry | undefined): string {
  return entry ? `entry ${entry.index} of term ${entry.term}` : "nothing";
}

function fail(invariant: string, text: string): void {
  throw new Violation(invariant, text);
}
