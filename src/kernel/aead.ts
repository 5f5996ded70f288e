import { InputError } from "./assert.ts";
import { fromBase64 } from "./bytes.ts";

/** Authenticated encryption, handed to pure folders by the World: they have neither `crypto` nor chance of their own. */
export interface Aead {
  /** Nonce (12 bytes, fresh for each call), ciphertext and tag (16 bytes). `key` has 16, 24 or 32 bytes. */
  seal(key: Uint8Array, plain: Uint8Array, associated: Uint8Array): Uint8Array;
  /** Undefined when these bytes were not sealed with this key and associated data. */
  open(key: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined;
}

/** An AES key as people write it. Throws InputError for anything but 16, 24 or 32 bytes of base64. */
export function parseAesKey(text: string): Uint8Array {
  const bytes = fromBase64(text);
  if (![16, 24, 32].includes(bytes.length))
    throw new InputError(
      "bad-key",
      `a key has 16, 24 or 32 bytes, not ${bytes.length}: \`starling keys generate\` makes one`,
    );
  return bytes;
}
