import { assert, InputError } from "../src/kernel/assert.ts";
import { compareText, Reader, Writer } from "../src/kernel/bytes.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import { parseActorId } from "../src/kernel/ids.ts";
import type { Dot } from "./dot.ts";

/** The seq that a closed actor's vector shows: nothing of it is still to come (data.md, Closing an actor). */
export const CLOSED: number = Number.MAX_SAFE_INTEGER;

/** actor → highest contiguous seq applied here (I8): the context of every key of a partition, present or absent. */
export class VersionVector {
  readonly #seqs: Map<ActorId, number>;

  constructor(entries: Iterable<readonly [ActorId, number]> = []) {
    this.#seqs = new Map(entries);
  }

  get size(): number {
    return this.#seqs.size;
  }

  seq(actor: ActorId): number {
    return this.#seqs.get(actor) ?? 0;
  }

  covers(dot: Dot): boolean {
    return this.seq(dot.actor) >= dot.seq;
  }

  /** True when it knows at least all that `other` knows. */
  reaches(other: VersionVector): boolean {
    for (const [actor, seq] of other.#seqs) if (this.seq(actor) < seq) return false;
    return true;
  }

  equals(other: VersionVector): boolean {
    return this.reaches(other) && other.reaches(this);
  }

  /** A vector only rises: one that was shown to others is a promise. */
  rise(actor: ActorId, seq: number): void {
    assert(seq > this.seq(actor), "a version vector never falls");
    this.#seqs.set(actor, seq);
  }

  join(other: VersionVector): void {
    for (const [actor, seq] of other.#seqs) if (this.seq(actor) < seq) this.#seqs.set(actor, seq);
  }

  copy(): VersionVector {
    const copy = new VersionVector();
    // Made for each write: a Map's own iterator takes longer.
    this.#seqs.forEach((seq, actor) => {
      copy.#seqs.set(actor, seq);
    });
    return copy;
  }

  /** In order of actors. */
  entries(): [ActorId, number][] {
    const entries = [...this.#seqs];
    return entries.length < 2 ? entries : entries.sort(([a], [b]) => compareText(a, b));
  }

  /** What this one knows and `other` doesn't: actor, from (exclusive), to (inclusive). */
  missingFrom(other: VersionVector): { actor: ActorId; from: number; to: number }[] {
    const missing: { actor: ActorId; from: number; to: number }[] = [];
    for (const [actor, to] of this.entries()) {
      const from = other.seq(actor);
      if (from < to) missing.push({ actor, from, to });
    }
    return missing;
  }

  write(out: Writer): void {
    const entries = this.entries().filter(([, seq]) => seq > 0);
    out.uint(entries.length);
    for (const [actor, seq] of entries) out.text(actor).uint(seq);
  }

  encode(): Uint8Array {
    const out = new Writer();
    this.write(out);
    return out.finish();
  }

  static read(input: Reader): VersionVector {
    const vector = new VersionVector();
    let before = "";
    for (let left = input.count(3); left > 0; left--) {
      const actor = parseActorId(input.text());
      const seq = input.uint();
      if (compareText(before, actor) >= 0 || seq === 0)
        throw new InputError("bad-encoding", "malformed version vector");
      before = actor;
      vector.#seqs.set(actor, seq);
    }
    return vector;
  }

  static decode(bytes: Uint8Array): VersionVector {
    const input = new Reader(bytes);
    const vector = VersionVector.read(input);
    input.end();
    return vector;
  }
}
