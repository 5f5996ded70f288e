import { assertNever, InputError } from "../../src/kernel/assert.ts";
import { Fields, MsgpackReader, MsgpackWriter, reject } from "./msgpack.ts";

// What serf puts into memberlist's user messages (conformance/memberlist/README.md, Serf payloads): a type byte and a map.

const NAME_BYTES_MAX = 255;
const PAYLOAD_BYTES_MAX = 1400;
const MEMBERS_MAX = 65_535;
const FILTERS_MAX = 16;
const KEYS_MAX = 64;
const KEY_TEXT_BYTES_MAX = 64;
const MESSAGE_BYTES_MAX = 1024;
const U32_MAX = 0xffff_ffff;
const ANY = Number.MAX_SAFE_INTEGER;
/** Above any clock that ever ticked, and far enough below what a number holds: forged times must not bring one to its end. */
export const LTIME_MAX: number = 2 ** 48;

/** A member goes, or somebody declares a failed one gone. `lTime` is Lamport time: of two words about a member the later
 *  one counts. `prune`: forget it at once. */
export interface LeaveIntent {
  readonly type: "leave-intent";
  readonly lTime: number;
  readonly node: string;
  readonly prune: boolean;
}
export interface JoinIntent {
  readonly type: "join-intent";
  readonly lTime: number;
  readonly node: string;
}
/** The user state of a push/pull. Past user events are neither read nor written: we have no use for them. */
export interface SerfState {
  readonly type: "state";
  readonly lTime: number;
  readonly eventLTime: number;
  readonly queryLTime: number;
  readonly statusLTimes: ReadonlyMap<string, number>;
  readonly leftMembers: readonly string[];
}
export interface UserEvent {
  readonly type: "user-event";
  readonly lTime: number;
  readonly name: string;
  readonly payload: Uint8Array;
  readonly coalesce: boolean;
}
/** A question to all members whom the filters let through, answered to `addr` and `port`. */
export interface Query {
  readonly type: "query";
  readonly lTime: number;
  readonly id: number;
  readonly addr: Uint8Array;
  readonly port: number;
  readonly sourceNode: string;
  readonly filters: readonly Uint8Array[];
  /** 1: say that it arrived; 2: don't pass it on. */
  readonly flags: number;
  readonly relayFactor: number;
  readonly timeoutNs: number;
  readonly name: string;
  readonly payload: Uint8Array;
}
/** `flags` 1: only says that the query arrived. */
export interface QueryResponse {
  readonly type: "query-response";
  readonly lTime: number;
  readonly id: number;
  readonly from: string;
  readonly flags: number;
  readonly payload: Uint8Array;
}
export type SerfMessage = LeaveIntent | JoinIntent | SerfState | UserEvent | Query | QueryResponse;

export const QUERY_ACK = 1;
export const QUERY_NO_BROADCAST = 2;

const COORDINATE_VERSION = 1;
const SERF = { leave: 0, join: 1, state: 2, event: 3, query: 4, response: 5, keyRequest: 7, keyResponse: 8 } as const;

export function encodeSerf(message: SerfMessage): Uint8Array {
  const out = new MsgpackWriter();
  switch (message.type) {
    case "leave-intent":
      out.plainByte(SERF.leave).map(3).text("LTime").uint(message.lTime).text("Node").text(message.node);
      return out.text("Prune").bool(message.prune).finish();
    case "join-intent":
      out.plainByte(SERF.join).map(2).text("LTime").uint(message.lTime);
      return out.text("Node").text(message.node).finish();
    case "state":
      return encodeState(out, message);
    case "user-event":
      out.plainByte(SERF.event).map(4).text("CC").bool(message.coalesce).text("LTime").uint(message.lTime);
      return blob(out.text("Name").text(message.name).text("Payload"), message.payload).finish();
    case "query":
      return encodeQuery(out, message);
    case "query-response":
      out.plainByte(SERF.response).map(5).text("Flags").uint(message.flags).text("From").text(message.from);
      out.text("ID").uint(message.id).text("LTime").uint(message.lTime).text("Payload");
      return blob(out, message.payload).finish();
    default:
      return assertNever(message);
  }
}

function encodeState(out: MsgpackWriter, state: SerfState): Uint8Array {
  out.plainByte(SERF.state).map(6).text("EventLTime").uint(state.eventLTime).text("Events").nil();
  out.text("LTime").uint(state.lTime).text("LeftMembers").list(state.leftMembers.length);
  for (const name of state.leftMembers) out.text(name);
  out.text("QueryLTime").uint(state.queryLTime).text("StatusLTimes").map(state.statusLTimes.size);
  for (const [name, lTime] of state.statusLTimes) out.text(name).uint(lTime);
  return out.finish();
}

function encodeQuery(out: MsgpackWriter, query: Query): Uint8Array {
  out.plainByte(SERF.query).map(11).text("Addr").raw(query.addr).text("Filters");
  if (query.filters.length === 0) out.nil();
  else out.list(query.filters.length);
  for (const filter of query.filters) out.raw(filter);
  out.text("Flags").uint(query.flags).text("ID").uint(query.id).text("LTime").uint(query.lTime);
  blob(out.text("Name").text(query.name).text("Payload"), query.payload);
  out.text("Port").uint(query.port).text("RelayFactor").uint(query.relayFactor);
  return out.text("SourceNode").text(query.sourceNode).text("Timeout").uint(query.timeoutNs).finish();
}

/** Go's empty byte strings are mostly nil. */
function blob(out: MsgpackWriter, bytes: Uint8Array): MsgpackWriter {
  return bytes.length === 0 ? out.nil() : out.raw(bytes);
}

/** Undefined for kinds that we have no use for (conflict responses, relays). Throws InputError (slug: RejectKind). */
export function decodeSerf(bytes: Uint8Array): SerfMessage | undefined {
  const reader = new MsgpackReader(bytes);
  switch (reader.u8()) {
    case SERF.leave: {
      const fields = new Fields(reader);
      return { type: "leave-intent", ...intentOf(fields), prune: fields.bool("Prune") };
    }
    case SERF.join:
      return { type: "join-intent", ...intentOf(new Fields(reader)) };
    case SERF.state:
      return readState(reader);
    case SERF.event: {
      const fields = new Fields(reader);
      const lTime = fields.uint("LTime", LTIME_MAX);
      const [name, payload] = [fields.text("Name", NAME_BYTES_MAX), fields.bytes("Payload", PAYLOAD_BYTES_MAX)];
      return { type: "user-event", lTime, name, payload, coalesce: fields.bool("CC") };
    }
    case SERF.query:
      return readQuery(reader);
    case SERF.response: {
      const fields = new Fields(reader);
      const [lTime, id, flags] = [
        fields.uint("LTime", LTIME_MAX),
        fields.uint("ID", U32_MAX),
        fields.uint("Flags", U32_MAX),
      ];
      const [from, payload] = [fields.text("From", NAME_BYTES_MAX), fields.bytes("Payload", PAYLOAD_BYTES_MAX)];
      return { type: "query-response", lTime, id, from, flags, payload };
    }
    default:
      return undefined;
  }
}

function intentOf(fields: Fields): { lTime: number; node: string } {
  return { lTime: fields.uint("LTime", LTIME_MAX), node: fields.text("Node", NAME_BYTES_MAX) };
}

function readState(reader: MsgpackReader): SerfState {
  const leftMembers: string[] = [];
  const statusLTimes = new Map<string, number>();
  const fields = new Fields(reader, {
    LeftMembers: () => {
      for (let left = reader.list(MEMBERS_MAX); left > 0; left--) leftMembers.push(reader.text(NAME_BYTES_MAX));
    },
    StatusLTimes: () => {
      for (let left = reader.map(MEMBERS_MAX); left > 0; left--) {
        const name = reader.text(NAME_BYTES_MAX);
        statusLTimes.set(name, reader.uint(LTIME_MAX));
      }
    },
  });
  const [lTime, eventLTime] = [fields.uint("LTime", LTIME_MAX), fields.uint("EventLTime", LTIME_MAX)];
  return {
    type: "state",
    lTime,
    eventLTime,
    queryLTime: fields.uint("QueryLTime", LTIME_MAX),
    statusLTimes,
    leftMembers,
  };
}

function readQuery(reader: MsgpackReader): Query {
  const filters: Uint8Array[] = [];
  const fields = new Fields(reader, {
    Filters: () => {
      for (let left = reader.list(FILTERS_MAX); left > 0; left--) filters.push(reader.bytes(PAYLOAD_BYTES_MAX));
    },
  });
  return {
    type: "query",
    lTime: fields.uint("LTime", LTIME_MAX),
    id: fields.uint("ID", U32_MAX),
    addr: fields.bytes("Addr", 16),
    port: fields.uint("Port", 65_535),
    sourceNode: fields.text("SourceNode", NAME_BYTES_MAX),
    filters,
    flags: fields.uint("Flags", U32_MAX),
    relayFactor: fields.uint("RelayFactor", 255),
    timeoutNs: fields.uint("Timeout", ANY),
    name: fields.text("Name", NAME_BYTES_MAX),
    payload: fields.bytes("Payload", PAYLOAD_BYTES_MAX),
  };
}

/** The names that a query is for; undefined for a filter by tag, whose expression only Go would run safely. */
export function namesOfFilter(filter: Uint8Array): readonly string[] | undefined {
  const reader = new MsgpackReader(filter);
  if (reader.u8() !== 0) return undefined;
  const names: string[] = [];
  for (let left = reader.list(PAYLOAD_BYTES_MAX); left > 0; left--) names.push(reader.text(NAME_BYTES_MAX));
  return names;
}

/** A place in a space whose distances are round trips, in seconds (Dabek, Cox, Kaashoek, Morris, "Vivaldi", 2004). As serf's:
 *  eight dimensions, a height for the way to the backbone, an adjustment for what the space can't show. */
export interface Coordinate {
  readonly vec: readonly number[];
  /** How sure its owner is of it: 0 quite, 1.5 not at all. */
  readonly error: number;
  readonly adjustment: number;
  readonly height: number;
}
export const DIMENSIONS = 8;

/** The payload of an ack: where the answering member is. */
export function encodeCoordinate({ adjustment, error, height, vec }: Coordinate): Uint8Array {
  const out = new MsgpackWriter().plainByte(COORDINATE_VERSION).map(4).text("Adjustment").float(adjustment);
  out.text("Error").float(error).text("Height").float(height).text("Vec").list(vec.length);
  for (const part of vec) out.float(part);
  return out.finish();
}

/** Undefined for what is none. Its numbers may still be absurd. */
export function decodeCoordinate(payload: Uint8Array): Coordinate | undefined {
  if (payload[0] !== COORDINATE_VERSION) return undefined;
  const reader = new MsgpackReader(payload, 1);
  const found = new Map<string, number>();
  const vec: number[] = [];
  const read = (key: string) => () => void found.set(key, reader.float());
  const readVec = (): void => {
    for (let left = reader.list(DIMENSIONS); left > 0; left--) vec.push(reader.float());
  };
  try {
    const [Adjustment, ErrorTerm, Height] = [read("adjustment"), read("error"), read("height")];
    new Fields(reader, { Adjustment, Error: ErrorTerm, Height, Vec: readVec });
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
  const of = (key: string): number => found.get(key) ?? 0;
  return { adjustment: of("adjustment"), error: of("error"), height: of("height"), vec };
}

/** The payload of a key query; `list` has an empty key. */
export function encodeKeyRequest(key: Uint8Array): Uint8Array {
  return blob(new MsgpackWriter().plainByte(SERF.keyRequest).map(1).text("Key"), key).finish();
}

export function decodeKeyRequest(payload: Uint8Array): Uint8Array {
  const reader = new MsgpackReader(payload);
  if (reader.u8() !== SERF.keyRequest) throw reject("malformed", "a key query without a key request");
  return new Fields(reader).bytes("Key", KEY_TEXT_BYTES_MAX);
}

/** `keys` and `primaryKey` in base64; only in the answer to `list`. */
export interface KeyResponse {
  readonly ok: boolean;
  readonly message: string;
  readonly keys: readonly string[];
  readonly primaryKey: string;
}

export function encodeKeyResponse(response: KeyResponse): Uint8Array {
  const out = new MsgpackWriter().plainByte(SERF.keyResponse).map(4).text("Keys");
  if (response.keys.length === 0) out.nil();
  else out.list(response.keys.length);
  for (const key of response.keys) out.text(key);
  out.text("Message").text(response.message).text("PrimaryKey").text(response.primaryKey);
  return out.text("Result").bool(response.ok).finish();
}

export function decodeKeyResponse(payload: Uint8Array): KeyResponse {
  const reader = new MsgpackReader(payload);
  if (reader.u8() !== SERF.keyResponse) throw reject("malformed", "an answer to a key query that is none");
  const keys: string[] = [];
  const fields = new Fields(reader, {
    Keys: () => {
      for (let left = reader.list(KEYS_MAX); left > 0; left--) keys.push(reader.text(KEY_TEXT_BYTES_MAX));
    },
  });
  const message = fields.text("Message", MESSAGE_BYTES_MAX);
  return { ok: fields.bool("Result"), message, keys, primaryKey: fields.text("PrimaryKey", KEY_TEXT_BYTES_MAX) };
}
