import type { RowKey } from "./store.ts";

/** Order of the texts' UTF-8 bytes, which is the order of code points. JavaScript's own order is that of UTF-16 units and
 *  puts U+E000–U+FFFF after the surrogates of U+10000 and above. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left === right) continue;
    const leftIsSurrogate = left >= 0xd800 && left <= 0xdfff;
    const rightIsSurrogate = right >= 0xd800 && right <= 0xdfff;
    if (leftIsSurrogate !== rightIsSurrogate) {
      // A surrogate stands for a code point above every single unit.
      return leftIsSurrogate ? 1 : -1;
    }
    return left - right;
  }
  return a.length - b.length;
}

export function compareRowKeys(a: RowKey, b: RowKey): number {
  return compareUtf8(a.bucket, b.bucket) || compareUtf8(a.key, b.key);
}

export function compareSlots(a: RowKey & { readonly slot: number }, b: RowKey & { readonly slot: number }): number {
  return a.slot - b.slot || compareRowKeys(a, b);
}
