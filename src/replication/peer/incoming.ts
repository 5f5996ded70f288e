import type { VersionVector } from "../../../crdt/index.ts";
import type { SyncMessage } from "../../../gossip/antientropy/session.ts";
import { InputError } from "../../kernel/assert.ts";
import { parseActorId } from "../../kernel/ids.ts";
import type { PeerService } from "../../peer/door.ts";
import { parseBody } from "../../peer/frames.ts";
import type { WireRow } from "./bodies.ts";
import { copyCloseBody, copyOpenBody, copyReadBody, entriesBody, rangeBody, rowsBody, syncMessage } from "./bodies.ts";
import type { PeerHost } from "./host.ts";

/** What a replica answers to peers beside what `PeerHost` gives. */
export interface Answers {
  sync(message: SyncMessage): SyncMessage;
  rows(
    partition: number,
    leaves: readonly number[],
  ): Promise<{ vector: VersionVector; sound: number[]; rows: WireRow[] }>;
  copyOpen(partition: number): Promise<{ id: number; rows: number; vector: VersionVector; floor: VersionVector }>;
  copyRead(id: number, offset: number): Promise<WireRow[]>;
  copyClose(id: number): Promise<void>;
  repair(): void;
}

const RANGE_RECORDS = 512;
const RANGE_BYTES = 512 * 2 ** 10;

/** What peers ask of this node's data, over links of theirs. */
export class IncomingPeers implements PeerService {
  readonly #host: PeerHost;
  readonly #answers: Answers;

  constructor(host: PeerHost, answers: Answers) {
    this.#host = host;
    this.#answers = answers;
  }

  vectors(): Uint8Array[] {
    return this.#host.partitions.map(({ state }) => state.vector.encode());
  }

  async answer(op: string, body: unknown): Promise<unknown> {
    switch (op) {
      case "entries":
        return this.#host.takeEntries(parseBody(entriesBody, body).entries);
      case "sync":
        return this.#answers.sync(parseBody(syncMessage, body));
      case "range":
        return this.#range(body);
      case "vectors":
        return { vectors: this.vectors() };
      case "rows": {
        const { partition, leaves } = parseBody(rowsBody, body);
        const { vector, ...rest } = await this.#answers.rows(partition, leaves);
        return { ...rest, vector: vector.encode() };
      }
      case "copy-open": {
        const opened = await this.#answers.copyOpen(parseBody(copyOpenBody, body).partition);
        return { ...opened, vector: opened.vector.encode(), floor: opened.floor.encode() };
      }
      case "copy-read": {
        const { id, offset } = parseBody(copyReadBody, body);
        return { rows: await this.#answers.copyRead(id, offset) };
      }
      case "copy-close":
        await this.#answers.copyClose(parseBody(copyCloseBody, body).id);
        return null;
      case "repair":
        this.#answers.repair();
        return null;
      default:
        throw new InputError("unknown-op", `unknown request: ${op}`);
    }
  }

  /** Entries of one actor from a seq on, as far as one answer goes. Only what is committed is in the log (I1). */
  async #range(body: unknown): Promise<{ entries: Uint8Array[]; more: boolean }> {
    const { partition, actor, from } = parseBody(rangeBody, body);
    const records = await this.#host.store.readLogOf(partition, parseActorId(actor), from, RANGE_RECORDS, RANGE_BYTES);
    // A cut log may begin above what was asked for: then there is nothing to give, and a copy is the way.
    const contiguous = records[0] !== undefined && records[0].first <= from;
    return contiguous
      ? { entries: records.map((r) => r.body), more: records.length === RANGE_RECORDS }
      : { entries: [], more: false };
  }
}
