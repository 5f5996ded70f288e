import type { Row } from "../../crdt/index.ts";
import { decodeEntry, decodeRow, hashKey, slotOf, VersionVector } from "../../crdt/index.ts";
import { equalBytes } from "../kernel/bytes.ts";
import { nodeOfActor } from "../kernel/ids.ts";
import type { ConflictRange, KeyRange, RowKey, RowRead, Store } from "../storage/store.ts";
import type { World } from "../world/world.ts";
import { checkKey } from "./admission.ts";
import type { Deletion, ReadResult } from "./api.ts";
import { Unavailable } from "./api.ts";
import type { BatchContext } from "./batch.ts";
import type { Owners } from "./owners.ts";
import type { OutgoingPeer } from "./peer/outgoing.ts";
import type { Pipeline } from "./pipeline.ts";
import { rowId } from "./places.ts";
import type { Repair } from "./repair.ts";

export interface ReadingOptions extends BatchContext {
  readonly world: World;
  readonly store: Store;
  readonly pipeline: Pipeline;
  readonly repair: Repair;
  readonly owners: Owners;
  readonly peers: () => readonly OutgoingPeer[];
}

const HEAL_TIMEOUT_MS = 3_000;
const HEAL_RETRY_MS = 100;
const SCAN_BYTES = 2 ** 20;

/** Reads of rows as of the last commit, with the vectors that belong to them. A damaged row is healed first. */
export class Reading {
  readonly #o: ReadingOptions;
  readonly #healing = new Map<string, Promise<void>>();

  constructor(options: ReadingOptions) {
    this.#o = options;
  }

  async read(key: RowKey): Promise<ReadResult> {
    this.#o.owners.mustServe();
    return this.peek(key) ?? this.#readStored(key);
  }

  /** What memory holds, at once: most reads find their row here. Undefined when the store must be asked. */
  peek(key: RowKey): ReadResult | undefined {
    const cached = this.#o.pipeline.rows.cached(rowId(key));
    if (!cached) return undefined;
    const { keyHash, partition, leaf } = cached.place;
    if (this.#isDamaged(partition, leaf)) return undefined;
    const { vector } = this.#o.pipeline.partition(partition).state;
    const digest = cached.digests?.digest;
    return { row: cached.row, keyHash, digest, partition, contextVector: vector, sessionVector: vector };
  }

  async #readStored(key: RowKey): Promise<ReadResult> {
    checkKey(key.bucket, key.key, this.#o.limits);
    const { partition, keyHash, leaf } = this.#o.pipeline.place(key);
    const contextVector = this.#o.pipeline.partition(partition).state.vector;
    let row = await this.#readSound(key, partition, leaf);
    if (row === null) {
      await this.#healForRead(partition, leaf);
      row = await this.#readSound(key, partition, leaf);
    }
    if (row === null)
      throw new Unavailable(
        "damaged",
        "this record's storage is damaged and no peer could heal it yet; try another node",
      );
    return {
      row,
      keyHash,
      digest: undefined,
      partition,
      contextVector,
      sessionVector: this.#o.pipeline.partition(partition).state.vector,
    };
  }

  /** Null when it is damaged, or in a damaged leaf. */
  async #readSound(key: RowKey, partition: number, leaf: number): Promise<Row | null> {
    const { pipeline, repair } = this.#o;
    while (!this.#isDamaged(partition, leaf)) {
      const { markChanges } = repair;
      const row = await pipeline.rows.read(key);
      // Else its leaf may have been found, and even healed, while this read was under way: only what is bad now is damage.
      if (markChanges === repair.markChanges) return row;
    }
    return null;
  }

  /** Rows of a damaged leaf answer nobody, sound ones either: entries that came since were applied to what was left. */
  #isDamaged(partition: number, leaf: number): boolean {
    return this.#o.pipeline.partition(partition).damaged.has(leaf);
  }

  /** A bad checksum damages the whole leaf; it heals from a peer at once (data.md, SQLite). */
  async #healForRead(partition: number, leaf: number): Promise<void> {
    if (!this.#isDamaged(partition, leaf)) this.#o.repair.quarantine(partition, leaf);
    const { timers, clock } = this.#o.world;
    const untilMs = clock.monotonicMs() + HEAL_TIMEOUT_MS;
    // Peers may be connecting just now, or be ahead of us by entries that are under way: ask again for a while.
    while (this.#isDamaged(partition, leaf) && clock.monotonicMs() < untilMs) {
      await this.#healOnce(partition, leaf);
      if (this.#isDamaged(partition, leaf)) await new Promise<void>((resolve) => timers.after(HEAL_RETRY_MS, resolve));
    }
  }

  /** All who wait for a leaf share the asking: each would cost a peer's rows, and a commit here. */
  #healOnce(partition: number, leaf: number): Promise<void> {
    const id = `${partition} ${leaf}`;
    const healing = this.#healing.get(id) ?? this.heal(partition, [leaf]).finally(() => this.#healing.delete(id));
    this.#healing.set(id, healing);
    return healing;
  }

  /** Asks peer after peer until these leaves are sound again. Never rejects. */
  async heal(partition: number, leaves: readonly number[]): Promise<void> {
    for (const peer of this.#o.peers()) {
      const left = leaves.filter((leaf) => this.#o.pipeline.partition(partition).damaged.has(leaf));
      if (left.length === 0) return;
      await this.#o.repair.compareLeaves(peer, partition, left).catch((error: unknown) => {
        this.#o.world.log.warn("repair.peer-failed", {
          peer: peer.node,
          partition,
          reason: error instanceof Error ? error.message : String(error),
        });
      });
    }
  }

  async scan(range: KeyRange): Promise<{ rows: (RowKey & ReadResult)[]; next: string | null }> {
    this.#o.owners.mustServe();
    const rows: (RowKey & ReadResult)[] = [];
    let after = range.after;
    while (rows.length < range.limit) {
      const limit = range.limit - rows.length;
      const { markChanges } = this.#o.repair;
      const reads = await this.#o.store.scanKeys({
        ...range,
        ...(after !== undefined && { after }),
        limit,
        maxBytes: Math.min(range.maxBytes, SCAN_BYTES),
      });
      const last = reads.at(-1);
      if (!last) return { rows, next: null };
      after = last.key;
      for (const read of reads) {
        const found = await this.#resolve(read, markChanges);
        if (found.row.cells.size > 0) rows.push(found);
      }
    }
    return { rows, next: after ?? null };
  }

  /** @param markChanges as of before it was read */
  async #resolve(read: RowRead, markChanges: number): Promise<RowKey & ReadResult> {
    const { bucket, key } = read;
    const { partition, keyHash, leaf } = this.#o.pipeline.place(read);
    if (read.body === null || this.#isDamaged(partition, leaf) || markChanges !== this.#o.repair.markChanges)
      return { bucket, key, ...(await this.read({ bucket, key })) };
    await this.#o.pipeline.rows.settled(read);
    const vector = this.#o.pipeline.partition(partition).state.vector;
    return {
      bucket,
      key,
      row: decodeRow(read.body),
      keyHash,
      digest: undefined,
      partition,
      contextVector: new VersionVector(),
      sessionVector: vector,
    };
  }

  async deletion(key: RowKey): Promise<Deletion | undefined> {
    this.#o.owners.mustServe();
    const body = await this.#o.store.readDeletion(key);
    if (!body || body.length === 0) return undefined;
    const { stamp, actor } = decodeEntry(body);
    const { author, reason, hlc } = stamp;
    return { author, node: nodeOfActor(actor), atMs: hlc.ms, ...(reason !== undefined && { reason }) };
  }

  async conflicts(range: ConflictRange): Promise<(RowKey & ReadResult)[]> {
    this.#o.owners.mustServe();
    const { markChanges } = this.#o.repair;
    return Promise.all((await this.#o.store.scanConflicts(range)).map((read) => this.#resolve(read, markChanges)));
  }

  async findByHash(keyHash: Uint8Array): Promise<(RowKey & ReadResult) | undefined> {
    this.#o.owners.mustServe();
    const slot = slotOf(keyHash);
    const { salt, repair } = this.#o;
    const { markChanges } = repair;
    const read = (await this.#o.store.scanSlots(slot, slot + 1)).find(({ bucket, key }) =>
      equalBytes(hashKey(this.#o.world.sha256, salt, bucket, key), keyHash),
    );
    return read ? this.#resolve(read, markChanges) : undefined;
  }
}
