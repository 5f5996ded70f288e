import type { Message } from "../../src/consensus/core/messages.ts";
import { RaftHost, type RaftHostOptions } from "../../src/consensus/driver/host.ts";
import { RaftLinks } from "../../src/consensus/driver/links.ts";
import { RAFT_SETTINGS, type RaftSettings } from "../../src/consensus/driver/settings.ts";
import type { Applied, StateMachine } from "../../src/consensus/driver/state-machine.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import { PeerDoor } from "../../src/peer/door.ts";
import { makeHello } from "../../src/peer/hello.ts";
import type { Address, Listener, World } from "../../src/world/world.ts";

/** What a group agrees on in these tests: a list of words. Its answer to a word is its place. */
export class Ledger implements StateMachine<number> {
  words: string[] = [];
  /** Of the last entry that it has. */
  index = 0;
  changes = 0;
  /** Called in the middle of `apply`. */
  onApply: (word: string) => void = () => {};

  apply({ index, data, change }: Applied): number {
    this.index = index;
    if (change) this.changes += 1;
    if (data.length === 0) return this.words.length;
    const word = fromUtf8(data);
    this.onApply(word);
    this.words.push(word);
    return this.words.length;
  }

  snapshot(): Uint8Array {
    return utf8(this.words.join("\n"));
  }

  check(): void {}

  restore(data: Uint8Array, index: number): void {
    this.words = data.length === 0 ? [] : fromUtf8(data).split("\n");
    this.index = index;
  }
}

/** Of a log that is made in a test. */
export const INSTANCE = "0123456789abcdef".repeat(2);

export interface MemberOptions {
  readonly node: string;
  readonly world: World;
  readonly bind: Address;
  readonly dataDir: string;
  readonly settings?: Partial<RaftSettings>;
  readonly salt?: string;
  readonly addressOf: (node: string) => Address | null;
  readonly allow?: (node: string) => boolean;
  readonly mayTakePart?: RaftHostOptions<number>["mayTakePart"];
  /** Sees each message before it goes. */
  readonly onSend?: (message: Message) => void;
}

/** A member as node.ts will have it: door, links, host and a state machine. */
export interface Member {
  readonly host: RaftHost<number>;
  readonly links: RaftLinks;
  readonly door: PeerDoor;
  readonly ledger: Ledger;
  readonly listener: Listener;
  readonly failures: string[];
  stop(): Promise<void>;
}

export async function startMember(options: MemberOptions): Promise<Member> {
  const { node, world, bind, dataDir, addressOf, allow = () => true } = options;
  const layout = { partitionBits: 6, leafBits: 10 };
  const cluster = { id: "c-1", salt: utf8(options.salt ?? "a salt of sixteen bytes or more") };
  const hello = makeHello({ cluster, node: { id: node, region: "eu" }, layout }, world.sha256);
  const door = new PeerDoor({ world, mine: hello, heartbeatMs: 1_000, attribute: () => {} });
  const ledger = new Ledger();
  const failures: string[] = [];
  const links: RaftLinks = new RaftLinks({
    world,
    hello,
    heartbeatMs: 1_000,
    door,
    addressOf,
    receive: (from, message) => {
      if (!member) throw new InputError("starting", "this node is starting");
      member.host.receive(from, message);
    },
    snapshotEnded: (to, arrived) => member?.host.snapshotEnded(to, arrived),
    broke: (peer) => member?.host.linkBroke(peer),
    epoch: () => 1,
    answer: (op) => Promise.reject(new InputError("unknown-op", `unknown request: ${op}`)),
  });
  let member: Member | undefined;
  const host = await RaftHost.open({
    world,
    identity: { cluster: cluster.id, node },
    store: await world.disk.openRaftStore(dataDir),
    machine: ledger,
    settings: { ...RAFT_SETTINGS, ...options.settings },
    send: (message) => {
      options.onSend?.(message);
      links.send(message);
    },
    allow,
    mayTakePart: options.mayTakePart ?? (() => true),
    onFailure: (reason) => failures.push(reason),
  });
  const listener = await world.network.listen(bind, (stream) => door.accept(stream));
  const stop = async (): Promise<void> => {
    links.stop();
    door.stop();
    await listener.close();
    await host.stop();
  };
  member = { host, links, door, ledger, listener, failures, stop };
  return member;
}
