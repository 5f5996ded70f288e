import { assertNever, InputError } from "../../src/kernel/assert.ts";
import { concatBytes, EMPTY_BYTES } from "../../src/kernel/bytes.ts";
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
export type StreamMessage = PushPull | Ping | Ack | ErrorMessage;

export interface StreamLimits {
  /** Bytes of one message, label included. */
  readonly messageBytes: number;
  /** Rows of a push/pull table. */
  readonly nodes: number;
}

/** A map that isn't complete in as many bytes never will be one of ours: bounds what is kept and parsed again. */
const MAX_MAP_BYTES = 4096;

export function encodeStream(message: StreamMessage, header: Uint8Array): Uint8Array {
  const out = new MsgpackWriter().plain(header);
  if (message.type !== "push-pull") {
    writeMessage(out, message);
    return out.finish();
  }
  out.plainByte(TYPE.pushPull).map(3).text("Join").bool(message.join);
  out.text("Nodes").uint(message.nodes.length).text("UserStateLen").uint(message.userState.length);
  for (const node of message.nodes) writeNodeState(out, node);
  return out.plain(message.userState).finish();
}

type Phase =
  | { readonly kind: "label" }
  | { readonly kind: "type" }
  | { readonly kind: "map"; readonly read: (fields: Fields) => StreamMessage }
  | { readonly kind: "push-pull" }
  | { readonly kind: "nodes"; readonly join: boolean; readonly count: number; readonly userBytes: number }
  | { readonly kind: "user"; readonly join: boolean; readonly userBytes: number };

/** Reads one message from a stream, however it is cut into chunks. */
export class StreamDecoder {
  readonly #header: Uint8Array;
  readonly #limits: StreamLimits;
  #phase: Phase = { kind: "label" };
  #held = EMPTY_BYTES;
  #receivedBytes = 0;
  readonly #nodes: NodeState[] = [];
  /** User state in the chunks it came in: joining them each time would cost a copy of megabytes per chunk. */
  readonly #userChunks: Uint8Array[] = [];
  #userBytes = 0;

  constructor(header: Uint8Array, limits: StreamLimits) {
    this.#header = header;
    this.#limits = limits;
  }

  /** The message once its last byte is there, undefined before. Throws InputError (slug: RejectKind) on anything else;
   *  then the stream is of no more use. What follows the message is ignored. */
  push(chunk: Uint8Array): StreamMessage | undefined {
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes > this.#limits.messageBytes)
      throw reject("too-large", `a message on a stream has at most ${this.#limits.messageBytes} bytes`);
    this.#held = concatBytes([this.#held, chunk]);
    for (;;) {
      const phase = this.#phase;
      const before = this.#held.length;
      const message = this.#advance();
      if (message) return message;
      if (this.#phase === phase && this.#held.length === before) return undefined;
    }
  }

  /** One step through the phases; leaves everything as it is when bytes are missing. */
  #advance(): StreamMessage | undefined {
    const phase = this.#phase;
    switch (phase.kind) {
      case "label":
        return this.#readLabel();
      case "type":
        return this.#readType();
      case "map": {
        const fields = this.#readMap();
        return fields && phase.read(fields);
      }
      case "push-pull":
        return this.#readHead();
      case "nodes":
        return this.#readNodes(phase.join, phase.count, phase.userBytes);
      case "user":
        return this.#readUserState(phase.join, phase.userBytes);
      default:
        return assertNever(phase);
    }
  }

  #readLabel(): undefined {
    const header = this.#header;
    const differs = header.some((byte, at) => at < this.#held.length && this.#held[at] !== byte);
    if (differs || (header.length === 0 && this.#held[0] === TYPE.label))
      throw reject("foreign-label", "the stream is of another cluster");
    if (this.#held.length < Math.max(1, header.length)) return;
    this.#held = this.#held.subarray(header.length);
    this.#phase = { kind: "type" };
  }

  #readType(): undefined {
    const type = this.#held[0];
    if (type === undefined) return;
    this.#phase = phaseOf(type);
    this.#held = this.#held.subarray(1);
  }

  #readHead(): undefined {
    const fields = this.#readMap();
    if (!fields) return;
    const count = fields.uint("Nodes", Number.MAX_SAFE_INTEGER);
    const userBytes = fields.uint("UserStateLen", Number.MAX_SAFE_INTEGER);
    if (count > this.#limits.nodes || userBytes > this.#limits.messageBytes)
      throw reject("too-large", `a table of ${count} nodes and ${userBytes} bytes of user state`);
    this.#phase = { kind: "nodes", join: fields.bool("Join"), count, userBytes };
  }

  #readNodes(join: boolean, count: number, userBytes: number): undefined {
    while (this.#nodes.length < count) {
      const fields = this.#readMap();
      if (!fields) return;
      this.#nodes.push(readNodeState(fields));
    }
    this.#phase = { kind: "user", join, userBytes };
  }

  #readUserState(join: boolean, userBytes: number): PushPull | undefined {
    if (this.#held.length > 0) {
      this.#userChunks.push(this.#held);
      this.#userBytes += this.#held.length;
      this.#held = EMPTY_BYTES;
    }
    if (this.#userBytes < userBytes) return undefined;
    const userState = concatBytes(this.#userChunks).slice(0, userBytes);
    return { type: "push-pull", join, nodes: this.#nodes, userState };
  }

  #readMap(): Fields | undefined {
    const reader = new MsgpackReader(this.#held);
    try {
      const fields = new Fields(reader);
      this.#held = this.#held.subarray(reader.at);
      return fields;
    } catch (error) {
      const moreMayHelp =
        error instanceof InputError && error.slug === "truncated" && this.#held.length < MAX_MAP_BYTES;
      if (moreMayHelp) return undefined;
      throw error;
    }
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
    case TYPE.compress:
    case TYPE.encrypt:
    case TYPE.user:
      throw reject("unsupported", "compressed, encrypted and user messages on streams are not supported");
    default:
      throw reject("unknown-type", `unknown message type ${type} on a stream`);
  }
}
