import type { Address, World } from "./world.ts";

// What all parts of the World's contract kit share.

/** Two worlds that can reach each other, and what a test needs beside them. */
export interface WorldsUnderTest {
  readonly left: World;
  readonly right: World;
  /** Where `right` listens. */
  readonly rightHost: string;
  /** Nobody answers there, ever. */
  readonly silent: Address;
  /** Nothing is there yet. */
  readonly dataDir: string;
  /** A client's request. */
  fetch(request: Request): Promise<Pick<Response, "status" | "headers" | "body" | "text">>;
  /** Runs a test's body while time goes on in these worlds. */
  run(body: () => Promise<void>): Promise<void>;
}

/** States a claim; `after` takes what must be undone when the test is over. */
export type Claim = (
  what: string,
  body: (worlds: WorldsUnderTest, after: (cleanup: () => unknown) => void) => Promise<void>,
) => void;

export function wait(world: World, ms: number): Promise<void> {
  return new Promise((resolve) => void world.timers.after(ms, resolve));
}

/** Asks again and again, in the world's time: what should become true does, or the test's own time-out ends it. */
export async function poll(world: World, isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await wait(world, 1);
}
