import { InputError } from "../../src/kernel/assert.ts";
import { concatBytes, EMPTY_BYTES, utf8 } from "../../src/kernel/bytes.ts";
import { type Keyring, SEAL_BYTES, sealedBytes } from "./keyring.ts";
import { compress, decompress } from "./lzw.ts";
import { TYPE } from "./messages.ts";
import { type MsgpackReader, MsgpackWriter, reject } from "./msgpack.ts";

/** Shorter packets (pings, acks) hardly shrink. Smaller: more time spent to find that out. Larger: more bytes sent. */
const COMPRESS_FROM_BYTES = 160;
/** Larger tables are sent as they are: compressing holds the event loop for some 30 ms per megabyte. */
const COMPRESS_TO_BYTES = 1024 * 1024;
/** memberlist's only algorithm. */
const LZW = 0;
const COMPRESS_KEYS = 2;
const COMPRESS_KEY_BYTES = 4;
/** Type and length of a sealed stream. */
const STREAM_HEAD_BYTES = 5;

export interface EnvelopeOptions {
  /** The cluster's name, in front of every packet and stream; "" for none. */
  readonly label: string;
  /** Compress what then is shorter. What others compress is read in any case. */
  readonly compress: boolean;
  readonly keyring?: Keyring | undefined;
  /** False, with a keyring: what is not encrypted is taken too (memberlist's GossipVerifyIncoming), as long as a pool
   *  goes over to encryption. */
  readonly verifyIncoming?: boolean;
  /** False, with a keyring: send in the clear (memberlist's GossipVerifyOutgoing). */
  readonly verifyOutgoing?: boolean;
}

/** The layers around the messages of one pool, outermost first: label, encryption, compression. (The checksum of a
 *  packet lies between the last two; packet.ts.) */
export class Envelope {
  /** Byte 244, length, label; empty for no label. */
  readonly header: Uint8Array;
  readonly #label: Uint8Array;
  readonly #options: EnvelopeOptions;

  /** Throws InputError for a label of more than 255 bytes. */
  constructor(options: EnvelopeOptions) {
    this.#options = options;
    this.#label = utf8(options.label);
    const { length } = this.#label;
    if (length > 255) throw new InputError("label-too-long", `the gossip label has ${length} bytes; at most 255`);
    this.header = length === 0 ? EMPTY_BYTES : concatBytes([Uint8Array.of(TYPE.label, length), this.#label]);
  }

  /** What label and encryption add to a packet that we send. */
  get overheadBytes(): number {
    return this.header.length + (this.#sealer ? SEAL_BYTES : 0);
  }

  get keyring(): Keyring | undefined {
    return this.#options.keyring;
  }

  get #sealer(): Keyring | undefined {
    return this.#options.verifyOutgoing === false ? undefined : this.#options.keyring;
  }

  compressed(body: Uint8Array): Uint8Array {
    const worthIt = body.length >= COMPRESS_FROM_BYTES && body.length <= COMPRESS_TO_BYTES;
    if (!this.#options.compress || !worthIt) return body;
    const out = new MsgpackWriter().plainByte(TYPE.compress).map(2).text("Algo").uint(LZW).text("Buf");
    const wrapped = out.raw(compress(body)).finish();
    return wrapped.length < body.length ? wrapped : body;
  }

  sealedPacket(body: Uint8Array): Uint8Array {
    return concatBytes([this.header, this.#sealer ? this.#sealer.seal(body, this.#label) : body]);
  }

  sealedStream(body: Uint8Array): Uint8Array {
    if (!this.#sealer) return concatBytes([this.header, body]);
    const head = streamHead(sealedBytes(body.length));
    return concatBytes([this.header, head, this.#sealer.seal(body, concatBytes([head, this.#label]))]);
  }

  /** Pools merge by accident when addresses are used again: a packet without our label is not looked into. */
  isOurs(packet: Uint8Array): boolean {
    const { header } = this;
    if (header.length === 0) return packet[0] !== TYPE.label;
    for (let at = 0; at < header.length; at++) if (packet[at] !== header[at]) return false;
    return true;
  }

  /** A packet of ours without label and encryption. Throws InputError (slug: RejectKind). */
  openPacket(packet: Uint8Array): { readonly body: Uint8Array; readonly sealed: boolean } {
    const body = packet.subarray(this.header.length);
    const { keyring, verifyIncoming } = this.#options;
    if (!keyring) return { body, sealed: false };
    try {
      return { body: keyring.open(body, this.#label), sealed: true };
    } catch (error) {
      if (verifyIncoming === false && error instanceof InputError) return { body, sealed: false };
      throw error;
    }
  }

  /** Whether a stream that begins with this type (its label taken off) must be opened first. Throws InputError where it
   *  is encrypted and we have no key, or isn't and we have. */
  isSealedStream(type: number): boolean {
    const { keyring, verifyIncoming } = this.#options;
    const sealed = type === TYPE.encrypt;
    if (sealed && !keyring)
      throw reject("undecipherable", "the stream is encrypted, and this member has no gossip key");
    if (!sealed && keyring && verifyIncoming !== false)
      throw reject("unencrypted", "gossip is encrypted here, the stream is not");
    return sealed;
  }

  /** @param sealed what comes behind type and length */
  openStream(sealed: Uint8Array): Uint8Array {
    const { keyring } = this.#options;
    if (!keyring) throw reject("undecipherable", "this member has no gossip key");
    return keyring.open(sealed, concatBytes([streamHead(sealed.length), this.#label]));
  }
}

function streamHead(sealedLength: number): Uint8Array {
  const head = new Uint8Array(STREAM_HEAD_BYTES);
  head[0] = TYPE.encrypt;
  new DataView(head.buffer).setUint32(1, sealedLength);
  return head;
}

/** What a message of type 9 holds, its type byte taken off. Throws InputError, also when it would be larger than
 *  `maxBytes` or is compressed again. */
export function readCompressed(reader: MsgpackReader, maxBytes: number): Uint8Array {
  // Nothing else may stand there: what is skipped on a stream is skipped again with each chunk.
  let algorithm = LZW;
  let packed = EMPTY_BYTES;
  for (let left = reader.map(COMPRESS_KEYS); left > 0; left--) {
    const key = reader.text(COMPRESS_KEY_BYTES);
    if (key === "Algo") algorithm = reader.uint(255);
    else if (key === "Buf") packed = reader.bytes(maxBytes);
    else throw reject("malformed", "a compressed message has an algorithm and bytes, nothing else");
  }
  if (algorithm !== LZW) throw reject("unsupported", "compressed by an algorithm other than LZW");
  const body = decompress(packed, maxBytes);
  if (body[0] === TYPE.compress) throw reject("nested", "compressed more than once");
  return body;
}
