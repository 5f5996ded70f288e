/** From measurements of SQLite with fsync on common SSDs: architecture.md, Storage. */
export const COMMIT_MS = [1.5, 5] as const;
export const READ_MS = [0.05, 0.5] as const;
export const OPEN_MS = [3, 10] as const;
/** Between the moment when a commit is on disk (and reads see it) and that when its caller hears of it. */
export const NOTICE_MS = [0.05, 0.5] as const;

/** What an operation asks a disk. */
export interface DiskPace {
  /** No room: writes are refused, and nothing of them is written. */
  readonly isFull: boolean;
  between(ms: readonly [number, number]): number;
  /** Shall the next write fail? Asked once for each. */
  takeFailure(of: "data" | "raft"): boolean;
  heads(): boolean;
}
