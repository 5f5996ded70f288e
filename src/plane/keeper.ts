import type { ControlState } from "../control/state.ts";
import { InputError } from "../kernel/assert.ts";
import { fromBase64, toBase64 } from "../kernel/bytes.ts";
import type { Timer, World } from "../world/world.ts";

/** Where small facts are kept with the data. `remember` is false when there was no room. */
export interface Notebook {
  readonly remembered: ReadonlyMap<string, string>;
  remember(name: string, value: string): Promise<boolean>;
}

const NAME = "control.state";
/** A state as it is kept. */
export function keptEntry(bytes: Uint8Array): { readonly name: string; readonly value: string } {
  return { name: NAME, value: toBase64(bytes) };
}

/** Changes come in bursts. */
const SAVE_AFTER_MS = 500;

/** Keeps the newest state over a restart: a node without a seat has no log to find it in, and who owns the data must be known
 *  before anybody is asked. */
export class Keeper {
  readonly #notebook: Notebook;
  readonly #world: Pick<World, "timers" | "log">;
  #timer: Timer | null = null;
  /** The state that is to be kept, and how to write it down. */
  #newest: { readonly state: ControlState; readonly bytes: () => Uint8Array | null } | null = null;
  #saved: ControlState | null = null;
  #saving: Promise<boolean> = Promise.resolve(true);
  #isStopped = false;

  constructor(notebook: Notebook, world: Pick<World, "timers" | "log">) {
    this.#notebook = notebook;
    this.#world = world;
  }

  /** Hands over what the last run kept. What another version or a fault left there is as if nothing were: others tell. */
  restore(adopt: (bytes: Uint8Array) => void): void {
    const text = this.#notebook.remembered.get(NAME);
    if (text === undefined) return;
    try {
      adopt(fromBase64(text));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#world.log.warn("plane.kept-unreadable", { reason: error.message });
    }
  }

  changed(state: ControlState, bytes: () => Uint8Array | null): void {
    this.#newest = { state, bytes };
    this.#timer ??= this.#world.timers.after(SAVE_AFTER_MS, () => {
      this.#timer = null;
      void this.save();
    });
  }

  /** Resolves when the newest state is kept; to false when there was no room for it. */
  save(): Promise<boolean> {
    this.#saving = this.#saving.then(() => this.#save());
    return this.#saving;
  }

  async #save(): Promise<boolean> {
    const newest = this.#newest;
    if (newest === null || newest.state === this.#saved) return true;
    const bytes = newest.bytes();
    if (this.#isStopped || bytes === null) return false;
    try {
      const { name, value } = keptEntry(bytes);
      if (await this.#notebook.remember(name, value)) {
        this.#saved = newest.state;
        return true;
      }
      this.#world.log.warn("plane.state-not-kept", { reason: "the disk is full" });
    } catch (error) {
      // Storage failed, which is known where it must be; others tell the state again after a start.
      this.#world.log.warn("plane.state-not-kept", { reason: String(error) });
    }
    return false;
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.save();
    this.#isStopped = true;
  }
}
