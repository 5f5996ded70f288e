import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import type { Rng } from "../../src/kernel/rng.ts";

const PAGE_BYTES = 4_096;
const WAL_HEADER_BYTES = 32;
const FRAME_BYTES = 24 + PAGE_BYTES;

function withFile<T>(path: string, use: (file: number) => T): T {
  const file = openSync(path, "r+");
  try {
    return use(file);
  } finally {
    closeSync(file);
  }
}

function bytesAt(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, readSync(file, bytes, 0, length, position));
}

/** Where the frames of the present run of the log end: what lies behind them is left over from earlier ones. */
function walEnd(file: number): number {
  const salts = bytesAt(file, 16, 8);
  let end = WAL_HEADER_BYTES;
  while (end + FRAME_BYTES <= fstatSync(file).size && bytesAt(file, end + 8, 8).equals(salts)) end += FRAME_BYTES;
  return end;
}

/** Tears the last frame or two of a write-ahead log as a disk might that lied about what it had written. */
export function tearWal(path: string, rng: Rng): string {
  return withFile(path, (file) => {
    const end = walEnd(file);
    const back = 1 + rng.below(Math.min(2 * FRAME_BYTES, end - WAL_HEADER_BYTES));
    switch (rng.below(3)) {
      case 0:
        ftruncateSync(file, end - back);
        return `${end - back} of ${end} bytes left`;
      case 1:
        writeSync(file, Buffer.alloc(2_048), 0, 2_048, end - 2_048);
        return `the last 2 KiB of ${end} zeroed`;
      default:
        writeSync(file, noise(back, rng), 0, back, end - back);
        return `the last ${back} bytes of ${end} are noise`;
    }
  });
}

/** Damages a page of a database: a few bytes, its second half, or all of it. The first one tells what the file is. */
export function tearPage(path: string, rng: Rng): string {
  return withFile(path, (file) => {
    const pages = Math.floor(fstatSync(file).size / PAGE_BYTES);
    const page = rng.below(pages);
    const start = page * PAGE_BYTES;
    const kind = rng.below(3);
    if (kind === 0) for (let n = 0; n < 8; n++) writeSync(file, noise(1, rng), 0, 1, start + rng.below(PAGE_BYTES));
    else if (kind === 1) writeSync(file, Buffer.alloc(PAGE_BYTES / 2), 0, PAGE_BYTES / 2, start + PAGE_BYTES / 2);
    else writeSync(file, noise(PAGE_BYTES, rng), 0, PAGE_BYTES, start);
    return `page ${page + 1} of ${pages}: ${["eight bytes", "second half zeroed", "noise"][kind]}`;
  });
}

function noise(length: number, rng: Rng): Buffer {
  return Buffer.from(Uint8Array.from({ length }, () => rng.below(256)));
}
