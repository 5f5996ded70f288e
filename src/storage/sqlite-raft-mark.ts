import { type FileHandle, open } from "node:fs/promises";
import { checksum } from "./sqlite-codec.ts";
import { sizeOf } from "./sqlite-files.ts";

const MARK_BYTES = 12;

/** How many writes there have been, beside the database and never synced: a WAL whose end was damaged reads as one that was
 *  never written, and its transactions, though acknowledged, are silently gone. A number that the kernel still has, or wrote
 *  back since, tells. It may be behind (after a loss of power), never ahead. */
export class Mark {
  readonly #file: FileHandle;
  /** The last one; null when there is none that is sound. */
  generation: number | null;

  static async open(path: string): Promise<Mark> {
    const file = (await sizeOf(path)) !== null ? await open(path, "r+") : await open(path, "w+", 0o600);
    const bytes = Buffer.alloc(MARK_BYTES);
    const { bytesRead } = await file.read(bytes, 0, MARK_BYTES, 0);
    const generation = bytes.readDoubleLE(0);
    const isSound = bytesRead === MARK_BYTES && bytes.readUInt32LE(8) === checksum(["mark", generation]);
    return new Mark(file, isSound ? generation : null);
  }

  private constructor(file: FileHandle, generation: number | null) {
    this.#file = file;
    this.generation = generation;
  }

  async write(generation: number): Promise<void> {
    const bytes = Buffer.alloc(MARK_BYTES);
    bytes.writeDoubleLE(generation, 0);
    bytes.writeUInt32LE(checksum(["mark", generation]), 8);
    await this.#file.write(bytes, 0, MARK_BYTES, 0);
    this.generation = generation;
  }

  /** So that not even a loss of power takes it back. */
  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
