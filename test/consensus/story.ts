import type { GroupChange, MemberChange } from "../../src/consensus/core/configuration.ts";
import { type RaftConfig, savedGroup } from "../../src/consensus/core/core.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import { InternalError } from "../../src/kernel/assert.ts";
import { Violation } from "./safety.ts";
import { commands, Stage } from "./stage.ts";
import { entryText, groupOf, messageText } from "./words.ts";

// The language of stories/*.txt. A line that begins with `> ` is a step; the lines below it, up to the next step or an empty
// line, are what must happen then. All else is prose.
//   group a b c [learners=d,e] [election=10] [inflight=2] [inflightBytes=…] [message=…] [uncommitted=…]     blank d
//   lead a [b c]         a is elected; only b and c (or all) hear of it, and what it sends then is on its way
//                        (of more than one tick, beats are not told)
//   campaign a          tick a [N]            propose a x [y …]      read a 1      transfer a b     compact a
//   change a voter d, remove b [auto|joint-auto-leave|joint-explicit]              leave a
//   deliver [SIDE] [TYPE]    one round of what is on its way; SIDE is a>b, a> or >b; each message and its effects are told
//   drop [SIDE] [TYPE]       hold [SIDE] [TYPE], and `release` puts it on its way again; twice [SIDE] [TYPE] doubles
//   settle                   rounds until nothing is on its way, telling only what comes of it
//   cut a | cut a>b | heal   slow a: its disk syncs at `sync a` or `quick a`     crash a    restart a    lose a N
//   doubt a b                a's link to b broke
//   arrived a b | missed a b the driver's word on a snapshot
//   show [a]                 role, term, log and group           show progress a          show flight

/** The text of a story as it comes out now: equal to what it was when nothing changed. */
export function told(text: string): string {
  const teller = new Teller();
  const out: string[] = [];
  let isOutput = false;
  for (const line of text.split("\n")) {
    if (line.startsWith("> ")) {
      out.push(line, ...teller.step(line.slice(2)));
      isOutput = true;
    } else if (line === "") isOutput = false;
    if (!isOutput) out.push(line);
  }
  return out.join("\n");
}

type Which = (message: Message) => boolean;

class Teller {
  #stage = new Stage({});
  #held: Message[] = [];

  step(text: string): string[] {
    const [verb = "", ...words] = text.split(" ");
    this.#stage.lines = [];
    this.#stage.isFull = verb !== "settle" && verb !== "lead";
    try {
      this.#do(verb, words, text);
    } catch (error) {
      if (error instanceof Violation) this.#say(`VIOLATION of ${error.invariant}: ${error.message}`);
      else if (error instanceof InternalError) this.#say(`stops: ${error.message}`);
      else throw error;
    }
    const isWait = verb === "tick" && words.length > 1;
    return this.#stage.lines.filter((line) => !(isWait && line.includes(": beat in term")));
  }

  #say(line: string): void {
    this.#stage.lines.push(line);
  }

  #do(verb: string, words: readonly string[], text: string): void {
    const stage = this.#stage;
    const [a = "", b = ""] = words;
    const rest = words.slice(1);
    const verbs: Record<string, () => void> = {
      group: () => this.#group(words),
      blank: () => stage.blank(a),
      lead: () => stage.lead(a, rest.length > 0 ? rest : stage.ids.filter((id) => id !== a && stage.isUp(id))),
      campaign: () => stage.act(a, (raft) => raft.campaign()),
      tick: () => stage.tick(a, Number(b || 1)),
      propose: () => stage.act(a, (raft) => raft.propose(commands(rest.map(expanded)))),
      read: () => stage.act(a, (raft) => raft.read(Number(b))),
      transfer: () => stage.act(a, (raft) => raft.transfer(b)),
      compact: () => stage.compact(a),
      change: () => stage.change(a, changeOf(rest)),
      leave: () => stage.change(a, { transition: "joint-explicit", changes: [] }),
      deliver: () => void stage.deliver(whichOf(words)),
      drop: () => stage.drop(whichOf(words)),
      hold: () => this.#hold(whichOf(words)),
      release: () => this.#release(),
      twice: () => void this.#twice(whichOf(words)),
      settle: () => this.#settle(),
      cut: () => stage.cut(a),
      heal: () => stage.heal(),
      slow: () => stage.slow(a, true),
      quick: () => stage.slow(a, false),
      sync: () => stage.sync(a),
      crash: () => stage.crash(a),
      doubt: () => stage.doubt(a, b),
      restart: () => stage.restart(a),
      lose: () => stage.lose(a, Number(b)),
      arrived: () => stage.act(a, (raft) => raft.snapshotEnded(b, true)),
      missed: () => stage.act(a, (raft) => raft.snapshotEnded(b, false)),
      show: () => this.#show(a, b),
    };
    const act = verbs[verb];
    if (!act) throw new Error(`no such step: ${text}`);
    act();
  }

  #group(words: readonly string[]): void {
    const given = new Map(
      words.filter((word) => word.includes("=")).map((word) => word.split("=") as [string, string]),
    );
    const limits: Partial<Record<keyof RaftConfig, number>> = {};
    for (const [name, key] of Object.entries(LIMIT_NAMES)) {
      const value = given.get(name);
      if (value !== undefined) limits[key] = Number(value);
    }
    this.#stage = new Stage(limits as Partial<Omit<RaftConfig, "id">>);
    const learners = given.get("learners")?.split(",") ?? [];
    this.#stage.found(
      words.filter((word) => !word.includes("=")),
      learners,
    );
  }

  #hold(which: Which): void {
    this.#held.push(...this.#stage.flight.filter(which));
    this.#stage.drop(which);
  }

  #release(): void {
    const held = this.#held;
    this.#held = [];
    for (const message of held) this.#stage.receive(message);
  }

  #twice(which: Which): void {
    const messages = this.#stage.flight.filter(which);
    this.#stage.deliver(which);
    for (const message of messages) this.#stage.receive(message);
  }

  #settle(): void {
    for (let round = 0; this.#stage.deliver(() => true); round++)
      if (round > 200) throw new Error("it doesn't settle within 200 rounds");
  }

  #show(what: string, id: string): void {
    if (what === "flight") for (const message of this.#stage.flight) this.#say(messageText(message));
    else if (what === "progress") this.#progress(id);
    else for (const one of what ? [what] : this.#stage.ids) this.#status(one);
  }

  #status(id: string): void {
    if (!this.#stage.isUp(id)) {
      this.#say(`${id}: down`);
      return;
    }
    const raft = this.#stage.raft(id);
    const { last, committed, applied } = raft.indexes;
    const leader = raft.leader === null ? "no leader" : `leader ${raft.leader}`;
    const group = groupOf(savedGroup({ configuration: raft.configuration, progress: new Map() }));
    this.#say(
      `${id}: ${raft.role} in term ${raft.term}, ${leader}; last ${last}, committed ${committed}, applied ${applied}; group ${group}`,
    );
    const { entries, snapshot } = this.#stage.saved(id);
    const log = entries.map(entryText);
    this.#say(`   disk: ${[`snapshot ${snapshot?.index ?? 0}@${snapshot?.term ?? 0}`, ...log].join(", ")}`);
  }

  #progress(id: string): void {
    for (const [to, { state, match, next, isPaused, isLearner }] of [...this.#stage.raft(id).progress()].sort())
      this.#say(
        `${to}: ${state}${isPaused ? " (waits)" : ""}, match ${match}, next ${next}${isLearner ? ", learner" : ""}`,
      );
  }
}

const LIMIT_NAMES: Readonly<Record<string, keyof RaftConfig>> = {
  election: "electionTicks",
  heartbeat: "heartbeatTicks",
  inflight: "inflightMessagesMax",
  inflightBytes: "inflightBytesMax",
  message: "messageBytesMax",
  uncommitted: "uncommittedBytesMax",
};

/** `x*100`: so long a text. */
function expanded(word: string): string {
  const [letter = "", count] = word.split("*");
  return count === undefined ? word : letter.repeat(Number(count));
}

function changeOf(words: readonly string[]): GroupChange {
  const last = words.at(-1) ?? "";
  const isHow = last === "auto" || last === "joint-auto-leave" || last === "joint-explicit";
  const changes = (isHow ? words.slice(0, -1) : words)
    .join(" ")
    .split(",")
    .map((one): MemberChange => {
      const [kind, id = ""] = one.trim().split(" ");
      if (kind !== "voter" && kind !== "learner" && kind !== "remove") throw new Error(`no such change: ${one}`);
      return { kind, id };
    });
  return { transition: isHow ? last : "auto", changes };
}

function whichOf(words: readonly string[]): Which {
  const [side = "", type = ""] = words[0]?.includes(">") ? words : ["", ...words];
  const [from, to] = side.split(">");
  return (message) =>
    (!from || message.from === from) && (!to || message.to === to) && (type === "" || message.type === type);
}
