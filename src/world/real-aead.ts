import { type CipherGCMTypes, createCipheriv, createDecipheriv } from "node:crypto";
import type { Aead } from "../kernel/aead.ts";
import { concatBytes } from "../kernel/bytes.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-GCM of Node's OpenSSL. @param nonce 12 bytes, never the same twice under one key: NIST SP 800-38D allows random
 *  ones for 2^32 messages */
export function makeAead(nonce: () => Uint8Array): Aead {
  return {
    seal(key, plain, associated) {
      const fresh = nonce();
      const cipher = createCipheriv(algorithmOf(key), key, fresh, { authTagLength: TAG_BYTES });
      cipher.setAAD(associated);
      return concatBytes([fresh, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    open(key, sealed, associated) {
      if (sealed.length < NONCE_BYTES + TAG_BYTES) return undefined;
      const end = sealed.length - TAG_BYTES;
      const decipher = createDecipheriv(algorithmOf(key), key, sealed.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      });
      decipher.setAAD(associated);
      decipher.setAuthTag(sealed.subarray(end));
      const plain = decipher.update(sealed.subarray(NONCE_BYTES, end));
      try {
        return concatBytes([plain, decipher.final()]);
      } catch {
        return undefined; // the only thing that can be wrong here is the tag: another key, or other bytes
      }
    },
  };
}

function algorithmOf(key: Uint8Array): CipherGCMTypes {
  return `aes-${8 * key.length}-gcm` as CipherGCMTypes;
}
