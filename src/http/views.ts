import type { Cell, Dot, Row, SlotType, Stamp } from "../../crdt/index.ts";
import { decodeElement, dotKey, register, slotTypeOf } from "../../crdt/index.ts";
import type { Conflict } from "../conflicts/conflict.ts";
import { placeOf, project, type Shown } from "../conflicts/projection.ts";
import { nodeOfActor } from "../kernel/ids.ts";
import type { RowKey } from "../storage/store.ts";
import { type Api, rfc3339 } from "./api.ts";
import { POLICY } from "./etag.ts";
import type { Facts } from "./facts.ts";
import type { View } from "./json.ts";
import { contentView, elementView, shownView } from "./values.ts";

/** Who wrote a dot, where and when. */
export function dotView(api: Api, dot: Dot, stamp: Stamp): { readonly [name: string]: View | undefined } {
  const node = nodeOfActor(dot.actor);
  return {
    dot: dotKey(dot),
    node,
    region: api.replica.owners.regions.get(node) ?? null,
    author: stamp.author,
    reason: stamp.reason,
    time: rfc3339(stamp.hlc.ms),
    hlc: { ms: stamp.hlc.ms, counter: stamp.hlc.counter },
    clockSuspect: stamp.suspect ? true : undefined,
  };
}

/** What one dot holds. */
export function cellView({ content }: Cell): { readonly type: SlotType; readonly [name: string]: View | undefined } {
  const type = slotTypeOf(content);
  switch (content.kind) {
    case "register":
      return { type, value: contentView(content), contentType: content.contentType };
    case "counter":
      return { type, value: content.plus - content.minus, plus: content.plus, minus: content.minus };
    case "reset":
      return { type, reset: true };
    case "flag":
      return { type, value: true };
    case "element":
      return { type, value: elementView(decodeElement(content.element)) };
  }
}

/** The values that stand side by side at one place, each with the dots that hold it. */
export function siblingViews(api: Api, conflict: Pick<Conflict, "path" | "cells">): View[] {
  const { slots } = placeOf(conflict.cells, conflict.path.length);
  return [...slots].flatMap(([type, cells]): View[] => {
    if (type === "register")
      return register.show(cells).map((sibling) => ({
        type,
        value: contentView(sibling),
        contentType: sibling.contentType,
        dots: dotViews(api, sibling.cells),
      }));
    const shown = projectPlace(cells, conflict.path.length);
    return [{ type, value: shown && shownView(shown), dots: dotViews(api, cells) }];
  });
}

function dotViews(api: Api, cells: readonly Cell[]): View[] {
  return cells.map(({ dot, stamp }) => dotView(api, dot, stamp));
}

/** What the cells of one slot say, seen from where the slot stands. */
function projectPlace(cells: readonly Cell[], depth: number): Shown | null {
  const below = cells.map((cell): [Cell["dot"], Cell] => [cell.dot, { ...cell, path: cell.path.slice(depth) }]);
  return project({ cells: new Map(below.map(([dot, cell]) => [dotKey(dot), cell])), stubs: new Map() });
}

export function conflictView(api: Api, conflict: Conflict): View {
  const { path, kind, types, shown } = conflict;
  return { path, kind, types, shown: dotKey(shown.dot), siblings: siblingViews(api, conflict) };
}

/** `?view=record`. */
export function recordView(api: Api, key: RowKey, row: Row, facts: Facts): View {
  return {
    bucket: key.bucket,
    key: key.key,
    type: facts.shown.type,
    shown: shownView(facts.shown),
    contentType: facts.shown.type === "register" ? facts.shown.contentType : undefined,
    policy: POLICY,
    conflict: facts.conflict,
    siblings: recordSiblings(api, row, facts),
    context: facts.context,
  };
}

/** The values of every place where several stand; the record's only one otherwise. */
export function recordSiblings(api: Api, row: Row, facts: Facts): View {
  if (facts.conflicts.length === 0) return siblingViews(api, { path: [], cells: [...row.cells.values()] });
  return facts.conflicts.flatMap((conflict) =>
    siblingViews(api, conflict).map((sibling) => withPath(conflict, sibling)),
  );
}

function withPath({ path }: Conflict, sibling: View): View {
  return path.length === 0 ? sibling : { path, ...(sibling as { readonly [name: string]: View }) };
}
