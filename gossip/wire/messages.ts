import { assert, assertNever } from "../../src/kernel/assert.ts";
import { type Endpoint, ipToBytes, ipToText } from "./address.ts";
import { Fields, MsgpackReader, MsgpackWriter, reject } from "./msgpack.ts";

/** serf allows names of 128 bytes, memberlist any; longer than 255 is refused. */
export const MAX_NAME_BYTES = 255;
/** memberlist's MetaMaxSize: what every member of the pool stores and repeats about every other. */
export const MAX_META_BYTES = 512;
const MAX_VSN_BYTES = 16;
const MAX_PAYLOAD_BYTES = 1400;
const MAX_ERROR_BYTES = 1024;
const U32_MAX = 0xffff_ffff;

/** `node` names the intended receiver; the source fields are empty when the sender left them out. */
export interface Ping {
  readonly type: "ping";
  readonly seq: number;
  readonly node: string;
  readonly sourceAddr: string;
  readonly sourcePort: number;
  readonly sourceNode: string;
}
/** Asks the receiver to ping `node` at `target` for us; with `nack`, to say so when that stays unanswered. */
export interface IndirectPing {
  readonly type: "indirect-ping";
  readonly seq: number;
  readonly node: string;
  readonly target: Endpoint;
  readonly nack: boolean;
  readonly sourceAddr: string;
  readonly sourcePort: number;
  readonly sourceNode: string;
}
/** `payload`: serf's network coordinate; opaque to us, empty is sent as nil. */
export interface Ack {
  readonly type: "ack";
  readonly seq: number;
  readonly payload: Uint8Array;
}
export interface Nack {
  readonly type: "nack";
  readonly seq: number;
}
export interface Suspect {
  readonly type: "suspect";
  readonly node: string;
  readonly incarnation: number;
  readonly from: string;
}
/** With `from` = `node` it means "left on purpose". */
export interface Dead {
  readonly type: "dead";
  readonly node: string;
  readonly incarnation: number;
  readonly from: string;
}
/** `meta` are serf's tags (tags.ts); `vsn` is protocol min, max, current, delegate min, max, current. */
export interface Alive {
  readonly type: "alive";
  readonly node: string;
  readonly incarnation: number;
  readonly address: Endpoint;
  readonly meta: Uint8Array;
  readonly vsn: Uint8Array;
}
/** An application's message: serf's own, which we neither read nor pass on. */
export interface User {
  readonly type: "user";
  readonly payload: Uint8Array;
}
export interface ErrorMessage {
  readonly type: "error";
  readonly text: string;
}
export type Message = Ping | IndirectPing | Ack | Nack | Suspect | Dead | Alive | User | ErrorMessage;

export type WireState = "alive" | "suspect" | "dead" | "left";
const STATES: readonly WireState[] = ["alive", "suspect", "dead", "left"];

/** One row of a push/pull table. */
export interface NodeState {
  readonly node: string;
  readonly incarnation: number;
  readonly state: WireState;
  readonly address: Endpoint;
  readonly meta: Uint8Array;
  readonly vsn: Uint8Array;
}

/** The first byte of each message. */
export const TYPE = {
  ping: 0,
  indirectPing: 1,
  ack: 2,
  suspect: 3,
  alive: 4,
  dead: 5,
  pushPull: 6,
  compound: 7,
  user: 8,
  compress: 9,
  encrypt: 10,
  nack: 11,
  crc: 12,
  error: 13,
  label: 244,
} as const;

/** The type byte and the map, keys in Go's order (sorted by byte). */
export function encodeMessage(message: Message): Uint8Array {
  const out = new MsgpackWriter();
  writeMessage(out, message);
  return out.finish();
}

export function writeMessage(out: MsgpackWriter, message: Message): void {
  switch (message.type) {
    case "ping":
      out.plainByte(TYPE.ping).map(2 + sourceCount(message));
      out.text("Node").text(message.node).text("SeqNo").uint(message.seq);
      writeSource(out, message);
      return;
    case "indirect-ping":
      out.plainByte(TYPE.indirectPing).map(5 + sourceCount(message));
      out.text("Nack").bool(message.nack).text("Node").text(message.node);
      out.text("Port").uint(message.target.port).text("SeqNo").uint(message.seq);
      writeSource(out, message);
      out.text("Target").raw(ipBytes(message.target.host));
      return;
    case "ack":
      out.plainByte(TYPE.ack).map(2).text("Payload");
      if (message.payload.length === 0) out.nil();
      else out.raw(message.payload);
      out.text("SeqNo").uint(message.seq);
      return;
    case "nack":
      out.plainByte(TYPE.nack).map(1).text("SeqNo").uint(message.seq);
      return;
    case "suspect":
    case "dead":
      out.plainByte(TYPE[message.type]).map(3).text("From").text(message.from);
      out.text("Incarnation").uint(message.incarnation).text("Node").text(message.node);
      return;
    case "alive":
      out.plainByte(TYPE.alive).map(6).text("Addr").raw(ipBytes(message.address.host));
      out.text("Incarnation").uint(message.incarnation).text("Meta").raw(message.meta);
      out.text("Node").text(message.node).text("Port").uint(message.address.port).text("Vsn").raw(message.vsn);
      return;
    case "user":
      out.plainByte(TYPE.user).plain(message.payload);
      return;
    case "error":
      out.plainByte(TYPE.error).map(1).text("Error").text(message.text);
      return;
    default:
      assertNever(message);
  }
}

/** One message of a packet, its type byte first. Throws InputError whose slug is a RejectKind. Bytes behind the map are
 *  ignored, as Go's decoder does. */
export function decodeMessage(bytes: Uint8Array): Message {
  const reader = new MsgpackReader(bytes);
  const type = reader.u8();
  switch (type) {
    case TYPE.ping:
      return readPing(new Fields(reader));
    case TYPE.indirectPing:
      return readIndirectPing(new Fields(reader));
    case TYPE.ack:
      return readAck(new Fields(reader));
    case TYPE.nack:
      return { type: "nack", seq: new Fields(reader).uint("SeqNo", U32_MAX) };
    case TYPE.suspect:
      return { type: "suspect", ...readAccusation(new Fields(reader)) };
    case TYPE.dead:
      return { type: "dead", ...readAccusation(new Fields(reader)) };
    case TYPE.alive: {
      const fields = new Fields(reader);
      return { type: "alive", node: nameOf(fields, "Node"), ...readRecord(fields) };
    }
    case TYPE.user:
      return { type: "user", payload: reader.take(reader.left) };
    case TYPE.error:
      return readError(new Fields(reader));
    case TYPE.compound:
    case TYPE.compress:
    case TYPE.encrypt:
    case TYPE.crc:
    case TYPE.label:
      throw reject("nested", `a wrapper (type ${type}) may only be the packet's outermost layers`);
    default:
      throw reject("unknown-type", `unknown message type ${type}`);
  }
}

export function readPing(fields: Fields): Ping {
  return {
    type: "ping",
    seq: fields.uint("SeqNo", U32_MAX),
    node: fields.text("Node", MAX_NAME_BYTES),
    ...source(fields),
  };
}

export function readAck(fields: Fields): Ack {
  return { type: "ack", seq: fields.uint("SeqNo", U32_MAX), payload: fields.bytes("Payload", MAX_PAYLOAD_BYTES) };
}

export function readError(fields: Fields): ErrorMessage {
  return { type: "error", text: fields.text("Error", MAX_ERROR_BYTES) };
}

function readIndirectPing(fields: Fields): IndirectPing {
  return {
    type: "indirect-ping",
    seq: fields.uint("SeqNo", U32_MAX),
    node: nameOf(fields, "Node"),
    target: endpointOf(fields, "Target"),
    nack: fields.bool("Nack"),
    ...source(fields),
  };
}

function readAccusation(fields: Fields): { node: string; incarnation: number; from: string } {
  return {
    node: nameOf(fields, "Node"),
    incarnation: fields.uint("Incarnation", U32_MAX),
    from: fields.text("From", MAX_NAME_BYTES),
  };
}

export function readNodeState(fields: Fields): NodeState {
  const state = STATES[fields.uint("State", STATES.length - 1)];
  assert(state !== undefined, "the state's number was checked");
  return { node: nameOf(fields, "Name"), state, ...readRecord(fields) };
}

export function writeNodeState(out: MsgpackWriter, node: NodeState): void {
  out.map(7).text("Addr").raw(ipBytes(node.address.host)).text("Incarnation").uint(node.incarnation);
  out.text("Meta").raw(node.meta).text("Name").text(node.node).text("Port").uint(node.address.port);
  out.text("State").uint(STATES.indexOf(node.state)).text("Vsn").raw(node.vsn);
}

function readRecord(fields: Fields): { incarnation: number; address: Endpoint; meta: Uint8Array; vsn: Uint8Array } {
  return {
    incarnation: fields.uint("Incarnation", U32_MAX),
    address: endpointOf(fields, "Addr"),
    meta: fields.bytes("Meta", MAX_META_BYTES),
    vsn: fields.bytes("Vsn", MAX_VSN_BYTES),
  };
}

function nameOf(fields: Fields, key: string): string {
  const name = fields.text(key, MAX_NAME_BYTES);
  if (name === "") throw reject("malformed", `${key} is empty`);
  return name;
}

function endpointOf(fields: Fields, hostKey: string): Endpoint {
  const host = ipToText(fields.bytes(hostKey, 16));
  const port = fields.uint("Port", 65535);
  if (host === undefined || port === 0) throw reject("malformed", `${hostKey} and Port must be an IP and a port`);
  return { host, port };
}

function source(fields: Fields): { sourceAddr: string; sourcePort: number; sourceNode: string } {
  const addr = fields.bytes("SourceAddr", 16);
  const sourceAddr = addr.length === 0 ? "" : ipToText(addr);
  if (sourceAddr === undefined) throw reject("malformed", "SourceAddr must be an IP");
  return {
    sourceAddr,
    sourcePort: fields.uint("SourcePort", 65535),
    sourceNode: fields.text("SourceNode", MAX_NAME_BYTES),
  };
}

function sourceCount(message: Ping | IndirectPing): number {
  return (message.sourceAddr === "" ? 0 : 1) + (message.sourceNode === "" ? 0 : 1) + (message.sourcePort === 0 ? 0 : 1);
}

function writeSource(out: MsgpackWriter, message: Ping | IndirectPing): void {
  if (message.sourceAddr !== "") out.text("SourceAddr").raw(ipBytes(message.sourceAddr));
  if (message.sourceNode !== "") out.text("SourceNode").text(message.sourceNode);
  if (message.sourcePort !== 0) out.text("SourcePort").uint(message.sourcePort);
}

function ipBytes(host: string): Uint8Array {
  const bytes = ipToBytes(host);
  assert(bytes !== undefined, `${host} is not a literal IP`);
  return bytes;
}
