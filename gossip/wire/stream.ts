import { assertNever, InputError } from "../../src/kernel/assert.ts";
import { concatBytes } from "../../src/kernel/bytes.ts";
import { type Envelope, readCompressed } from "./envelope.ts";
import {
  type Ack,
  type ErrorMessage,
  type NodeState,
  type Ping,
  readAck,
  readError,
  readNodeState,
  readPing,
  TYPE,
  type User,
  writeMessage,
  writeNodeState,
} from "./messages.ts";
import { Fields, MsgpackReader, MsgpackWriter, reject } from "./msgpack.ts";

/** Both sides send their whole table; the answer repeats the asker's `join`. `userState` is the application's (serf's). */
export interface PushPull {
  readonly type: "push-pull";
  readonly join: boolean;
  readonly nodes: readonly NodeState[];
  readonly userState: Uint8Array;
}
export type StreamMessage = PushPull | Ping | Ack | User | ErrorMessage;

export interface StreamLimits {
  /** Bytes of one message, before and after it is unpacked, with all its layers. */
  readonly messageBytes: number;
  /** Rows of a push/pull table. */
  readonly nodes: number;
}

/** A map that isn't complete in as many bytes never will be one of ours. */
const MAP_BYTES_MAX = 4096;

/** [label] [encryption] [compression] message. */
export function encodeStream(message: StreamMessage, envelope: Envelope): Uint8Array {
  const out = new MsgpackWriter();
  if (message.type === "push-pull") writePushPull(out, message);
  else if (message.type === "user")
    out.plainByte(TYPE.user).map(1).text("UserMsgLen").uint(message.payload.length).plain(message.payload);
  else writeMessage(out, message);
  return envelope.sealedStream(envelope.compressed(out.finish()));
}

function writePushPull(out: MsgpackWriter, { join, nodes, userState }: PushPull): void {
  out.plainByte(TYPE.pushPull).map(3).text("Join").bool(join);
  out.text("Nodes").uint(nodes.length).text("UserStateLen").uint(userState.length);
  for (const node of nodes) writeNodeState(out, node);
  out.plain(userState);
}

type Phase =
  | { readonly kind: "label" }
  | { readonly kind: "type" }
  | { readonly kind: "sealed-length" }
  | { readonly kind: "sealed" }
  | { readonly kind: "compressed" }
  | { readonly kind: "map"; readonly read: (fields: Fields) => StreamMessage }
  | { readonly kind: "push-pull" }
  | { readonly kind: "nodes"; readonly join: boolean; readonly count: number; readonly userBytes: number }
  | { readonly kind: "user-state"; readonly join: boolean }
  | { readonly kind: "user" }
  | { readonly kind: "user-payload" };

const LENGTH_BYTES = 4;

/** Reads one message from a stream, however it is cut into chunks. */
export class StreamDecoder {
  readonly #envelope: Envelope;
  readonly #limits: StreamLimits;
  #phase: Phase = { kind: "label" };
  /** Bytes not read yet, in the chunks they came in: joining them for each new chunk would copy megabytes each time. */
  #chunks: Uint8Array[] = [];
  #heldBytes = 0;
  /** How many must be there before it makes sense to read on. */
  #needs = 1;
  #receivedBytes = 0;
  /** What is read now came out of a layer: no more bytes follow, and that layer not again. */
  #opened = false;
  #unpacked = false;
  readonly #nodes: NodeState[] = [];

  constructor(envelope: Envelope, limits: StreamLimits) {
    this.#envelope = envelope;
    this.#limits = limits;
  }

  /** The message once its last byte is there, undefined before. Throws InputError (slug: RejectKind) on anything else;
   *  then the stream is of no more use. What follows the message is ignored. */
  push(chunk: Uint8Array): StreamMessage | undefined {
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.#limits.messageBytes) throw this.#tooLarge();
    this.#chunks.push(chunk);
    this.#heldBytes += chunk.length;
    while (this.#heldBytes >= this.#needs) {
      const message = this.#advance(this.#held());
      if (message) return message;
    }
    if (this.#opened || this.#unpacked) throw reject("truncated", "a whole layer holds a part of a message");
    return undefined;
  }

  /** One step: takes what it has read, goes on to another phase, or needs more than there is. */
  #advance(held: Uint8Array): StreamMessage | undefined {
    const phase = this.#phase;
    switch (phase.kind) {
      case "label":
        return this.#readLabel(held);
      case "type":
        return this.#readType(held[0] as number);
      case "sealed-length":
        return this.#readSealedLength(held);
      case "sealed":
        return this.#readSealed(held);
      case "compressed":
        return this.#readCompressed(held);
      case "map":
        return this.#readMap(held, phase.read);
      case "push-pull":
        return this.#readMap(held, (fields) => this.#readHead(fields));
      case "nodes":
        return this.#readNode(held, phase);
      case "user-state":
        return { type: "push-pull", join: phase.join, nodes: this.#nodes, userState: held.slice(0, this.#needs) };
      case "user":
        return this.#readMap(held, (fields) => {
          this.#enter({ kind: "user-payload" }, 0, fields.uint("UserMsgLen", this.#limits.messageBytes));
        }) as undefined;
      case "user-payload":
        return { type: "user", payload: held.slice(0, this.#needs) };
      default:
        return assertNever(phase);
    }
  }

  #readLabel(held: Uint8Array): undefined {
    const { header } = this.#envelope;
    const differs = header.some((byte, at) => at < held.length && held[at] !== byte);
    if (differs || (header.length === 0 && held[0] === TYPE.label))
      throw reject("foreign-label", "the stream is of another cluster");
    // Byte by byte: whoever is of another cluster is refused at once, also when it sends less than our label.
    if (held.length < header.length) this.#needs = held.length + 1;
    else this.#enter({ kind: "type" }, header.length, 1);
  }

  #readType(type: number): undefined {
    const layered = this.#opened || this.#unpacked;
    if (!layered && this.#envelope.isSealedStream(type)) this.#enter({ kind: "sealed-length" }, 1, LENGTH_BYTES);
    else if (type === TYPE.compress && !this.#unpacked) this.#enter({ kind: "compressed" }, 1, 1);
    else this.#enter(phaseOf(type), 1, 1);
  }

  #readSealedLength(held: Uint8Array): undefined {
    const length = new DataView(held.buffer, held.byteOffset).getUint32(0);
    if (length > this.#limits.messageBytes) throw this.#tooLarge();
    this.#enter({ kind: "sealed" }, LENGTH_BYTES, length);
  }

  #readSealed(held: Uint8Array): undefined {
    this.#opened = true;
    this.#restart(this.#envelope.openStream(held.subarray(0, this.#needs)));
  }

  #readCompressed(held: Uint8Array): undefined {
    const { messageBytes } = this.#limits;
    const body = this.#attempt(held, messageBytes, (reader) => readCompressed(reader, messageBytes));
    if (!body) return;
    this.#unpacked = true;
    this.#restart(body);
  }

  #readHead(fields: Fields): undefined {
    const count = fields.uint("Nodes", Number.MAX_SAFE_INTEGER);
    const userBytes = fields.uint("UserStateLen", Number.MAX_SAFE_INTEGER);
    if (count > this.#limits.nodes || userBytes > this.#limits.messageBytes)
      throw reject("too-large", `a table of ${count} nodes and ${userBytes} bytes of user state`);
    this.#enter({ kind: "nodes", join: fields.bool("Join"), count, userBytes }, 0, 0);
  }

  #readNode(held: Uint8Array, { join, count, userBytes }: Extract<Phase, { kind: "nodes" }>): undefined {
    const fields = this.#nodes.length < count ? this.#readMap(held, (map) => map) : undefined;
    if (fields) this.#nodes.push(readNodeState(fields));
    if (this.#nodes.length === count) this.#enter({ kind: "user-state", join }, 0, userBytes);
  }

  #readMap<T>(held: Uint8Array, read: (fields: Fields) => T): T | undefined {
    const fields = this.#attempt(held, MAP_BYTES_MAX, (reader) => new Fields(reader));
    return fields && read(fields);
  }

  /** Undefined, and nothing taken, when more bytes may help. */
  #attempt<T>(held: Uint8Array, maxBytes: number, read: (reader: MsgpackReader) => T): T | undefined {
    const reader = new MsgpackReader(held);
    try {
      const value = read(reader);
      this.#take(reader.at);
      this.#needs = 1;
      return value;
    } catch (error) {
      const { neededBytes } = reader;
      const moreHelps = neededBytes > held.length && neededBytes <= maxBytes;
      if (!moreHelps || !(error instanceof InputError && error.slug === "truncated")) throw error;
      this.#needs = neededBytes;
      return undefined;
    }
  }

  #enter(phase: Phase, takenBytes: number, needs: number): undefined {
    this.#take(takenBytes);
    this.#phase = phase;
    this.#needs = needs;
  }

  #restart(body: Uint8Array): undefined {
    this.#chunks = [body];
    this.#heldBytes = body.length;
    this.#enter({ kind: "type" }, 0, 1);
  }

  #take(bytes: number): void {
    this.#chunks = [this.#held().subarray(bytes)];
    this.#heldBytes -= bytes;
  }

  #held(): Uint8Array {
    if (this.#chunks.length !== 1) this.#chunks = [concatBytes(this.#chunks)];
    return this.#chunks[0] as Uint8Array;
  }

  #tooLarge(): InputError {
    return reject("too-large", `a message on a stream has at most ${this.#limits.messageBytes} bytes`);
  }
}

function phaseOf(type: number): Phase {
  switch (type) {
    case TYPE.pushPull:
      return { kind: "push-pull" };
    case TYPE.ping:
      return { kind: "map", read: readPing };
    case TYPE.ack:
      return { kind: "map", read: readAck };
    case TYPE.error:
      return { kind: "map", read: readError };
    case TYPE.user:
      return { kind: "user" };
    case TYPE.compress:
    case TYPE.encrypt:
      throw reject("nested", "compressed or encrypted twice, or in the wrong order");
    default:
      throw reject("unknown-type", `unknown message type ${type} on a stream`);
  }
}
