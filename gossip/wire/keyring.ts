import type { Aead } from "../../src/kernel/aead.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { concatBytes, equalBytes } from "../../src/kernel/bytes.ts";
import { reject } from "./msgpack.ts";

/** Each packet that can't be read is tried with every key. */
export const KEYS_MAX = 8;
const KEY_SIZES: readonly number[] = [16, 24, 32];
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const BLOCK_BYTES = 16;
/** What encryption adds to a packet: version, nonce, tag; we send version 1, which doesn't pad. */
export const SEAL_BYTES: number = 1 + NONCE_BYTES + TAG_BYTES;

/** memberlist's encryption: 0 pads to AES blocks (its protocol 1), 1 doesn't. */
export type SealVersion = 0 | 1;

/** The keys of a pool (AES-GCM). All of them open, the first seals: a key is changed without a gap by installing the new
 *  one everywhere, using it everywhere, and removing the old one. */
export class Keyring {
  readonly #aead: Aead;
  #keys: readonly Uint8Array[];

  /** The first is the one to seal with. Throws InputError for none, too many, or one of a wrong size. */
  constructor(aead: Aead, keys: readonly Uint8Array[]) {
    if (keys.length === 0) throw new InputError("no-gossip-key", "a keyring has at least one key");
    this.#aead = aead;
    this.#keys = [];
    for (const key of keys) this.install(key);
  }

  /** The one to seal with first. */
  get keys(): readonly Uint8Array[] {
    return this.#keys;
  }

  /** To open with; a known one changes nothing. Throws InputError for a wrong size or a full keyring. */
  install(key: Uint8Array): void {
    if (!KEY_SIZES.includes(key.length))
      throw new InputError("bad-gossip-key", `a gossip key has 16, 24 or 32 bytes, not ${key.length}`);
    if (this.#has(key)) return;
    if (this.#keys.length >= KEYS_MAX)
      throw new InputError("too-many-gossip-keys", `there are ${KEYS_MAX} gossip keys: remove one that is not used`);
    this.#keys = [...this.#keys, key];
  }

  /** To seal with from now on. Throws InputError for one that is not installed. */
  use(key: Uint8Array): void {
    if (!this.#has(key))
      throw new InputError("unknown-gossip-key", "this gossip key is not installed: install it first");
    this.#keys = [key, ...this.#keys.filter((other) => !equalBytes(other, key))];
  }

  /** An unknown one changes nothing. Throws InputError for the one to seal with. */
  remove(key: Uint8Array): void {
    if (equalBytes(this.#keys[0] as Uint8Array, key))
      throw new InputError("gossip-key-in-use", "this gossip key is in use: use another one first");
    this.#keys = this.#keys.filter((other) => !equalBytes(other, key));
  }

  seal(plain: Uint8Array, associated: Uint8Array, version: SealVersion = 1): Uint8Array {
    const key = this.#keys[0] as Uint8Array;
    const sealed = this.#aead.seal(key, version === 0 ? padded(plain) : plain, associated);
    return concatBytes([Uint8Array.of(version), sealed]);
  }

  /** Throws InputError "undecipherable" for anything that no key opens. */
  open(sealed: Uint8Array, associated: Uint8Array): Uint8Array {
    const version = sealed[0];
    if (sealed.length < SEAL_BYTES || version === undefined || version > 1)
      throw reject("undecipherable", "too short, or no encryption that we know");
    for (const key of this.#keys) {
      const plain = this.#aead.open(key, sealed.subarray(1), associated);
      if (plain) return version === 0 ? unpadded(plain) : plain;
    }
    throw reject("undecipherable", "no installed key opens it");
  }

  #has(key: Uint8Array): boolean {
    return this.#keys.some((other) => equalBytes(other, key));
  }
}

/** How long `plainBytes` become when they are sealed. */
export function sealedBytes(plainBytes: number, version: SealVersion = 1): number {
  return SEAL_BYTES + plainBytes + (version === 0 ? BLOCK_BYTES - (plainBytes % BLOCK_BYTES) : 0);
}

/** PKCS #7: always 1 to 16 bytes, each their number. */
function padded(plain: Uint8Array): Uint8Array {
  const count = BLOCK_BYTES - (plain.length % BLOCK_BYTES);
  return concatBytes([plain, new Uint8Array(count).fill(count)]);
}

function unpadded(plain: Uint8Array): Uint8Array {
  const count = plain[plain.length - 1] ?? 0;
  if (count < 1 || count > BLOCK_BYTES || count > plain.length) throw reject("undecipherable", "its padding is wrong");
  return plain.subarray(0, plain.length - count);
}
