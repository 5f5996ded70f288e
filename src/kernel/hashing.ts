/** SHA-256, handed to pure folders by the World: they have no `crypto` of their own. */
export type Sha256 = (bytes: Uint8Array) => Uint8Array;

/** FNV-1a over bytes, 32 bits: for traces and hash tables, never for identity. */
export function fnv1a(bytes: Uint8Array, seed = 0x811c9dc5): number {
  let hash = seed;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
