import type { Sha256 } from "../../src/kernel/hashing.ts";
import type { Endpoint } from "../wire/address.ts";
import type { Keyring } from "../wire/keyring.ts";
import type { Message, Ping, User } from "../wire/messages.ts";
import type { Coordinate, KeyResponse } from "../wire/serf.ts";
import type { PushPull, StreamMessage } from "../wire/stream.ts";
import type { Profile } from "./profile.ts";

export type MemberState = "alive" | "suspect" | "dead" | "left";

/** What we believe about a member; hearsay (I11). A copy: it doesn't change any more. */
export interface Member {
  readonly name: string;
  readonly address: Endpoint;
  /** Where we reach it: the same, but for members behind NAT. */
  readonly contact: Endpoint;
  /** Its tags: region, id, actor, client, peer, proto … as far as it tells. */
  readonly meta: ReadonlyMap<string, string>;
  readonly state: MemberState;
  readonly incarnation: number;
  /** When `state` last changed here, in the machine's (monotonic) time. */
  readonly stateChangedMs: number;
  /** Smoothed round trip of our own probes; null before the first. */
  readonly rttMs: number | null;
  /** Where it said that it is (`estimatedRttMs`); null before its first answer. */
  readonly coordinate: Coordinate | null;
  /** Of our own latest probes, the share that it did not answer directly; null before the first. */
  readonly directLoss: number | null;
  /** Who suspects it, or held it for dead, as far as we heard; empty while it is alive. */
  readonly accusers: readonly string[];
}

/** What happened since the start. */
export interface SwimCounts {
  /** Members asked; those that did not answer in time, so that others were asked; and those that nobody reached. */
  probes: number;
  probeTimeouts: number;
  probeFailures: number;
  /** Of others, by whomever. */
  suspicions: number;
  deaths: number;
  /** Of accusations against us. */
  refutations: number;
  /** Of our table with another's, now and then; and how many of them found (or had to take for granted) a difference,
   *  so that whole tables were sent. */
  tableComparisons: number;
  tableDifferences: number;
}

export interface SwimConfig {
  readonly profile: Profile;
  /** Room for messages in one packet, the compound's lengths included (`roomForMessages`). */
  readonly packetBytes: number;
  /** Names in the table, the dead included. At the bound new names are refused until old ones are reclaimed; all rows
   *  of a full table must fit one stream message. */
  readonly membersMax: number;
  /** Changed by key queries of members. */
  readonly keyring?: Keyring | undefined;
  /** With it, members that have it too compare hashes of their tables before they send each other whole tables. */
  readonly sha256?: Sha256;
}

export interface SwimSelf {
  readonly name: string;
  /** What others are told: a literal IP. */
  readonly address: Endpoint;
  readonly meta: ReadonlyMap<string, string>;
  /** `incarnationOfStart` of this life. */
  readonly incarnation: number;
}

export type StreamId = number;
export type TimerToken = number;

export type SwimEvent =
  /** Once, first: arms the periodic timers. */
  | { readonly kind: "start" }
  /** The configured seeds, literal IPs or names; replaces the earlier list. Joined in the background, for ever. */
  | {
      readonly kind: "join";
      readonly seeds: readonly Endpoint[];
      /** Where members were in an earlier life: tried beside the seeds as long as we are alone. */
      readonly remembered?: readonly Endpoint[];
    }
  | {
      readonly kind: "packet";
      readonly from: Endpoint;
      readonly messages: readonly Message[];
      /** How many bytes of messages make a packet as long as this one was on the wire: an address that no member has may
       *  be forged, and gets no more than it seems to have sent. */
      readonly roomBytes: number;
      /** It was encrypted, by a holder of the keys. */
      readonly sealed?: boolean;
    }
  /** A stream that another opened brought a whole message; answered by a `reply` effect with the same id. */
  | { readonly kind: "stream-request"; readonly id: StreamId; readonly message: StreamMessage }
  /** The answer on a stream of ours; `remote` is where it was connected to, resolved. */
  | { readonly kind: "stream-reply"; readonly id: StreamId; readonly remote: Endpoint; readonly message: StreamMessage }
  | { readonly kind: "stream-failed"; readonly id: StreamId; readonly reason: string }
  | { readonly kind: "timer"; readonly token: TimerToken }
  /** This process stood still for so long: what it waits for may be waiting in its own sockets. */
  | { readonly kind: "stalled"; readonly byMs: number }
  | { readonly kind: "update-meta"; readonly meta: ReadonlyMap<string, string> }
  | { readonly kind: "leave" }
  /** Asks all members to change their keyring, or to tell it; answered by a `key-report` with the same id. */
  | {
      readonly kind: "ask-keys";
      readonly id: number;
      readonly operation: KeyOperation;
      /** Empty for `list`. */
      readonly key: Uint8Array;
    };

/** As `serf keys`. */
export type KeyOperation = "install" | "use" | "remove" | "list";

/** What a host is told. `name` is whom it is about. */
export type MemberEvent =
  | { readonly kind: "member-up"; readonly name: string; readonly member: Member }
  /** Alive as before, with other metadata or another address (a restart too: another actor). */
  | { readonly kind: "member-update"; readonly name: string; readonly member: Member }
  | { readonly kind: "member-suspect"; readonly name: string; readonly member: Member; readonly by: string }
  | { readonly kind: "member-dead"; readonly name: string; readonly member: Member; readonly by: string }
  | { readonly kind: "member-left"; readonly name: string; readonly member: Member }
  /** Our keyring was changed, by us or by another member. */
  | { readonly kind: "keys-changed"; readonly name: string }
  /** A suspicion ended well: the member (perhaps ourselves) said that it lives. */
  | { readonly kind: "refuted"; readonly name: string; readonly member: Member }
  /** One name at two addresses, both alive. `role`: what we are in it; a "second" should stop with a sentence. */
  | {
      readonly kind: "conflict";
      readonly name: string;
      readonly kept: Endpoint;
      readonly refused: Endpoint;
      readonly role: "observer" | "first" | "second";
    };

export type Effect =
  | {
      readonly kind: "send";
      readonly to: Endpoint;
      readonly messages: readonly Message[];
      /** With a checksum: the receiver is known to read it. */
      readonly crc: boolean;
    }
  | {
      readonly kind: "open-stream";
      readonly id: StreamId;
      readonly to: Endpoint;
      readonly message: PushPull | Ping | User;
      readonly timeoutMs: number;
    }
  | { readonly kind: "reply"; readonly id: StreamId; readonly message: StreamMessage }
  /** The stream asked for something that gets no answer. */
  | { readonly kind: "close-stream"; readonly id: StreamId }
  | { readonly kind: "set-timer"; readonly token: TimerToken; readonly delayMs: number }
  | { readonly kind: "notify"; readonly event: MemberEvent }
  | { readonly kind: "joined"; readonly seed: Endpoint; readonly members: number }
  | { readonly kind: "join-failed"; readonly seed: Endpoint; readonly reason: string; readonly nextTryMs: number }
  /** Something well-formed that we don't act on; the reason is a counter's name. */
  | {
      readonly kind: "reject";
      readonly reason:
        | "table-full"
        | "foreign-ping"
        | "too-many-relays"
        | "stranger"
        | "bad-serf-message"
        | "serf-queue-full";
    }
  | {
      readonly kind: "key-report";
      readonly id: number;
      /** How many were asked, ourselves included; 0 when too many such questions are open already. Who is missing in `answers` did not answer in time. */
      readonly members: number;
      readonly answers: ReadonlyMap<string, KeyResponse>;
    }
  | { readonly kind: "leave-done" };
