import { assert } from "./assert.ts";
import { Writer } from "./bytes.ts";
import type { Sha256 } from "./hashing.ts";

export const MAC_BYTES = 16;

/** The MAC, under a fixed key, of the message that `write` writes. */
export type Mac = (write: (message: Writer) => void) => Uint8Array;

const KEY_BYTES = 32;

/** AMAC (Bellare, Bernstein, Tessaro 2016): the first half of SHA-256(key ‖ message). Cutting the hash keeps its state
 *  from being extended, which the whole of it would allow; HMAC does the same with twice the hashes, and an answer to a
 *  write carries two MACs. */
export function makeMac(sha256: Sha256, key: Uint8Array): Mac {
  assert(key.length === KEY_BYTES, `a key has ${KEY_BYTES} bytes: shorter and longer ones could meet in one message`);
  return (write) => {
    const message = new Writer().raw(key);
    write(message);
    return message.finishInto(sha256).slice(0, MAC_BYTES);
  };
}

/** Takes the same time wherever two MACs differ: else they could be guessed byte by byte. */
export function equalMacs(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] as number);
  return difference === 0;
}
