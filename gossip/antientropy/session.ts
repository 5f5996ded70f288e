import { assertNever } from "../../src/kernel/assert.ts";
import { equalBytes } from "../../src/kernel/bytes.ts";
import type { LeafSums } from "./merkle.ts";
import { differingChildren } from "./merkle.ts";

/** What a host knows of its own partitions. Bodies are opaque here: the machine compares hashes and sums, and the host
 *  compares what only it understands (version vectors). */
export interface SyncHost {
  readonly partitions: number;
  /** A hash over all vectors, and one over all sums, 16 bytes each. */
  summary(): { vectors: Uint8Array; sums: Uint8Array };
  /** HASH_BYTES of the vector's hash, then of the sum's, for each partition. */
  hashes(): Uint8Array;
  /** How my vector stands to a peer's, whose log begins at `floor`. */
  compare(partition: number, vector: Uint8Array, floor: Uint8Array): Standing;
  tree(partition: number): LeafSums;
}

/** "behind": its log has what I lack. "below-floor": its log was cut above me. "even": equal, or I am ahead. */
export type Standing = "even" | "behind" | "below-floor";

export const HASH_BYTES = 8;

export type SyncMessage =
  | { readonly kind: "start"; readonly vectors: Uint8Array; readonly sums: Uint8Array }
  | { readonly kind: "same" }
  | { readonly kind: "hashes"; readonly hashes: Uint8Array }
  | { readonly kind: "want-vectors"; readonly partitions: readonly number[] }
  | {
      readonly kind: "vectors";
      readonly items: readonly {
        readonly partition: number;
        readonly vector: Uint8Array;
        readonly floor: Uint8Array;
      }[];
    }
  | { readonly kind: "want-sums"; readonly partition: number; readonly level: number; readonly index: number }
  | {
      readonly kind: "sums";
      readonly partition: number;
      readonly level: number;
      readonly index: number;
      readonly sums: Uint8Array;
    };

export type SyncEvent = { readonly kind: "begin" } | { readonly kind: "message"; readonly message: SyncMessage };

export type SyncEffect =
  | { readonly kind: "send"; readonly message: SyncMessage }
  /** The peer's vectors of these partitions equal mine as they were when the round began. */
  | { readonly kind: "even"; readonly partitions: readonly number[] | "all" }
  /** The peer showed this vector. */
  | { readonly kind: "showed"; readonly partition: number; readonly vector: Uint8Array }
  /** Pull what the peer's log has above my vector. */
  | { readonly kind: "level"; readonly partition: number; readonly vector: Uint8Array }
  /** Fetch a copy: the log doesn't reach me. */
  | { readonly kind: "catch-up"; readonly partition: number }
  /** Vectors equal, sums not: compare these leaves row by row. */
  | { readonly kind: "compare-leaves"; readonly partition: number; readonly leaves: readonly number[] }
  | { readonly kind: "done"; readonly vectorDifferences: number; readonly sumDifferences: number };

/** One round of anti-entropy as the asker: vectors first (path 1), and where they are equal but sums are not, Merkle
 *  descent to the leaves that differ (path 2). Pure; at most one message is under way, so a round is a conversation.
 *  A message that does not answer what was asked ends the round (the host logs it): nothing is guessed. */
export class SyncSession {
  readonly #host: SyncHost;
  /** My hashes when the round began: what the peer's are compared with. */
  #mine: Uint8Array = new Uint8Array(0);
  #asked: SyncMessage["kind"] | null = null;
  #sumSuspects: number[] = [];
  #nodes: { partition: number; level: number; index: number }[] = [];
  readonly #leaves = new Map<number, number[]>();
  #vectorDifferences = 0;
  #sumDifferences = 0;

  constructor(host: SyncHost) {
    this.#host = host;
  }

  step(event: SyncEvent): SyncEffect[] {
    if (event.kind === "begin") {
      this.#mine = this.#host.hashes();
      return this.#ask({ kind: "start", ...this.#host.summary() });
    }
    const { message } = event;
    switch (message.kind) {
      case "same":
        return this.#asked === "start" ? this.#done([{ kind: "even", partitions: "all" }]) : this.#stray();
      case "hashes":
        return this.#asked === "start" ? this.#onHashes(message.hashes) : this.#stray();
      case "vectors":
        return this.#asked === "want-vectors" ? this.#onVectors(message.items) : this.#stray();
      case "sums":
        return this.#asked === "want-sums" ? this.#onSums(message) : this.#stray();
      case "start":
      case "want-vectors":
      case "want-sums":
        return this.#stray();
      default:
        return assertNever(message);
    }
  }

  #ask(message: SyncMessage): SyncEffect[] {
    this.#asked = message.kind;
    return [{ kind: "send", message }];
  }

  #stray(): SyncEffect[] {
    return this.#done([]);
  }

  #done(effects: SyncEffect[]): SyncEffect[] {
    this.#asked = null;
    for (const [partition, leaves] of this.#leaves) effects.push({ kind: "compare-leaves", partition, leaves });
    this.#leaves.clear();
    effects.push({ kind: "done", vectorDifferences: this.#vectorDifferences, sumDifferences: this.#sumDifferences });
    return effects;
  }

  #onHashes(theirs: Uint8Array): SyncEffect[] {
    const mine = this.#mine;
    if (theirs.length !== mine.length) return this.#stray();
    const differing: number[] = [];
    const even: number[] = [];
    for (let partition = 0; partition < this.#host.partitions; partition++) {
      const at = 2 * HASH_BYTES * partition;
      const half = (bytes: Uint8Array, offset: number): Uint8Array =>
        bytes.subarray(at + offset, at + offset + HASH_BYTES);
      const isEven = equalBytes(half(mine, 0), half(theirs, 0));
      (isEven ? even : differing).push(partition);
      if (isEven && !equalBytes(half(mine, HASH_BYTES), half(theirs, HASH_BYTES))) this.#sumSuspects.push(partition);
    }
    this.#sumDifferences = this.#sumSuspects.length;
    const effects: SyncEffect[] = [{ kind: "even", partitions: even }];
    if (differing.length > 0) return [...effects, ...this.#ask({ kind: "want-vectors", partitions: differing })];
    return this.#descend(effects);
  }

  #onVectors(items: readonly { partition: number; vector: Uint8Array; floor: Uint8Array }[]): SyncEffect[] {
    const effects: SyncEffect[] = [];
    for (const { partition, vector, floor } of items) {
      if (partition >= this.#host.partitions) continue;
      const standing = this.#host.compare(partition, vector, floor);
      this.#vectorDifferences += 1;
      effects.push({ kind: "showed", partition, vector });
      if (standing === "behind") effects.push({ kind: "level", partition, vector });
      if (standing === "below-floor") effects.push({ kind: "catch-up", partition });
    }
    return this.#descend(effects);
  }

  /** Goes on with the next node whose children may differ. */
  #descend(effects: SyncEffect[]): SyncEffect[] {
    const suspect = this.#sumSuspects.shift();
    if (suspect !== undefined) this.#nodes.push({ partition: suspect, level: 0, index: 0 });
    const node = this.#nodes.shift();
    if (!node) return this.#done(effects);
    return [...effects, ...this.#ask({ kind: "want-sums", ...node })];
  }

  #onSums({ partition, level, index, sums }: SyncMessage & { kind: "sums" }): SyncEffect[] {
    if (partition >= this.#host.partitions) return this.#stray();
    const { children, areLeaves } = differingChildren(this.#host.tree(partition), level, index, sums);
    if (areLeaves) this.#leaves.set(partition, [...(this.#leaves.get(partition) ?? []), ...children]);
    else this.#nodes.push(...children.map((child) => ({ partition, level: level + 1, index: child })));
    return this.#descend([]);
  }
}

/** What a host answers to an asker's message; null for one that asks nothing or names what isn't there. Stateless. */
export function answerSync(
  host: SyncHost & { vectorOf(partition: number): { vector: Uint8Array; floor: Uint8Array } },
  message: SyncMessage,
  childSumsOf: (partition: number, level: number, index: number) => Uint8Array,
): SyncMessage | null {
  switch (message.kind) {
    case "start": {
      const { vectors, sums } = host.summary();
      if (equalBytes(vectors, message.vectors) && equalBytes(sums, message.sums)) return { kind: "same" };
      return { kind: "hashes", hashes: host.hashes() };
    }
    case "want-vectors":
      return {
        kind: "vectors",
        items: message.partitions
          .filter((partition) => partition < host.partitions)
          .map((partition) => ({ partition, ...host.vectorOf(partition) })),
      };
    case "want-sums":
      if (message.partition >= host.partitions) return null;
      return { ...message, kind: "sums", sums: childSumsOf(message.partition, message.level, message.index) };
    default:
      return null;
  }
}
