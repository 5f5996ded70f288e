import { describe, expect, it } from "vitest";
import { decodeMessage, encodeMessage } from "../../src/consensus/driver/wire.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { MESSAGES } from "./messages.ts";

describe("Raft's messages as bytes", () => {
  it.each(MESSAGES.map((message, i) => [`${i} ${message.type}`, message] as const))(
    "%s comes back as it was",
    (_, message) => {
      expect(decodeMessage(encodeMessage(message))).toEqual(message);
    },
  );

  it("cut short anywhere, or longer, they are refused", () => {
    for (const message of MESSAGES) {
      const bytes = encodeMessage(message);
      for (let length = 0; length < bytes.length; length++)
        expect(() => decodeMessage(bytes.subarray(0, length)), `${message.type}, ${length} bytes`).toThrow(InputError);
      expect(() => decodeMessage(Uint8Array.of(...bytes, 0))).toThrow(InputError);
    }
  });

  it("entries whose terms go back, or beyond their leader's, are refused", () => {
    const head = { type: "append", from: "a", to: "b", term: 5, prevIndex: 3, prevTerm: 4, committed: 3 } as const;
    for (const terms of [[3], [5, 4], [6]]) {
      const entries = terms.map((term, i) => ({ term, index: 4 + i, payload: { kind: "nothing" } as const }));
      expect(() => decodeMessage(encodeMessage({ ...head, entries }))).toThrow(InputError);
    }
  });
});
