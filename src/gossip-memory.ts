import { KEYS_MAX } from "../gossip/index.ts";
import type { Config } from "./config/types.ts";
import { parseAesKey } from "./kernel/aead.ts";
import { InputError } from "./kernel/assert.ts";
import { equalBytes, toBase64 } from "./kernel/bytes.ts";
import type { Timer, World } from "./world/world.ts";

/** Addresses kept; a restarted node needs one that answers. */
const ADDRESSES_MAX = 32;
/** Changes of members come in bursts. */
const SAVE_AFTER_MS = 5_000;
const ADDRESSES = "gossip.addresses";
const KEYS = "gossip.keys";

/** Where small facts are kept with the data. `remember` is false when there was no room. */
export interface Notebook {
  readonly remembered: ReadonlyMap<string, string>;
  remember(name: string, value: string): Promise<boolean>;
}

/** What gossip knows over a restart: where members were, for when no seed answers, and keys that were changed since the
 *  configuration was written. */
export class GossipMemory {
  readonly #notebook: Notebook;
  readonly #world: Pick<World, "timers" | "log">;
  readonly #configured: readonly Uint8Array[];
  #timer: Timer | null = null;
  #saved = "";

  constructor(notebook: Notebook, world: Pick<World, "timers" | "log">, gossip: Config["gossip"]) {
    this.#notebook = notebook;
    this.#world = world;
    this.#configured = gossip.keys;
  }

  /** `host:port`, of members that were alive. */
  addresses(): string[] {
    const text = this.#notebook.remembered.get(ADDRESSES) ?? "";
    return text === "" ? [] : text.split(" ");
  }

  /** The configured keys, or what members made of them since; with an edited configuration the new keys, and then the
   *  remembered ones to read with. */
  keys(): readonly Uint8Array[] {
    const text = this.#notebook.remembered.get(KEYS);
    if (text === undefined || this.#configured.length === 0) return this.#configured;
    try {
      const [configured = [], held = []] = text.split("|").map((list) => list.split(" ").map(parseAesKey));
      const sameFile =
        configured.length === this.#configured.length && this.#configured.every((key, i) => equal(key, configured[i]));
      if (sameFile) return held;
      const others = held.filter((key) => !this.#configured.some((other) => equal(key, other)));
      return [...this.#configured, ...others].slice(0, KEYS_MAX);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#world.log.warn("gossip.keys-unreadable", { reason: error.message });
      return this.#configured;
    }
  }

  keysChanged(keys: readonly Uint8Array[]): void {
    const listOf = (list: readonly Uint8Array[]): string => list.map(toBase64).join(" ");
    this.#remember(KEYS, `${listOf(this.#configured)}|${listOf(keys)}`);
  }

  /** @param addresses asked for later, when the burst is over */
  membersChanged(addresses: () => readonly string[]): void {
    this.#timer ??= this.#world.timers.after(SAVE_AFTER_MS, () => {
      this.#timer = null;
      const text = addresses().slice(0, ADDRESSES_MAX).join(" ");
      // Nobody left: who was there last is still the best that is known.
      if (text === "" || text === this.#saved) return;
      this.#saved = text;
      this.#remember(ADDRESSES, text);
    });
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #remember(name: string, value: string): void {
    this.#notebook.remember(name, value).then(
      (kept) => {
        if (!kept) this.#world.log.warn("gossip.not-remembered", { name, reason: "the disk is full" });
      },
      (error: unknown) => this.#world.log.warn("gossip.not-remembered", { name, reason: String(error) }),
    );
  }
}

function equal(a: Uint8Array, b: Uint8Array | undefined): boolean {
  return b !== undefined && equalBytes(a, b);
}
