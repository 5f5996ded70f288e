import type { ActorId, NodeId } from "../kernel/ids.ts";
import { makeActorId } from "../kernel/ids.ts";
import type { Commit } from "../storage/store.ts";
import type { World } from "../world/world.ts";

/** The author of this run's dots: made at its first write, its start above any persisted one (data.md, Actors). */
export class RunActor {
  readonly #world: World;
  readonly #node: NodeId;
  #start: number;
  #actor: ActorId | null = null;
  #saved: ActorId | null = null;

  constructor(world: World, node: NodeId, settings: ReadonlyMap<string, string>) {
    this.#world = world;
    this.#node = node;
    this.#start = Number(settings.get("actorStart") ?? 0);
  }

  get id(): ActorId {
    if (!this.#actor) {
      this.#start = Math.max(this.#start + 1, this.#world.clock.wallMs());
      this.#actor = makeActorId(this.#node, this.#start, this.#world.rng.u32());
    }
    return this.#actor;
  }

  /** Null before the first write of this run. */
  get current(): ActorId | null {
    return this.#actor;
  }

  /** The next write takes a new actor. */
  renew(): void {
    this.#actor = null;
  }

  /** Its start, once, for the first commit that may hold its dots. */
  toSave(): Partial<Commit> {
    if (this.#actor === this.#saved) return {};
    this.#saved = this.#actor;
    return { settings: [{ name: "actorStart", value: String(this.#start) }] };
  }

  /** The commit that was to save it did not happen. */
  notSaved(): void {
    this.#saved = null;
  }
}
