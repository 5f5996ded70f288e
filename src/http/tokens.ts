import type { Dot, Row } from "../../crdt/index.ts";
import { readDots, VersionVector, writeDots } from "../../crdt/index.ts";
import { InputError } from "../kernel/assert.ts";
import { fromBase64Url, Reader, utf8, Writer } from "../kernel/bytes.ts";
import type { Sha256 } from "../kernel/hashing.ts";
import type { ActorId } from "../kernel/ids.ts";
import { parseActorId } from "../kernel/ids.ts";
import { equalMacs, MAC_BYTES, type Mac, makeMac } from "../kernel/mac.ts";
import type { PartitionSeen } from "../replication/api.ts";
import type { RowKey } from "../storage/store.ts";

/** Longer: fits more conflicts and partitions, but proxies drop requests with large headers. Characters of base64url. */
export const MAX_TOKEN_CHARS = 700;

const VERSION = 1;

/** What a write with `Starling-Context` saw (WriteRequest.seen). */
export type Context = { readonly dots: readonly Dot[] } | { readonly vector: VersionVector };

/** The opaque strings that clients hand back: version, body, and a MAC, because a forged context could silence a write
 *  that is still to come. Any node of the cluster reads what another made: the key comes from the cluster's salt. */
export class Tokens {
  readonly #mac: Mac;
  readonly #clusterId: string;

  constructor(parts: { readonly sha256: Sha256; readonly salt: Uint8Array; readonly clusterId: string }) {
    this.#mac = makeMac(parts.sha256, parts.sha256(new Writer().raw(parts.salt).raw(utf8("tokens")).finish()));
    this.#clusterId = parts.clusterId;
  }

  /** What a reader of this row has seen. Its dots; where they are too many, for each of its actors the greatest seq:
   *  entries of one actor come in order, so what lies below and isn't live was removed in the reader's sight. Null when
   *  even that is too long. */
  context(key: RowKey, row: Row): string | null {
    const dots = [...row.cells.values()].map(({ dot }) => dot);
    const listed = newToken().u8(DOTS);
    writeDots(listed, dots);
    const token = this.#sealFitting("context", contextScope(key), listed);
    if (token !== null) return token;
    const vector = new VersionVector();
    for (const { actor, seq } of dots) if (vector.seq(actor) < seq) vector.rise(actor, seq);
    const covered = newToken().u8(VECTOR);
    vector.write(covered);
    return this.#sealFitting("context", contextScope(key), covered);
  }

  /** Throws InputError `bad-context` on anything that no node of this cluster made for this key. */
  openContext(key: RowKey, text: string): Context {
    const input = this.#open("context", contextScope(key), text, MAX_TOKEN_CHARS);
    const kind = input.u8();
    const context = kind === DOTS ? { dots: readDots(input) } : { vector: VersionVector.read(input) };
    input.end();
    return context;
  }

  readonly #lastSessions = new Map<number, { readonly vector: VersionVector; readonly token: string | null }>();

  /** Of a session that begins here. Between two writes all readers of a partition get the same. */
  firstSession(seen: PartitionSeen): string | null {
    const last = this.#lastSessions.get(seen.partition);
    if (last?.vector.equals(seen.vector)) return last.token;
    const token = this.session([seen]);
    this.#lastSessions.set(seen.partition, { vector: seen.vector.copy(), token });
    return token;
  }

  /** What a session has seen. Null when it doesn't fit. */
  session(seen: readonly PartitionSeen[]): string | null {
    const vectors = seen.map(({ vector }) => vector.entries());
    const actors = actorsOf(vectors);
    const token = newToken().uint(actors.length);
    for (const actor of actors) token.text(actor);
    token.uint(seen.length);
    for (const [i, { partition }] of seen.entries()) {
      const entries = vectors[i] ?? [];
      token.uint(partition).uint(entries.length);
      for (const [actor, seq] of entries) token.uint(actors.indexOf(actor)).uint(seq);
    }
    return this.#sealFitting("session", "", token);
  }

  openSession(text: string): PartitionSeen[] {
    const input = this.#open("session", "", text, MAX_TOKEN_CHARS);
    const actors = Array.from({ length: input.count(2) }, () => parseActorId(input.text()));
    const seen = Array.from({ length: input.count(2) }, () => ({
      partition: input.uint(),
      vector: readIndexed(input, actors),
    }));
    input.end();
    return seen;
  }

  /** Where a listing goes on. `scope` is what it lists: a cursor of another listing is refused. */
  cursor(scope: string, after: readonly string[]): string {
    const token = newToken().uint(after.length);
    for (const part of after) token.text(part);
    return this.#seal("cursor", scope, token);
  }

  openCursor(scope: string, text: string): string[] {
    const input = this.#open("cursor", scope, text, MAX_CURSOR_CHARS);
    const parts = Array.from({ length: input.count(1) }, () => input.text());
    input.end();
    return parts;
  }

  #sealFitting(purpose: Purpose, scope: string, token: Writer): string | null {
    const bytes = token.length + MAC_BYTES;
    return Math.ceil((bytes * 4) / 3) > MAX_TOKEN_CHARS ? null : this.#seal(purpose, scope, token);
  }

  /** The token in its last form, the MAC behind it. */
  #seal(purpose: Purpose, scope: string, token: Writer): string {
    return token.raw(this.#macOf(purpose, scope, token.soFar)).finishInto(base64Url);
  }

  #open(purpose: Purpose, scope: string, text: string, maxChars: number): Reader {
    const bytes = text.length > maxChars ? new Uint8Array(0) : tryBase64Url(text);
    const signed = bytes.slice(0, Math.max(0, bytes.length - MAC_BYTES));
    const mac = bytes.slice(signed.length);
    if (signed.length === 0 || !equalMacs(mac, this.#macOf(purpose, scope, signed)))
      throw new InputError(`bad-${purpose}`, WHAT_TO_DO[purpose]);
    const input = new Reader(signed);
    if (input.u8() !== VERSION) throw new InputError(`bad-${purpose}`, WHAT_TO_DO[purpose]);
    return input;
  }

  #macOf(purpose: Purpose, scope: string, signed: Uint8Array): Uint8Array {
    return this.#mac((message) => {
      message.text(purpose).text(this.#clusterId).text(scope).raw(signed);
    });
  }
}

/** Its body follows, then its MAC: in one place, since each answer to a write carries two. */
function newToken(): Writer {
  return new Writer().u8(VERSION);
}

const DOTS = 1;
const VECTOR = 2;
/** A cursor holds a key of up to 1,024 bytes, and a bucket. */
const MAX_CURSOR_CHARS = 2_048;

type Purpose = "context" | "session" | "cursor";

const WHAT_TO_DO: Readonly<Record<Purpose, string>> = {
  context: "Starling-Context is not one that this cluster made for this key: send the one of your last read, or none",
  session: "Starling-Session is not one that this cluster made: send the one of your last request, or none",
  cursor: "this cursor does not belong to this listing: start again without one",
};

/** All actors of some vectors' entries, in order. */
function actorsOf(vectors: readonly (readonly (readonly [ActorId, number])[])[]): ActorId[] {
  const [only] = vectors;
  // Most sessions have seen one partition, whose entries are in order already.
  if (only && vectors.length === 1) return only.map(([actor]) => actor);
  return [...new Set(vectors.flatMap((entries) => entries.map(([actor]) => actor)))].sort();
}

function base64Url({ buffer, byteOffset, length }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, length).toString("base64url");
}

function contextScope({ bucket, key }: RowKey): string {
  return `${bucket}\0${key}`;
}

function tryBase64Url(text: string): Uint8Array {
  try {
    return fromBase64Url(text);
  } catch {
    return new Uint8Array(0); // refused like any other forgery
  }
}

function readIndexed(input: Reader, actors: readonly ActorId[]): VersionVector {
  const vector = new VersionVector();
  for (let left = input.count(2); left > 0; left--) {
    const actor = actors[input.uint()];
    const seq = input.uint();
    if (actor === undefined || seq <= vector.seq(actor)) throw new InputError("bad-session", WHAT_TO_DO.session);
    vector.rise(actor, seq);
  }
  return vector;
}
