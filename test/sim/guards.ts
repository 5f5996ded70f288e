import { QuickResponse } from "./http-body.ts";

/** The simulation's own way to let microtasks run: taken before any guard replaces it. */
export const realSetImmediate = setImmediate;

/** What would make two runs of one seed differ. Node's own modules hold on to the originals and keep working. */
const FORBIDDEN: readonly (readonly [owner: object, ownerName: string, names: readonly string[]])[] = [
  [globalThis, "", ["setTimeout", "setInterval", "setImmediate", "fetch"]],
  [Math, "Math.", ["random"]],
  [performance, "performance.", ["now"]],
  [crypto, "crypto.", ["randomUUID", "getRandomValues"]],
  [AbortSignal, "AbortSignal.", ["timeout"]],
  [process, "process.", ["hrtime"]],
];

let installed = 0;
let restorers: (() => void)[] = [];
let armed = false;

/** Replaces the sources of real time and real chance; in a turn that `guardThisTurn` was called for they throw. Returns
 *  what puts the originals back; counts, so that runs may overlap. Answers get their cheap form here, too. */
export function installGuards(): () => void {
  if (installed++ === 0) {
    restorers = FORBIDDEN.flatMap(([owner, ownerName, names]) => names.map((name) => guard(owner, ownerName, name)));
    restorers.push(replace(globalThis, "Date", guardedDate()), replace(globalThis, "Response", QuickResponse));
  }
  let removed = false;
  return () => {
    if (removed) return;
    removed = true;
    if (--installed > 0) return;
    for (const restore of restorers) restore();
  };
}

/** Until the microtasks of this turn of the event loop have run, and of the turns right behind it up to `isLast`. What runs
 *  between the simulation's turns is not the simulation: the test runner with its time-outs, sockets of an earlier test. */
export function guardThisTurn(isLast: boolean): void {
  armed = true;
  // A tick asked for in a microtask comes when there are no more microtasks. (`queueMicrotask` costs far more.)
  if (isLast) void Promise.resolve().then(nextTickDisarm);
}

const nextTickDisarm = (): void => process.nextTick(disarm);
const disarm = (): void => {
  armed = false;
};

function check(name: string): void {
  if (armed) throw new Error(`${name} inside a simulation: take time and chance from the World`);
}

function guard(owner: object, ownerName: string, name: string): () => void {
  const original = Reflect.get(owner, name) as (...args: unknown[]) => unknown;
  const guarded = function (this: unknown, ...args: unknown[]): unknown {
    check(ownerName + name);
    return original.apply(this, args);
  };
  return replace(owner, name, Object.assign(guarded, original)); // some carry more: process.hrtime.bigint
}

/** Dates of a given time stay possible; only "now" is not. */
function guardedDate(): DateConstructor {
  const now = (): number => {
    check("Date.now");
    return RealDate.now();
  };
  return new Proxy(RealDate, {
    construct(target, args, newTarget) {
      if (args.length === 0) check("new Date()");
      return Reflect.construct(target, args, newTarget) as object;
    },
    apply(target) {
      check("Date()");
      return target();
    },
    get: (target, name, receiver) => (name === "now" ? now : (Reflect.get(target, name, receiver) as unknown)),
  });
}

const RealDate = Date;

function replace(owner: object, name: string, value: unknown): () => void {
  const before = Object.getOwnPropertyDescriptor(owner, name);
  const enumerable = before?.enumerable ?? false;
  Object.defineProperty(owner, name, { value, configurable: true, writable: true, enumerable });
  return () => {
    if (before) Object.defineProperty(owner, name, before);
    else Reflect.deleteProperty(owner, name);
  };
}
