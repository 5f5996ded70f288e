import { basename } from "node:path";
import { describe, expect, it } from "vitest";
import {
  enterJoint,
  type Group,
  leaveJoint,
  type MemberChange,
  NOBODY,
  simple,
} from "../../src/consensus/core/configuration.ts";
import { jointCommitted, jointVote, majorityCommitted, majorityVote } from "../../src/consensus/core/quorum.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { type Directive, directiveFiles, parseDirectives } from "./directives.ts";

/** Ids are names here: with leading zeros they sort as the numbers do. */
const idOf = (text: string): string => text.padStart(20, "0");
const numberOf = (id: string): number => Number(id);

/** One file's state: every directive, refused ones too, makes the log one entry longer. */
class Changer {
  #group: Group = { configuration: NOBODY, progress: new Map() };
  #lastIndex = 0;

  run({ command, arguments: args, input }: Directive): string {
    const changes = input
      .split(" ")
      .filter((word) => word !== "")
      .flatMap(changeOf);
    try {
      if (command === "simple") this.#group = simple(this.#group, changes, this.#lastIndex);
      else if (command === "enter-joint")
        this.#group = enterJoint(this.#group, changes, this.#lastIndex, args.get("autoleave")?.[0] === "true");
      else if (command === "leave-joint") this.#group = leaveJoint(this.#group);
      else throw new Error(`unknown command ${command}`);
      return this.#print();
    } catch (error) {
      if (error instanceof InputError) return `${error.message}\n`;
      throw error;
    } finally {
      this.#lastIndex += 1;
    }
  }

  #print(): string {
    const { configuration, progress } = this.#group;
    const { incoming, outgoing, learners, learnersNext, autoLeave } = configuration;
    const set = (ids: ReadonlySet<string>): string =>
      `(${[...ids]
        .sort()
        .map((id) => numberOf(id).toString(16))
        .join(" ")})`;
    const parts = [`voters=${set(incoming)}${outgoing.size > 0 ? `&&${set(outgoing)}` : ""}`];
    if (learners.size > 0) parts.push(`learners=${set(learners)}`);
    if (learnersNext.size > 0) parts.push(`learners_next=${set(learnersNext)}`);
    if (autoLeave) parts.push("autoleave");
    const lines = [...progress]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([id, { match, next, isLearner, state }]) => {
        const name = `State${state[0]?.toUpperCase()}${state.slice(1)}`;
        return `${numberOf(id)}: ${name} match=${match} next=${next}${isLearner ? " learner" : ""}`;
      });
    return [parts.join(" "), ...lines].map((line) => `${line}\n`).join("");
  }
}

function changeOf(word: string): MemberChange[] {
  const kind = ({ v: "voter", l: "learner", r: "remove" } as const)[word[0] as "v" | "l" | "r"];
  const id = word.slice(1);
  return kind === undefined || id === "0" ? [] : [{ kind, id: idOf(id) }];
}

function quorum({ command, arguments: args }: Directive): string {
  const first = (args.get("cfg") ?? []).map(idOf);
  const second = args.get("cfgj");
  const other = second === undefined ? null : second[0] === "zero" ? [] : second.map(idOf);
  const ids = [...new Set([...first, ...(other ?? [])])];
  const given = args.get(command === "vote" ? "votes" : "idx") ?? [];
  const known = new Map(ids.flatMap((id, i) => (given[i] === undefined || given[i] === "_" ? [] : [[id, given[i]]])));
  const halves = other === null ? [new Set(first)] : [new Set(first), new Set(other)];
  if (command === "vote") return `${votePrinted(halves, known)}\n`;
  const reached = (id: string): number | undefined => (known.has(id) ? Number(known.get(id)) : undefined);
  const index = halves.length === 1 ? majorityCommitted(new Set(first), reached) : jointCommitted(halves, reached);
  // Which half comes first, and a half twice, make no difference.
  expect(jointCommitted([...halves].reverse(), reached)).toBe(index);
  expect(jointCommitted([...halves, ...halves, new Set()], reached)).toBe(index);
  return `${picture(ids, reached)}${index === Number.POSITIVE_INFINITY ? "∞" : index}\n`;
}

function votePrinted(halves: readonly ReadonlySet<string>[], known: ReadonlyMap<string, string>): string {
  const votes = new Map([...known].map(([id, vote]) => [id, vote === "y"]));
  const result = halves.length === 1 ? majorityVote(halves[0] ?? new Set(), votes) : jointVote(halves, votes);
  expect(jointVote([...halves].reverse(), votes)).toBe(result);
  expect(jointVote([...halves, ...halves, new Set()], votes)).toBe(result);
  return { won: "VoteWon", lost: "VoteLost", pending: "VotePending" }[result];
}

function picture(ids: readonly string[], reached: (id: string) => number | undefined): string {
  const n = ids.length;
  if (n === 0) return "<empty majority quorum>";
  const lines = [...ids].sort().map((id) => {
    const index = reached(id);
    const below = ids.filter((other) => (reached(other) ?? 0) < (index ?? 0)).length;
    const bar = index === undefined ? `?${" ".repeat(n)}` : `${"x".repeat(below)}>${" ".repeat(n - below)}`;
    return `${bar} ${String(index ?? 0).padStart(5)}    (id=${numberOf(id).toString(16)})`;
  });
  return [`${" ".repeat(n + 4)}idx`, ...lines].map((line) => `${line}\n`).join("");
}

describe("directives of etcd-io/raft", () => {
  const changes = directiveFiles("confchange");
  const quorums = directiveFiles("quorum");

  it.skipIf(changes === null || quorums === null)("are 185 (skipped without ../shared/conformance/raft)", () => {
    const all = [...(changes ?? []), ...(quorums ?? [])].flatMap(parseDirectives);
    expect(all.length).toBe(185);
  });

  for (const file of changes ?? [])
    it(`confchange/${basename(file)}`, () => {
      const changer = new Changer();
      for (const directive of parseDirectives(file))
        expect(changer.run(directive), `line ${directive.line}`).toBe(directive.expected);
    });

  for (const file of quorums ?? [])
    it(`quorum/${basename(file)}`, () => {
      for (const directive of parseDirectives(file))
        expect(quorum(directive), `line ${directive.line}`).toBe(directive.expected);
    });
});
