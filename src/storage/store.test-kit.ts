import { describe } from "vitest";
import { logClaims } from "./store-log.test-kit.ts";
import { randomClaims } from "./store-random.test-kit.ts";
import { rowClaims } from "./store-rows.test-kit.ts";
import { stateClaims } from "./store-state.test-kit.ts";
import type { StoreSubject } from "./store-subject.test-kit.ts";

export type { StoreSubject } from "./store-subject.test-kit.ts";

/** The claims of the Store interface. */
export function describeStore(name: string, subject: StoreSubject): void {
  describe(`${name} store`, () => {
    rowClaims(subject);
    logClaims(subject);
    stateClaims(subject);
    randomClaims(subject);
  });
}
