import { decodeMessage, encodeMessage } from "../../src/consensus/driver/wire.ts";
import { equalBytes } from "../../src/kernel/bytes.ts";
import { MESSAGES } from "../consensus/messages.ts";
import { claim, type Target, unlessRefused } from "./target.ts";

export const RAFT_TARGETS: readonly Target[] = [
  {
    name: "raft-message",
    seeds: () => MESSAGES.map(encodeMessage),
    parse: (input) => {
      const message = unlessRefused(() => decodeMessage(input));
      // There is one way to write a message.
      if (message) claim(equalBytes(encodeMessage(message), input), "is written otherwise than it was read");
      return message !== undefined;
    },
  },
];
