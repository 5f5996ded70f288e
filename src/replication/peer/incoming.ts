import type { VersionVector } from "../../../crdt/index.ts";
import type { SyncMessage } from "../../../gossip/antientropy/session.ts";
import { InputError } from "../../kernel/assert.ts";
import { equalBytes } from "../../kernel/bytes.ts";
import { parseActorId } from "../../kernel/ids.ts";
import type { Stream, World } from "../../world/world.ts";
import type { Frame, Hello, WireRow } from "./frames.ts";
import {
  copyCloseBody,
  copyOpenBody,
  copyReadBody,
  entriesBody,
  FRAME,
  helloBody,
  parseBody,
  rangeBody,
  rowsBody,
  syncMessage,
} from "./frames.ts";
import type { PeerHost } from "./host.ts";
import { Link, type LinkHandlers } from "./link.ts";

export const PROTOCOL = { min: 1, max: 1 } as const;
export const USUAL_LEAF_BITS = 10;

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

const FIRST_FRAME_MS = 5_000;
const RANGE_RECORDS = 512;
const RANGE_BYTES = 512 * 2 ** 10;
/** Links that have not said who they are, and all links: above these a newcomer is closed at once. */
const MAX_LINKS = 256;

/** The peer port: takes links of this cluster's members, refuses others at the first frame with a reason, and answers. */
export class IncomingPeers {
  readonly #host: PeerHost;
  readonly #world: World;
  readonly #answers: Answers;
  readonly #mine: Hello;
  readonly #links = new Set<Link>();
  /** Says to a development network shaper where an accepted stream comes from. */
  readonly #attribute: (stream: Stream, region: string) => void;
  refused = 0;

  constructor(host: PeerHost, answers: Answers, attribute: (stream: Stream, region: string) => void) {
    this.#host = host;
    this.#world = host.world;
    this.#answers = answers;
    this.#mine = host.hello("delta");
    this.#attribute = attribute;
  }

  accept(stream: Stream): void {
    const timer = this.#world.timers.after(FIRST_FRAME_MS, () => link.close("no hello in time"));
    const handlers: LinkHandlers = {
      onFirst: (_, frame) => {
        timer.cancel();
        return this.#onHello(link, stream, frame);
      },
      onRequest: (op, body) => this.#answer(op, body),
      onClose: (reason) => {
        timer.cancel();
        this.#links.delete(link);
        this.#world.log.debug("peer.link-closed", { reason });
      },
    };
    const link: Link = new Link(this.#world, stream, handlers, this.#host.heartbeatMs);
    if (this.#links.size >= MAX_LINKS) link.close("too many links");
    else this.#links.add(link);
  }

  stop(): void {
    for (const link of [...this.#links]) link.close("this node is stopping");
  }

  #onHello(link: Link, stream: Stream, frame: Frame): boolean {
    let reason: string | null;
    try {
      if (frame.type !== FRAME.hello) throw new InputError("bad-frame", "expected a hello");
      const hello = parseBody(helloBody, frame.body);
      reason = this.#whyNot(hello);
      if (reason === null) this.#attribute(stream, hello.region);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      reason = error.message;
    }
    if (reason !== null) {
      this.refused += 1;
      this.#world.log.warn("peer.refused", { from: stream.remote, reason });
      link.refuse(reason);
      return false;
    }
    const vectors = this.#host.partitions.map(({ state }) => state.vector.encode());
    link.send(FRAME.welcome, { node: this.#mine.node, region: this.#mine.region, protocol: PROTOCOL.max, vectors });
    return true;
  }

  #whyNot(hello: Hello): string | null {
    const mine = this.#mine;
    if (hello.cluster !== mine.cluster) return `this node belongs to cluster ${mine.cluster}, not to ${hello.cluster}`;
    if (!equalBytes(hello.proof, mine.proof)) return "the cluster's salt differs: check cluster.salt on both sides";
    if (hello.partitionBits !== mine.partitionBits)
      return `this cluster has 2^${mine.partitionBits} partitions, the caller 2^${hello.partitionBits}`;
    if (leafBitsOf(hello) !== leafBitsOf(mine))
      return `this cluster has 2^${leafBitsOf(mine)} leaves a partition, the caller 2^${leafBitsOf(hello)}`;
    if (hello.protocol.min > PROTOCOL.max || hello.protocol.max < PROTOCOL.min)
      return `no common protocol: this node speaks ${PROTOCOL.min} to ${PROTOCOL.max}`;
    if (hello.node === mine.node) return `two nodes are called ${mine.node}`;
    return null;
  }

  async #answer(op: string, body: unknown): Promise<unknown> {
    switch (op) {
      case "entries":
        return this.#host.takeEntries(parseBody(entriesBody, body).entries);
      case "sync":
        return this.#answers.sync(parseBody(syncMessage, body));
      case "range":
        return this.#range(body);
      case "vectors":
        return { vectors: this.#host.partitions.map(({ state }) => state.vector.encode()) };
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

function leafBitsOf({ leafBits = USUAL_LEAF_BITS }: Hello): number {
  return leafBits;
}
