import type { Sha256 } from "./hashing.ts";

/** The 32 bytes of HMAC-SHA256 of a message under a fixed key. */
export type Mac = (message: Uint8Array) => Uint8Array;

const BLOCK_BYTES = 64;

/** HMAC (RFC 2104) over the World's SHA-256; both pads are made once. */
export function makeHmac(sha256: Sha256, key: Uint8Array): Mac {
  const block = new Uint8Array(BLOCK_BYTES);
  block.set(key.length > BLOCK_BYTES ? sha256(key) : key);
  const innerPad = block.map((byte) => byte ^ 0x36);
  const outerPad = block.map((byte) => byte ^ 0x5c);
  return (message) => {
    const inner = new Uint8Array(BLOCK_BYTES + message.length);
    inner.set(innerPad);
    inner.set(message, BLOCK_BYTES);
    const outer = new Uint8Array(BLOCK_BYTES + 32);
    outer.set(outerPad);
    outer.set(sha256(inner), BLOCK_BYTES);
    return sha256(outer);
  };
}

/** Takes the same time wherever two MACs differ: else they could be guessed byte by byte. */
export function equalMacs(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}
