import type { Store } from "../storage/store.ts";
import type { Timer, World } from "../world/world.ts";
import type { RoomLevel, WriteRequest } from "./api.ts";
import { Unavailable } from "./api.ts";

const MIB = 2 ** 20;

/** Below the smaller of the two (data.md, Bounds, has the shares; three hundredths of a large disk would be more than a
 *  node needs to get out of trouble: a WAL, a checkpoint, and some commits). */
const MARKS: readonly { readonly level: RoomLevel; readonly share: number; readonly bytes: number }[] = [
  { level: "full", share: 0.03, bytes: 128 * MIB },
  { level: "scarce", share: 0.08, bytes: 512 * MIB },
  { level: "low", share: 0.15, bytes: 1024 * MIB },
];

/** How old an answer of the file system may be. While room is short it is asked this often, so that the node recovers by
 *  itself also when nobody writes any more. */
const ASK_MS = 1_000;

export function levelOf({ freeBytes, totalBytes }: { freeBytes: number; totalBytes: number }): RoomLevel {
  return MARKS.find(({ share, bytes }) => freeBytes < Math.min(share * totalBytes, bytes))?.level ?? "ample";
}

/** Watches the room on the disk, and says which writes it still has room for. */
export class DiskRoom {
  readonly #world: World;
  readonly #store: Store;
  level: RoomLevel = "ample";
  freeBytes: number | null = null;
  #askedMs = Number.NEGATIVE_INFINITY;
  #timer: Timer | null = null;
  #stopped = false;

  constructor(world: World, store: Store) {
    this.#world = world;
    this.#store = store;
  }

  /** Throws Unavailable `disk-full` when this write has to wait for room. */
  admit({ ops, settles }: WriteRequest): void {
    this.#refresh();
    if (this.level === "ample" || this.level === "low") return;
    const gives = settles === true || ops.every((op) => "removeAll" in op || GIVES_ROOM.has(op.slot.op));
    if (this.level === "full" || !gives) throw diskFull(this.level);
  }

  /** As `admit`, for entries of peers: they come again. */
  admitEntries(): void {
    if (this.level === "full") throw diskFull("full");
  }

  /** A commit found no room, whatever the file system says (a quota, say). */
  noteFull(): void {
    this.#become("full");
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #refresh(): void {
    if (this.#world.clock.monotonicMs() - this.#askedMs >= ASK_MS) this.#ask();
  }

  #ask(): void {
    if (this.#stopped) return;
    this.#askedMs = this.#world.clock.monotonicMs();
    void this.#store.usage().then(
      (usage) => {
        this.freeBytes = usage.freeBytes;
        this.#become(levelOf(usage));
      },
      (error: unknown) => {
        this.#world.log.warn("disk.unknown", { reason: error instanceof Error ? error.message : String(error) });
        this.#become(this.level);
      },
    );
  }

  #become(level: RoomLevel): void {
    if (level !== this.level)
      this.#world.log[level === "ample" ? "info" : "warn"]("disk.room", { room: level, freeBytes: this.freeBytes });
    this.level = level;
    if (level === "ample" || this.#timer || this.#stopped) return;
    this.#timer = this.#world.timers.after(ASK_MS, () => {
      this.#timer = null;
      this.#ask();
    });
  }
}

const GIVES_ROOM: ReadonlySet<string> = new Set(["remove", "clear", "disable", "reset"]);

export function diskFull(level: "scarce" | "full"): Unavailable {
  return new Unavailable(
    "disk-full",
    level === "full"
      ? "this node's disk is full: it only serves reads until there is room again; write to another node"
      : "this node's disk is nearly full: it only takes deletes and settled conflicts; write to another node",
  );
}
