import { expect } from "vitest";
import type { Message } from "../../src/consensus/core/messages.ts";
import { RaftRefusal } from "../../src/consensus/driver/refusal.ts";
import type { RaftSettings } from "../../src/consensus/driver/settings.ts";
import { present } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { RaftImage } from "../../src/storage/memory-raft.ts";
import { readRecords } from "../../src/storage/raft-records.ts";
import { SimKernel, type SimNode } from "../sim/world.ts";
import { INSTANCE, type Member, type MemberOptions, startMember } from "./members.ts";

const PORT = 7003;
const DATA_DIR = "/data";
const TIMEOUT_MS = 4_000;

/** Members of a Raft group, each on a simulated machine of its own. */
export class SimGroup {
  readonly kernel: SimKernel;
  readonly #hosts: ReadonlyMap<string, string>;
  readonly #settings: Partial<RaftSettings>;
  readonly nodes = new Map<string, SimNode>();
  readonly #members = new Map<string, Member>();
  /** Promises that were sent and not kept on disk. */
  readonly broken: string[] = [];

  constructor(seed: number, names: readonly string[], settings: Partial<RaftSettings> = {}) {
    this.kernel = new SimKernel({ seed });
    this.#hosts = new Map(names.map((name, i) => [name, `10.1.0.${i + 1}`]));
    this.#settings = settings;
  }

  /** Runs a test's body; no promise may have been broken in it. */
  async run<T>(body: () => Promise<T>): Promise<T> {
    const result = await this.kernel.run(body);
    expect(this.broken).toEqual([]);
    return result;
  }

  get names(): string[] {
    return [...this.#hosts.keys()];
  }

  at(name: string): Member {
    return present(this.#members.get(name), `${name} runs`);
  }

  isRunning(name: string): boolean {
    return this.#members.has(name);
  }

  running(): Member[] {
    return [...this.#members.values()];
  }

  async start(name: string, more: Partial<MemberOptions> = {}): Promise<Member> {
    const host = this.#hosts.get(name) ?? "";
    const node = this.kernel.makeWorld({ name, region: name, host });
    this.nodes.set(name, node);
    const member = await startMember({
      node: name,
      world: node.world,
      bind: { host, port: PORT },
      dataDir: DATA_DIR,
      settings: this.#settings,
      addressOf: (peer) => ({ host: this.#hosts.get(peer) ?? "", port: PORT }),
      onSend: (message) => {
        const image = node.disk.raftImage(DATA_DIR);
        const why = image && unkept(message, image);
        if (why) this.broken.push(`${message.type} of ${name}: ${why}`);
      },
      ...more,
    });
    if (node.alive) this.#members.set(name, member);
    return member;
  }

  /** All of them, as voters of one group. */
  async found(voters: readonly string[] = this.names): Promise<void> {
    for (const name of voters) await (await this.start(name)).host.found(voters, utf8("first"), INSTANCE);
  }

  crash(name: string): void {
    this.nodes.get(name)?.crash();
    this.#members.delete(name);
  }

  /** The one that leads and that most follow. */
  leader(): string | null {
    const leads = [...this.#members].filter(([, { host }]) => host.status().role === "leader");
    const byTerm = leads.sort(([, a], [, b]) => b.host.status().term - a.host.status().term);
    return byTerm[0]?.[0] ?? null;
  }

  async elected(withinMs = 10_000): Promise<string> {
    const agreed = (): boolean => {
      const name = this.leader();
      if (name === null) return false;
      const followers = this.running().filter(({ host }) => host.status().leader === name);
      return followers.length === this.#members.size;
    };
    await this.kernel.until(agreed, withinMs, "a leader");
    return present(this.leader(), "there is one");
  }

  /** Proposes until it is taken. */
  async say(name: string, word: string, timeoutMs = TIMEOUT_MS): Promise<number> {
    for (;;) {
      try {
        return (await this.at(name).host.propose(utf8(word), timeoutMs)).index;
      } catch (error) {
        if (!(error instanceof RaftRefusal) || error.retryAfterMs === null) throw error;
        await this.kernel.sleep(50);
      }
    }
  }

  /** All that run have applied as much as the one that has most. */
  async level(withinMs = 20_000): Promise<void> {
    const isLevel = (): boolean => {
      const [first, ...others] = this.running().map(({ host }) => host.status());
      return (
        first !== undefined &&
        first.leader !== null &&
        [first, ...others].every(
          ({ leader, indexes }) =>
            leader === first.leader &&
            indexes.applied === first.indexes.applied &&
            indexes.last === first.indexes.applied,
        )
      );
    };
    await this.kernel.until(isLevel, withinMs, "all have the same");
  }
}

/** What a message promises that is not on the sender's disk; null when all is. A restart would take it back. */
function unkept(message: Message, image: RaftImage): string | null {
  if (!("term" in message) || (message.type === "vote" && message.pre)) return null;
  const { state, load } = readRecords(image);
  if (!state || load.kind !== "whole") return "there is nothing on disk";
  // Who doesn't know that the last change but one is committed may count by a group that is two changes old.
  const changes = load.saved.entries.filter(({ payload }) => payload.kind === "change");
  const lastButOne = changes.at(-2)?.index ?? 0;
  if (lastButOne > state.hardState.committed)
    return `change ${lastButOne} is not known to be committed, and another follows`;
  const { hardState, lastIndex } = state;
  const isVote = message.type === "vote" || (message.type === "vote-reply" && message.granted && !message.pre);
  if (isVote && (hardState.term < message.term || (hardState.term === message.term && hardState.vote === null)))
    return `its vote in term ${message.term} is not on disk`;
  const isReply = message.type === "append-reply" || message.type === "heartbeat-reply";
  if (isReply && hardState.term < message.term) return `term ${message.term} is not on disk`;
  if (message.type === "append-reply" && message.accepted && lastIndex < message.index)
    return `entry ${message.index} is not on disk`;
  return null;
}

export const NAMES = ["n1", "n2", "n3"];

export async function withGroup(
  run: (group: SimGroup) => Promise<void>,
  seed = 1,
  settings: Partial<RaftSettings> = {},
): Promise<void> {
  const group = new SimGroup(seed, NAMES, settings);
  await group.run(() => run(group));
}

/** What a promise comes to, without waiting here for it. */
export function watch<T>(promise: Promise<T>): { value?: T; error?: unknown; done: boolean } {
  const seen: { value?: T; error?: unknown; done: boolean } = { done: false };
  promise.then(
    (value) => Object.assign(seen, { value, done: true }),
    (error: unknown) => Object.assign(seen, { error, done: true }),
  );
  return seen;
}
