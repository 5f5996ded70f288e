import { assert } from "../kernel/assert.ts";
import type { NodeId, Region } from "../kernel/ids.ts";
import type { Address } from "../world/world.ts";
import { Unavailable } from "./api.ts";

export interface Owner {
  readonly id: NodeId;
  readonly region: Region;
  /** Where to dial until gossip knows better. */
  readonly peer?: Address;
}

/** A link, a vector of acknowledgements and metrics for each: more would need partial placement. */
export const OWNERS_MAX = 128;

/** Who owns the data; each owner holds all partitions. It changes while the node runs: whoever keeps something for each
 *  owner listens, all others ask when they need to know. */
export class Owners {
  readonly #self: NodeId;
  readonly #listeners = new Set<() => void>();
  #all: readonly Owner[] = [];
  #regions: ReadonlyMap<NodeId, Region> = new Map();
  #regionNames: readonly Region[] = [];
  /** Why this node's copy says nothing about the data (it is joining, or a member no more); null when it may be asked. */
  notServing: string | null = null;

  constructor(self: NodeId, all: readonly Owner[]) {
    this.#self = self;
    this.set(all);
  }

  get all(): readonly Owner[] {
    return this.#all;
  }

  get others(): readonly Owner[] {
    return this.#all.filter(({ id }) => id !== this.#self);
  }

  get regions(): ReadonlyMap<NodeId, Region> {
    return this.#regions;
  }

  /** Each region once. */
  get regionNames(): readonly Region[] {
    return this.#regionNames;
  }

  find(id: NodeId): Owner | undefined {
    return this.#all.find((owner) => owner.id === id);
  }

  set(all: readonly Owner[]): void {
    assert(all.length <= OWNERS_MAX, "who admits members keeps to the bound");
    const regions = new Map(all.map(({ id, region }) => [id, region]));
    assert(regions.size === all.length, "an owner is named once");
    this.#all = all;
    this.#regions = regions;
    this.#regionNames = [...new Set(regions.values())];
    for (const listener of this.#listeners) listener();
  }

  /** Throws Unavailable where clients would be answered from a copy that isn't one. */
  mustServe(): void {
    if (this.notServing !== null) throw new Unavailable("not-serving", this.notServing);
  }

  onChange(listener: () => void): void {
    this.#listeners.add(listener);
  }
}
