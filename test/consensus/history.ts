/** What a client did to one register. Moments are places in the run's order. */
export interface Operation {
  readonly kind: "read" | "write" | "swap";
  readonly key: number;
  /** Written; of a swap only where `from` was. */
  readonly value: number;
  readonly from: number;
  readonly calledAt: number;
  /** Infinity: no answer came; it may have happened at any time since, or never. */
  returnedAt: number;
  /** By a read or swap that was answered. */
  seen: number;
}

export type Verdict = "linearizable" | "not" | "undecided";

/** Is there one order, within each operation's time, that explains all answers? (Wing and Gong 1993, with Lowe's memory of
 *  what was tried, 2017.) Registers don't touch each other, so each is looked at alone. */
export function judge(operations: readonly Operation[], stepsMax = 400_000): Verdict {
  const keys = [...new Set(operations.map(({ key }) => key))];
  const verdicts = keys.map((key) => new Search(relevant(operations.filter((op) => op.key === key))).run(stepsMax));
  if (verdicts.includes("not")) return "not";
  return verdicts.includes("undecided") ? "undecided" : "linearizable";
}

/** Without those that may never have happened and whose value nobody saw: if an order explains the rest, it explains all.
 *  A search with them in it would try each of them everywhere. */
function relevant(operations: readonly Operation[]): Operation[] {
  const known = operations.filter(isAnswered);
  const seen = new Set(known.filter(({ kind }) => kind !== "write").map((op) => op.seen));
  const open = operations.filter((op) => !isAnswered(op) && op.kind !== "read");
  const kept = new Set<Operation>();
  for (let before = -1; before !== kept.size; ) {
    before = kept.size;
    for (const op of open) {
      if (kept.has(op) || !seen.has(op.value)) continue;
      kept.add(op);
      if (op.kind === "swap") seen.add(op.from);
    }
  }
  return [...known, ...kept];
}

function isAnswered({ returnedAt }: Operation): boolean {
  return returnedAt !== Number.POSITIVE_INFINITY;
}

/** A call or a return, in a list from which what was placed is taken out. */
interface Mark {
  readonly op: Operation;
  readonly number: number;
  /** Null at a return; at a call its return, if there is one. */
  readonly end: Mark | null;
  readonly isCall: boolean;
  prev: Mark | null;
  next: Mark | null;
}

class Search {
  readonly #head: Mark;
  readonly #placed: Uint32Array;
  /** Answered operations that are not placed yet. */
  #left = 0;

  constructor(operations: readonly Operation[]) {
    this.#placed = new Uint32Array((operations.length >> 5) + 1);
    const marks: { at: number; mark: Mark }[] = [];
    for (const [number, op] of operations.entries()) {
      const end = isAnswered(op) ? { op, number, end: null, isCall: false, prev: null, next: null } : null;
      if (end) marks.push({ at: op.returnedAt, mark: end });
      marks.push({ at: op.calledAt, mark: { op, number, end, isCall: true, prev: null, next: null } });
      if (end) this.#left += 1;
    }
    marks.sort((a, b) => a.at - b.at);
    const nobody = { kind: "read", key: 0, value: 0, from: 0, calledAt: 0, returnedAt: 0, seen: 0 } as const;
    this.#head = { op: nobody, number: -1, end: null, isCall: true, prev: null, next: null };
    let last = this.#head;
    for (const { mark } of marks) {
      mark.prev = last;
      last.next = mark;
      last = mark;
    }
  }

  run(stepsMax: number): Verdict {
    const tried = new Set<string>();
    const stack: { mark: Mark; value: number }[] = [];
    let value = 0;
    let at = this.#head.next;
    for (let steps = 0; this.#left > 0; steps++) {
      if (steps > stepsMax) return "undecided";
      if (at?.isCall) {
        const after = applied(at.op, value);
        if (after !== null && this.#isNew(tried, at.number, after)) {
          stack.push({ mark: at, value });
          value = after;
          this.#lift(at);
          at = this.#head.next;
        } else at = at.next;
        continue;
      }
      // It returned before anything that could explain it: one of those placed was placed wrongly.
      const back = stack.pop();
      if (!back) return "not";
      value = back.value;
      this.#unlift(back.mark);
      at = back.mark.next;
    }
    return "linearizable";
  }

  #isNew(tried: Set<string>, number: number, value: number): boolean {
    this.#flip(number);
    const key = `${value}:${this.#placed.join()}`;
    this.#flip(number);
    if (tried.has(key)) return false;
    tried.add(key);
    return true;
  }

  #flip(number: number): void {
    const word = number >> 5;
    this.#placed[word] = (this.#placed[word] as number) ^ (1 << (number & 31));
  }

  #lift(mark: Mark): void {
    this.#flip(mark.number);
    unlink(mark);
    if (!mark.end) return;
    unlink(mark.end);
    this.#left -= 1;
  }

  #unlift(mark: Mark): void {
    this.#flip(mark.number);
    if (mark.end) {
      relink(mark.end);
      this.#left += 1;
    }
    relink(mark);
  }
}

function unlink({ prev, next }: Mark): void {
  if (prev) prev.next = next;
  if (next) next.prev = prev;
}

function relink(mark: Mark): void {
  if (mark.prev) mark.prev.next = mark;
  if (mark.next) mark.next.prev = mark;
}

/** The register after it; null when it can't have happened to this one. */
function applied(op: Operation, value: number): number | null {
  if (isAnswered(op) && op.kind !== "write" && op.seen !== value) return null;
  if (op.kind === "read") return value;
  if (op.kind === "write") return op.value;
  if (op.from === value) return op.value;
  return isAnswered(op) ? value : null;
}
