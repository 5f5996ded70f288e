// The explicit list of what others may use of the pure machine: `starling/gossip/machine`. With clock and sockets it is
// drivers/pool.ts.

export { contactTag } from "./swim/contact.ts";
export { estimatedRttMs } from "./swim/coordinate.ts";
export { Swim } from "./swim/machine.ts";
export { incarnationOfStart, PROFILES, type Profile, type ProfileName, profileProblems } from "./swim/profile.ts";
export type {
  Effect,
  KeyOperation,
  Member,
  MemberEvent,
  MemberState,
  SwimConfig,
  SwimCounts,
  SwimEvent,
  SwimSelf,
} from "./swim/protocol.ts";
export { canonicalHost, type Endpoint, ipToBytes, isLoopback, isWildcard } from "./wire/address.ts";
export { Envelope, type EnvelopeOptions } from "./wire/envelope.ts";
export { KEYS_MAX, Keyring } from "./wire/keyring.ts";
export { decodeMessage, encodeMessage, type Message, type NodeState } from "./wire/messages.ts";
export { type DecodedPacket, decodePacket, encodePacket, roomForMessages } from "./wire/packet.ts";
export { encodeStream, type PushPull, StreamDecoder, type StreamLimits, type StreamMessage } from "./wire/stream.ts";
export { decodeTags, encodeTags } from "./wire/tags.ts";
