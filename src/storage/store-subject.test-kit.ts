import { fnv1a } from "../kernel/hashing.ts";
import { type ActorId, parseActorId } from "../kernel/ids.ts";
import type { LogRecord, Store } from "./store.ts";

/** A kind of store and the means to look at it from outside. */
export interface StoreSubject {
  /** The name of a data directory that nobody has used. */
  newDir(): Promise<string>;
  open(dataDir: string): Promise<Store>;
  /** Changes a byte of a row's body, or takes the row out, while nobody has the store open. */
  damageRow(dataDir: string, bucket: string, key: string, how: "flip" | "remove"): Promise<void>;
  /** Changes a byte of a log record, while nobody has the store open. */
  damageLog(dataDir: string, pos: number): Promise<void>;
  /** Changes a byte of a partition's saved sums, while nobody has the store open. */
  damageSums(dataDir: string, partition: number): Promise<void>;
}

/** Runs with a store on a directory of its own, and closes it. */
export async function withStore(subject: StoreSubject, run: (store: Store, dataDir: string) => Promise<void>) {
  const dataDir = await subject.newDir();
  const store = await subject.open(dataDir);
  try {
    await run(store, dataDir);
  } finally {
    await store.close();
  }
}

/** Like `withStore`, in two lives of the store, with `between` while it is closed. */
export async function withReopened(
  subject: StoreSubject,
  first: (store: Store) => Promise<void>,
  then: (store: Store) => Promise<void>,
  between?: (dataDir: string) => Promise<void>,
) {
  const dataDir = await subject.newDir();
  for (const life of [first, then]) {
    const store = await subject.open(dataDir);
    try {
      await life(store);
    } finally {
      await store.close();
    }
    if (life === first) await between?.(dataDir);
  }
}

export const EU: ActorId = parseActorId("eu@m1abc.0000000a");
export const US: ActorId = parseActorId("us@m1abd.0000000b");

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** A row whose slot, unless given, is a function of its key. */
export function rowOf(bucket: string, key: string, body: string | Uint8Array | null, more?: RowMore) {
  return {
    bucket,
    key,
    slot: more?.slot ?? slotOf(bucket, key),
    body: typeof body === "string" ? bytesOf(body) : body,
    conflict: more?.conflict ?? false,
  };
}

interface RowMore {
  readonly slot?: number;
  readonly conflict?: boolean;
}

export function slotOf(bucket: string, key: string): number {
  return fnv1a(bytesOf(`${bucket}\0${key}`));
}

export function recordOf(pos: number, more: Partial<LogRecord> = {}): LogRecord {
  const first = more.first ?? pos;
  return {
    pos,
    partition: 0,
    actor: EU,
    first,
    last: first,
    body: bytesOf(`entry ${pos}`),
    atMs: 1_700_000_000_000 + pos,
    slot: 0,
    digestDelta: new Uint8Array(16).fill(pos % 256),
    inventoryDelta: new Uint8Array(16).fill((pos * 7) % 256),
    recordDelta: 0,
    awaits: false,
    ...more,
  };
}

export const ALL = { limit: 1_000_000, maxBytes: Number.POSITIVE_INFINITY };

export async function keysIn(store: Store, bucket: string, prefix = ""): Promise<string[]> {
  return (await store.scanKeys({ bucket, prefix, ...ALL })).map(({ key }) => key);
}

export async function positionsIn(store: Store): Promise<number[]> {
  return (await store.readLog(0, ALL.limit, ALL.maxBytes)).map(({ pos }) => pos);
}
