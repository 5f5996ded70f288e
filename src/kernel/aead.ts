/** Authenticated encryption, handed to pure folders by the World: they have neither `crypto` nor chance of their own. */
export interface Aead {
  /** Nonce (12 bytes, fresh for each call), ciphertext and tag (16 bytes). `key` has 16, 24 or 32 bytes. */
  seal(key: Uint8Array, plain: Uint8Array, associated: Uint8Array): Uint8Array;
  /** Undefined when these bytes were not sealed with this key and associated data. */
  open(key: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined;
}
