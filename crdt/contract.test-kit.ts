// The laws that any type must pass (data.md, "Every type passes the laws"). A law is data: a claim, and a check that a
// test or the mutant runner calls. A case is a list of words that replicas are driven by, so that it shrinks.

import fc from "fast-check";
import { assert, InputError } from "../src/kernel/assert.ts";
import { equalBytes, toHex } from "../src/kernel/bytes.ts";
import type { Rng } from "../src/kernel/rng.ts";
import { seededRng, shuffle } from "../src/kernel/rng.ts";
import { decodeRow, encodeRow } from "./codec.ts";
import { dotKey } from "./dot.ts";
import { addedCells, decodeEntry, encodeEntry } from "./entry.ts";
import { admitEntry, includes, joinAnswers } from "./partition.ts";
import type { LawSubject, LawTools, Replica } from "./replicas.test-kit.ts";
import { deliver, KEYS, Play } from "./replicas.test-kit.ts";
import { openRow } from "./row.ts";
import { VersionVector } from "./version-vector.ts";
import type { Op } from "./write.ts";

const ALL_OF_IT: readonly Op[] = [{ path: [], removeAll: true }];

export interface Law {
  readonly claim: string;
  /** Throws with a shrunk counterexample. `more` is fast-check's. */
  check(runs: number, more?: { seed?: number; endOnFailure?: boolean }): void;
}

function same(a: unknown, b: unknown, claim: string): void {
  if (a !== b) throw new Error(`${claim}:\n  ${String(a)}\n  ${String(b)}`);
}

type LawBody = (play: Play, rng: Rng, tools: LawTools, subject: LawSubject) => void;

/** Every law for one type. Each names the sentence of data.md that it holds. */
export function lawsOf(subject: LawSubject, tools: LawTools): Law[] {
  const law = (claim: string, body: LawBody): Law => ({
    claim: `${subject.name}: ${claim}`,
    check: (runs, more) => {
      const words = fc.array(fc.nat(0xffffff), { maxLength: 24, size: "max" });
      const property = fc.property(words, fc.nat(0xffffff), (drawn, dice) =>
        body(new Play(subject, tools, drawn, body === digests), seededRng(dice), tools, subject),
      );
      fc.assert(property, { ...more, numRuns: runs });
    },
  });
  const bodies: [string, LawBody][] = [
    ["what a replica shows is what the naive twin computes from all operations it knows", twinAgrees],
    ["an entry applied before is known and changes nothing", appliedTwice],
    ["entries of different actors commute", commutes],
    ["every delivery that keeps each actor's order gives equal rows", anyDelivery],
    ["lost dots come back by repair, and nothing else does", repairGivesBack],
    ["repair from below my log's floor takes nothing", repairBelowFloor],
    ["repair between replicas that lost nothing changes nothing", repairIsQuiet],
    ["a copy at a vector and the log after it give what the whole log gives", copyThenLog],
    ["a row that loses its stubs brings nothing back", lostStubs],
    ["a quorum read shows what one who knows all the answerers' entries shows", joinIsMerge],
    ["an update that a removal had not seen survives it", unseenSurvives],
    ["a removal removes only what it names", removesOnlyNamed],
    ["a row has one encoding, and decodes to itself", rowCodec],
    ["an entry has one encoding, and decodes to itself", entryCodec],
    ["equal live dots and equal digests go together; sums by difference are sums from scratch", digests],
  ];
  return bodies.map(([claim, body]) => law(claim, body));
}

function twinAgrees(play: Play, _: Rng, { show }: LawTools): void {
  for (const replica of play.replicas)
    for (const key of KEYS) same(show(replica.row(key)), play.twin.show(key, replica.applied), `shown at ${key}`);
}

function appliedTwice(play: Play): void {
  for (const replica of play.replicas) {
    const before = replica.picture();
    for (const entry of [...replica.log].reverse()) {
      same(admitEntry(replica.state, entry), "known", "an applied entry");
      replica.receive(entry);
    }
    same(replica.picture(), before, "after applying all again");
  }
}

function commutes(play: Play, rng: Rng): void {
  const [a, b] = [play.fresh(), play.fresh()];
  for (const entry of play.entries) {
    const others = play.entries.filter((e) => e.actor !== entry.actor && admitEntry(a.state, e) === "next");
    const other = others[rng.below(Math.max(1, others.length))];
    if (!other || admitEntry(a.state, entry) !== "next") continue;
    for (const e of [entry, other]) a.apply(e);
    for (const e of [other, entry]) b.apply(e);
    same(a.picture(), b.picture(), "two orders of two entries");
  }
}

function anyDelivery(play: Play, rng: Rng, { show }: LawTools): void {
  const [a, b] = [play.fresh(), play.fresh()];
  deliver(a, shuffle([...play.entries], rng), rng);
  deliver(b, play.entries, rng);
  for (const entry of play.entries) for (const r of [a, b]) assert(includes(r.state.vector, entry), "all is delivered");
  same(a.picture(), b.picture(), "two deliveries");
  for (const replica of play.replicas) {
    deliver(replica, play.entries, rng);
    same(replica.picture(), a.picture(), "a replica that wrote and one that only listened");
  }
  const all = new Set(play.entries.keys());
  for (const key of KEYS) {
    same(show(a.row(key)), play.twin.show(key, all), "all entries");
    same(a.row(key).stubs.size, 0, "stubs when nothing is still to come");
  }
  same(a.state.awaited.size + a.state.early.length, 0, "waiting when nothing is still to come");
}

/** Removes some live cells without a trace. */
function loseSome(replica: Replica, key: string, rng: Rng): Set<string> {
  const row = openRow(replica.row(key));
  const lost = new Set<string>();
  for (const dot of [...row.cells.keys()]) if (rng.below(2) === 0 && row.cells.delete(dot)) lost.add(dot);
  replica.store(key, row);
  return lost;
}

function repairGivesBack(play: Play, rng: Rng): void {
  for (const mine of play.replicas)
    for (const theirs of play.replicas) {
      const before = mine.row("k");
      const lost = loseSome(mine, "k", rng);
      const vector = mine.state.vector.copy();
      mine.repair("k", theirs.travelling("k"));
      for (const dot of before.cells.keys())
        same(mine.row("k").cells.has(dot), !lost.has(dot) || theirs.row("k").cells.has(dot), `${dot} after repair`);
      for (const dot of mine.row("k").cells.keys()) assert(before.cells.has(dot), `repair brought ${dot}`);
      assert(mine.state.vector.equals(vector), "repair raises no vector");
      mine.store("k", before);
    }
}

function repairBelowFloor(play: Play, rng: Rng): void {
  for (const mine of play.replicas)
    for (const theirs of play.replicas) {
      const floor = mine.state.floor;
      if (floor.size === 0) floor.join(mine.state.vector);
      if (theirs.state.vector.reaches(floor)) continue;
      loseSome(mine, "k", rng);
      same(mine.repair("k", theirs.travelling("k")), 0, "taken below the floor");
    }
}

function repairIsQuiet(play: Play): void {
  for (const mine of play.replicas) {
    const before = mine.picture();
    for (const theirs of play.replicas)
      for (const key of KEYS) same(mine.repair(key, theirs.travelling(key)), 0, "taken without a loss");
    same(mine.picture(), before, "after repairs without a loss");
  }
}

function copyThenLog(play: Play, rng: Rng, { show }: LawTools): void {
  const whole = play.fresh();
  deliver(whole, play.entries, rng);
  for (const mine of play.replicas) {
    const theirs = play.any(rng.below(3));
    const floor = mine.state.floor.copy();
    const vector = mine.state.vector.copy();
    mine.adopt(theirs);
    for (const key of KEYS) same(show(mine.row(key)), play.twin.show(key, mine.applied), `${key} after a copy`);
    for (const [actor, seq] of theirs.state.vector.entries()) {
      assert(mine.state.vector.seq(actor) >= seq, "a copy's vector is adopted");
      same(mine.state.floor.seq(actor), seq > vector.seq(actor) ? seq : floor.seq(actor), "the floor after a copy");
    }
    assert(mine.state.vector.reaches(vector), "a copy lowers no vector");
    for (const dot of mine.state.awaited.values()) assert(!mine.state.vector.covers(dot), "what came isn't awaited");
    for (const cell of mine.row("k").cells.values())
      assert(mine.state.vector.covers(cell.dot), "a live dot is covered (I8)");
  }
  for (const mine of play.replicas) {
    deliver(mine, play.entries, rng);
    same(mine.picture(), whole.picture(), "by copy and log, and by log alone");
    for (const key of KEYS) loseSome(mine, key, rng);
    for (const key of KEYS) mine.repair(key, whole.travelling(key));
    same(mine.picture(), whole.picture(), "lost after a copy, and repaired");
  }
}

/** A lost stub is no loss: the log remembers what it removed (model, finding 11). */
function lostStubs(play: Play, rng: Rng): void {
  const whole = play.fresh();
  deliver(whole, play.entries, rng);
  for (const mine of play.replicas) {
    for (const key of KEYS) mine.store(key, { cells: mine.row(key).cells, stubs: new Map() });
    deliver(mine, play.entries, rng);
    same(mine.picture(), whole.picture(), "after the stubs were lost");
  }
}

function joinIsMerge(play: Play, _: Rng, { show }: LawTools): void {
  const cells = joinAnswers(play.replicas.map((replica) => replica.travelling("k")));
  const known = new Set(play.replicas.flatMap((replica) => [...replica.applied]));
  same(show({ cells, stubs: new Map() }), play.twin.show("k", known), "joined answers");
}

function unseenSurvives(play: Play, rng: Rng, _: LawTools, subject: LawSubject): void {
  const [a, b] = [play.any(0), play.any(1)];
  const update = play.write(
    b,
    "k",
    subject.update((n) => rng.below(n)),
  );
  const removal = play.write(a, "k", ALL_OF_IT);
  if (!update) return; // refused: another type lives there
  const whole = play.fresh();
  deliver(whole, play.entries, rng);
  for (const { dot } of addedCells(update)) assert(whole.row("k").cells.has(dotKey(dot)), "the unseen update survives");
  for (const dot of removal?.removes ?? []) assert(!whole.row("k").cells.has(dotKey(dot)), "what was seen is gone");
}

function removesOnlyNamed(play: Play): void {
  const replica = play.fresh();
  for (const entry of play.entries) {
    const before = replica.row(entry.key);
    const others = KEYS.filter((key) => key !== entry.key).map((key) => replica.row(key));
    const named = new Set(entry.removes.map(dotKey));
    replica.receive(entry);
    const after = replica.row(entry.key).cells;
    if (!replica.applied.has(entry.stamp.hlc.ms)) continue; // it waits for a gap
    for (const dot of before.cells.keys()) same(after.has(dot), !named.has(dot), `${dot} after ${entry.stamp.hlc.ms}`);
    for (const { dot } of addedCells(entry))
      same(after.has(dotKey(dot)), !before.stubs.has(dotKey(dot)), "an added dot that no stub awaited");
    for (const dot of entry.removes)
      same(
        replica.row(entry.key).stubs.has(dotKey(dot)),
        !replica.state.vector.covers(dot),
        "a stub for what is to come",
      );
    for (const [i, key] of KEYS.filter((k) => k !== entry.key).entries())
      assert(replica.row(key) === others[i], "another key");
  }
}

/** A small change anywhere in the bytes. */
export function mutate(bytes: Uint8Array, rng: Rng): Uint8Array {
  const at = rng.below(bytes.length + 1);
  const kind = rng.below(5);
  const byte = rng.below(3) === 0 ? [0, 1, 127, 128, 255][rng.below(5)] : rng.below(256);
  const middle = kind === 0 ? [] : kind === 4 ? [...bytes.slice(at, at + rng.below(8)), byte ?? 0] : [byte ?? 0];
  const skip = [1, 1, 1, 0, 0][kind] ?? 0;
  return Uint8Array.of(...bytes.slice(0, at), ...middle, ...bytes.slice(at + skip));
}

/** The decoder refuses, or what it gives encodes to the very same bytes. */
export function decodesOneWay<T>(bytes: Uint8Array, decode: (b: Uint8Array) => T, encode: (v: T) => Uint8Array): void {
  let value: T;
  try {
    value = decode(bytes);
  } catch (error) {
    if (error instanceof InputError) return; // refused, as it should be
    throw error;
  }
  same(toHex(encode(value)), toHex(bytes), "re-encoded");
}

function rowCodec(play: Play, rng: Rng): void {
  for (const replica of play.replicas) {
    const row = replica.row("k");
    const bytes = encodeRow(row);
    const again = decodeRow(bytes);
    assert(equalBytes(encodeRow(again), bytes), "a decoded row encodes to the same bytes");
    const mixed = { cells: new Map(shuffle([...row.cells], rng)), stubs: new Map(shuffle([...row.stubs], rng)) };
    assert(equalBytes(encodeRow(mixed), bytes), "equal rows have one encoding");
    for (const [dot, cell] of row.cells) same(literal(again.cells.get(dot)), literal(cell), "a decoded cell");
    same([...again.stubs.keys()].sort().join(), [...row.stubs.keys()].sort().join(), "decoded stubs");
    same(again.cells.size, row.cells.size, "cells");
    for (let i = 0; i < 5; i++) decodesOneWay(mutate(bytes, rng), decodeRow, encodeRow);
    decodesOneWay(mutate(replica.state.vector.encode(), rng), VersionVector.decode, (vector) => vector.encode());
  }
}

function entryCodec(play: Play, rng: Rng): void {
  for (const entry of play.entries.slice(-4)) {
    const bytes = encodeEntry(entry);
    same(literal(decodeEntry(bytes)), literal(entry), "a decoded entry");
    const mixed = { ...entry, removes: shuffle([...entry.removes, ...entry.removes], rng) };
    assert(equalBytes(encodeEntry(mixed), bytes), "dots have one order");
    for (let i = 0; i < 5; i++) decodesOneWay(mutate(bytes, rng), decodeEntry, encodeEntry);
  }
}

/** A value as text, byte arrays and bigints included. */
function literal(value: unknown): string {
  return JSON.stringify(value, (_, v: unknown) =>
    v instanceof Uint8Array ? `bytes ${toHex(v)}` : typeof v === "bigint" ? `${v}n` : v,
  );
}

function digests(play: Play, _: Rng, { sha256 }: LawTools): void {
  const dots = (replica: Replica): string =>
    KEYS.map((key) => [...replica.row(key).cells.keys()].sort().join()).join(";");
  const all = (replica: Replica): string =>
    dots(replica) + KEYS.map((key) => [...replica.row(key).stubs.keys()].sort().join()).join(";");
  for (const a of play.replicas) {
    const [digest, inventory, freshDigest, freshInventory] = a.sums(sha256);
    same(digest, freshDigest, "digests by difference and from scratch");
    same(inventory, freshInventory, "inventories by difference and from scratch");
    for (const b of play.replicas) {
      same(b.sums(sha256)[0] === digest, dots(a) === dots(b), "equal digests and equal live dots");
      same(b.sums(sha256)[1] === inventory, all(a) === all(b), "equal inventories and equal dots and stubs");
    }
  }
}
