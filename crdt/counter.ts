import { compareText } from "../src/kernel/bytes.ts";
import type { ActorId } from "../src/kernel/ids.ts";
import type { CounterContent, ResetContent, SeenSums, Sums } from "./content.ts";
import type { CrdtType, SeenCell, SlotView } from "./contract.ts";

export type CounterOp = { readonly op: "increment"; readonly by: bigint } | { readonly op: "reset" };

/** A counter that can be reset: each run of a node keeps its sums in one dot, a reset names the sums it saw, and
 *  exactly the increments that a reset had not seen stay (data.md, Types). */
export const counter: CrdtType<CounterOp, bigint> = {
  name: "counter",
  plan: (op, slot) => (op.op === "increment" ? planIncrement(op.by, slot) : planReset(slot)),
  show: (cells) => {
    const cancelled = cancelledSums(cells);
    let value = 0n;
    for (const { dot, content } of cells) {
      if (content.kind !== "counter") continue;
      const gone = cancelledOf(content, cancelled.get(sumsKey(dot.actor, baseOf({ dot, content }))));
      value += content.plus - gone.plus - (content.minus - gone.minus);
    }
    return value;
  },
};

const ZERO: Sums = { plus: 0n, minus: 0n };

/** Sums only grow along one base, so the greater of two is the later one, side by side. */
function join(a: Sums, b: Sums | undefined): Sums {
  if (!b) return a;
  return { plus: a.plus > b.plus ? a.plus : b.plus, minus: a.minus > b.minus ? a.minus : b.minus };
}

/** What is cancelled of these sums. A reset that came before the increments it saw knows more than is here: that part
 *  cancels them when they come, and nothing else now. */
function cancelledOf(sums: CounterContent, byResets: Sums | undefined): Sums {
  const { plus, minus } = join(sums.cancelled, byResets);
  return { plus: plus < sums.plus ? plus : sums.plus, minus: minus < sums.minus ? minus : sums.minus };
}

function sumsKey(actor: ActorId, base: number): string {
  return `${actor}:${base}`;
}

/** The seq of the dot that began these sums; Infinity for a draft that begins them. */
function baseOf({ dot, content }: { dot: SeenCell["dot"]; content: CounterContent }): number {
  return content.base || (dot?.seq ?? Number.POSITIVE_INFINITY);
}

function cancelledSums(cells: readonly SeenCell[]): Map<string, Sums> {
  const cancelled = new Map<string, Sums>();
  for (const { content } of cells)
    for (const seen of content.kind === "reset" ? content.seen : []) {
      const key = sumsKey(seen.actor, seen.base);
      cancelled.set(key, join(seen, cancelled.get(key)));
    }
  return cancelled;
}

/** An increment replaces its own run's dot, whatever the client's context: the sums are this node's own. Where repair
 *  gave back older sums of this run beside newer ones, both count and only the newer goes on. */
function planIncrement(by: bigint, { live, actor }: SlotView): { adds: CounterContent[]; removes: SeenCell[] } {
  const own = live.filter((cell) => cell.content.kind === "counter" && (cell.dot === null || cell.dot.actor === actor));
  const newest = own.reduce<SeenCell | null>((best, cell) => (best && seqOf(best) > seqOf(cell) ? best : cell), null);
  const before = newest?.content.kind === "counter" ? newest.content : null;
  const base = before && newest ? baseOf({ dot: newest.dot, content: before }) : Number.POSITIVE_INFINITY;
  const content: CounterContent = {
    kind: "counter",
    base: Number.isFinite(base) ? base : 0,
    plus: (before?.plus ?? 0n) + (by > 0n ? by : 0n),
    minus: (before?.minus ?? 0n) + (by < 0n ? -by : 0n),
    cancelled: before ? cancelledOf(before, cancelledSums(live).get(sumsKey(actor, base))) : ZERO,
  };
  return { adds: [content], removes: newest ? [newest] : [] };
}

function seqOf(cell: SeenCell): number {
  return cell.dot?.seq ?? Number.POSITIVE_INFINITY;
}

function planReset({ seen, actor }: SlotView): { adds: ResetContent[]; removes: SeenCell[] } {
  const sums = new Map<string, SeenSums>();
  const note = (next: SeenSums): void => {
    const key = sumsKey(next.actor, next.base);
    sums.set(key, { ...next, ...join(next, sums.get(key)) });
  };
  const removes: SeenCell[] = [];
  for (const cell of seen) {
    if (cell.content.kind === "reset") {
      for (const earlier of cell.content.seen) note(earlier);
      removes.push(cell);
    } else if (cell.content.kind === "counter") {
      const base = baseOf({ dot: cell.dot, content: cell.content });
      if (!Number.isFinite(base))
        removes.push(cell); // incremented and reset in one request
      else note({ actor: cell.dot?.actor ?? actor, base, plus: cell.content.plus, minus: cell.content.minus });
    }
  }
  const sorted = [...sums.values()].sort((a, b) => compareText(a.actor, b.actor) || a.base - b.base);
  return { adds: sorted.length > 0 ? [{ kind: "reset", seen: sorted }] : [], removes };
}
