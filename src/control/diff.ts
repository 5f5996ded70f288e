import type { Json } from "./codec.ts";
import type { Tree } from "./view.ts";

/** One place of a view that is other than it was. Without `before` it is new, without `after` it is gone. */
export interface Change {
  readonly path: readonly string[];
  readonly before?: Json;
  readonly after?: Json;
}

/** In order of their paths. Lists are one value. */
export function diff(before: Tree, after: Tree): Change[] {
  return changesAt(before, after, []);
}

function changesAt(before: Tree, after: Tree, path: readonly string[]): Change[] {
  // Nearly all is as it was, the same in both: what isn't is found first, and put in order then.
  const keys = Object.keys(after).filter((key) => !Object.hasOwn(before, key) || before[key] !== after[key]);
  for (const key of Object.keys(before)) if (!Object.hasOwn(after, key)) keys.push(key);
  return keys.sort().flatMap((key): Change[] => {
    const here = [...path, key];
    const was = Object.hasOwn(before, key) ? before[key] : undefined;
    const is = Object.hasOwn(after, key) ? after[key] : undefined;
    if (isTree(was) && isTree(is)) return changesAt(was, is, here);
    if (isSame(was, is)) return [];
    return [{ path: here, ...(was !== undefined && { before: was }), ...(is !== undefined && { after: is }) }];
  });
}

/** The view after these changes: what a watcher does who keeps it up to date. */
export function replay(view: Tree, changes: readonly Change[]): Tree {
  return changes.reduce<Tree>((tree, { path, after }) => changedAt(tree, path, after), view);
}

function changedAt(tree: Tree, [key, ...rest]: readonly string[], after: Json | undefined): Tree {
  if (key === undefined) return tree;
  const copy: Record<string, Json> = Object.assign(Object.create(null), tree);
  const inside = copy[key];
  const next = rest.length > 0 && isTree(inside) ? changedAt(inside, rest, after) : after;
  if (next === undefined) delete copy[key];
  else copy[key] = next;
  return copy;
}

function isTree(value: Json | undefined): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** For what is no tree on both sides. */
function isSame(a: Json | undefined, b: Json | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => isSame(one, b[i]));
  return isTree(a) && isTree(b) && changesAt(a, b, []).length === 0;
}
