import { InputError } from "../../kernel/assert.ts";
import { dial } from "../../peer/dial.ts";
import type { PeerDoor } from "../../peer/door.ts";
import { bytes, FRAME, type Hello, parseBody } from "../../peer/frames.ts";
import { type Link, LinkError } from "../../peer/link.ts";
import type { Address, World } from "../../world/world.ts";
import type { Message } from "../core/messages.ts";
import type { Id } from "../core/quorum.ts";
import { Asks, checkAnswer } from "./asks.ts";
import { encodeMessage } from "./wire.ts";

export interface RaftLinksOptions {
  readonly world: World;
  /** Who we are, as on all links of this node. */
  readonly hello: Omit<Hello, "traffic">;
  readonly heartbeatMs: number;
  /** Where others' links come in: `control` links are taken there from now on. */
  readonly door: PeerDoor;
  readonly addressOf: (node: Id) => Address | null;
  /** The cluster's incarnation, as this node knows it: Raft's messages of another one are refused. */
  readonly epoch: () => number;
  /** Takes what `from` sent. Throws InputError on what it doesn't take: the link is closed with that reason. */
  readonly receive: (from: Id, message: Uint8Array) => void;
  readonly snapshotEnded: (to: Id, arrived: boolean) => void;
  /** A link that was up broke, and not because we closed it. */
  readonly broke: (node: Id) => void;
  /** Answers what another node asks (`ask`), of whatever incarnation: who is behind must be able to learn that. A rejection is
   *  told to it as text. */
  readonly answer: (op: string, body: Uint8Array, caller: Hello) => Promise<Uint8Array>;
}

export interface RaftLinkStatus {
  readonly node: Id;
  readonly isUp: boolean;
  readonly rttMs: number | null;
  /** Messages that were not sent: no link, or one that takes no more. Raft repeats them. */
  readonly dropped: number;
  /** Why there is no link; null while there is one. */
  readonly reason: string | null;
}

/** A state may be many seconds on its way; what is longer than that is another network. */
const SNAPSHOT_TIMEOUT_MS = 30_000;
/** What waits for a link that is being opened: an election's messages to a peer. Older ones go first: they are stale soonest. */
const WAITING_MAX = 64;
const WAITING_BYTES_MAX = 4 * 2 ** 20;
/** Sent and not taken by the network yet; above this messages are dropped, as a network would. */
const QUEUED_BYTES_MAX = 4 * 2 ** 20;
const FIRST_RETRY_MS = 100;
/** Several heartbeats: to whom nothing is said for so long is no member of the group meanwhile. */
const SILENT_MS = 1_000;
const MAX_RETRY_MS = 1_500;
const REFUSED_RETRY_MS = 3_000;
/** A link that lived for less was taken and then closed for what was said on it. */
const STEADY_MS = 5_000;
const REOPENED = "another incarnation of the cluster began";

/** Raft's messages over links of their own (traffic class `control`). Each node sends on links that it opens itself, and opens
 *  them when it has something to send. Nothing is promised: what is lost, Raft repeats. What nodes ask each other besides
 *  (`ask`) has links of its own. */
export class RaftLinks {
  readonly #o: RaftLinksOptions;
  readonly #peers = new Map<Id, RaftPeer>();
  readonly #asks: Asks;
  #isStopped = false;

  constructor(options: RaftLinksOptions) {
    this.#o = options;
    this.#asks = new Asks(options);
    const note = (body: unknown, caller: Hello): void => {
      checkEpoch(caller, options.epoch());
      options.receive(caller.node, parseBody(bytes, body));
    };
    options.door.serve(["control"], {
      vectors: () => [],
      note,
      answer: async (op, body, caller) => {
        if (op !== "snapshot") return checkAnswer(op, await options.answer(op, parseBody(bytes, body), caller));
        note(body, caller);
        return null;
      },
    });
  }

  send(message: Message): void {
    if (this.#isStopped) return;
    let peer = this.#peers.get(message.to);
    if (!peer) {
      peer = new RaftPeer(message.to, this.#o);
      this.#peers.set(message.to, peer);
    }
    peer.send(message);
  }

  /** Asks any node, member or not, with bytes that are its and our own business; at most a frame (`ASK_BYTES_MAX`). Rejects with
   *  LinkError when there is no answer in time, or too much is asked of that node already; with InputError when it is too
   *  large. */
  ask(node: Id, op: string, body: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    if (this.#isStopped) return Promise.reject(new LinkError("this node is stopping"));
    return this.#asks.ask(node, op, body, timeoutMs);
  }

  /** Closes the links for Raft's messages: the next message opens one that tells the incarnation as it is now. */
  reopen(): void {
    for (const peer of this.#peers.values()) peer.reopen();
  }

  /** Closes the links to all but these nodes: the others are members no more. */
  keepOnly(nodes: ReadonlySet<Id>): void {
    for (const [node, peer] of this.#peers) {
      if (nodes.has(node)) continue;
      peer.stop("it is no member any more");
      this.#peers.delete(node);
    }
  }

  status(): RaftLinkStatus[] {
    return [...this.#peers.values()].map((peer) => peer.status());
  }

  stop(): void {
    this.#isStopped = true;
    for (const peer of this.#peers.values()) peer.stop("this node is stopping");
    this.#asks.stop("this node is stopping");
  }
}

function checkEpoch({ node, epoch }: Hello, mine: number): void {
  if (epoch !== mine)
    throw new InputError(
      "other-incarnation",
      `this node knows incarnation ${mine} of the cluster, and ${node} speaks for incarnation ${epoch}: whoever is behind takes ` +
        "no part until it has the newer state",
    );
}

/** What this node sends to one other. */
class RaftPeer {
  readonly #node: Id;
  readonly #o: RaftLinksOptions;
  #link: Link | null = null;
  #isDialing = false;
  #isStopped = false;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #waitedMs = 0;
  #retryMs = FIRST_RETRY_MS;
  #notBeforeMs = 0;
  #upSinceMs = 0;
  /** Of the last time that there was no link. */
  #reason = "nothing was sent yet";
  #dropped = 0;

  constructor(node: Id, options: RaftLinksOptions) {
    this.#node = node;
    this.#o = options;
  }

  send(message: Message): void {
    const encoded = encodeMessage(message);
    const link = this.#link;
    if (message.type === "snapshot") this.#sendSnapshot(encoded);
    else if (!link) this.#wait(encoded);
    else if (link.queuedBytes > QUEUED_BYTES_MAX) this.#dropped += 1;
    else link.send(FRAME.note, encoded);
    if (!link) this.#dial();
  }

  /** The core waits to hear what became of it; never within the call that sent it. */
  #sendSnapshot(encoded: Uint8Array): void {
    const asked = this.#link
      ? this.#link.request("snapshot", encoded, SNAPSHOT_TIMEOUT_MS)
      : Promise.reject(new LinkError("no link"));
    const ended = (arrived: boolean): void => {
      if (!arrived) this.#dropped += 1;
      this.#o.world.timers.soon(() => this.#isStopped || this.#o.snapshotEnded(this.#node, arrived));
    };
    asked.then(
      () => ended(true),
      (error: unknown) => {
        this.#o.world.log.warn("raft.snapshot-not-sent", { to: this.#node, reason: String(error) });
        ended(false);
      },
    );
  }

  #wait(encoded: Uint8Array): void {
    // Who left the group and was taken in again may have another log since: a heartbeat for the old one would tell it that its
    // new one has lost entries.
    const nowMs = this.#o.world.clock.monotonicMs();
    if (nowMs - this.#waitedMs >= SILENT_MS) {
      this.#dropped += this.#waiting.length;
      this.#forget();
    }
    this.#waitedMs = nowMs;
    this.#waiting.push(encoded);
    this.#waitingBytes += encoded.length;
    while (this.#waiting.length > WAITING_MAX || this.#waitingBytes > WAITING_BYTES_MAX) {
      this.#waitingBytes -= this.#waiting.shift()?.length ?? 0;
      this.#dropped += 1;
    }
  }

  #dial(): void {
    const { world, hello, heartbeatMs, addressOf } = this.#o;
    const epoch = this.#o.epoch();
    if (this.#isDialing || this.#isStopped || world.clock.monotonicMs() < this.#notBeforeMs) return;
    const address = addressOf(this.#node);
    if (!address) {
      this.#down("its peer address is not known yet", FIRST_RETRY_MS);
      return;
    }
    this.#isDialing = true;
    const dialing = dial({
      world,
      address,
      node: this.#node,
      hello: { ...hello, traffic: "control", epoch },
      heartbeatMs,
      handlers: {
        onClose: (reason, closed) => {
          if (this.#link === closed) this.#onClose(reason);
        },
      },
    });
    void dialing.then(
      ({ link }) => this.#up(link, epoch),
      (error: unknown) => {
        if (!(error instanceof LinkError || error instanceof InputError)) throw error;
        this.#isDialing = false;
        this.#down(error.message, error instanceof InputError ? REFUSED_RETRY_MS : this.#nextRetryMs());
      },
    );
  }

  #nextRetryMs(): number {
    this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 1.6);
    return this.#retryMs;
  }

  #onClose(reason: string): void {
    const livedMs = this.#o.world.clock.monotonicMs() - this.#upSinceMs;
    if (livedMs >= STEADY_MS) this.#retryMs = FIRST_RETRY_MS;
    this.#down(reason, this.#nextRetryMs());
    if (!this.#isStopped) this.#o.broke(this.#node);
  }

  #up(link: Link, epoch: number): void {
    this.#isDialing = false;
    if (this.#isStopped) {
      link.close("this node is stopping");
      return;
    }
    if (epoch !== this.#o.epoch()) {
      link.close(REOPENED);
      this.#downAtOnce();
      return;
    }
    if (link.isClosed) {
      this.#down("it closed at once", this.#nextRetryMs());
      return;
    }
    this.#link = link;
    this.#upSinceMs = this.#o.world.clock.monotonicMs();
    for (const encoded of this.#waiting) link.send(FRAME.note, encoded);
    this.#forget();
    this.#o.world.log.debug("raft.link-up", { peer: this.#node });
  }

  /** The next message that comes when the time is over dials again. */
  #down(reason: string, retryMs: number): void {
    const { world } = this.#o;
    this.#link = null;
    this.#dropped += this.#waiting.length;
    this.#forget();
    this.#notBeforeMs = world.clock.monotonicMs() + retryMs + world.rng.below(Math.ceil(retryMs / 2));
    if (this.#reason !== reason) world.log.warn("raft.link-down", { peer: this.#node, reason });
    this.#reason = reason;
  }

  reopen(): void {
    const link = this.#link;
    this.#downAtOnce();
    link?.close(REOPENED);
  }

  /** The next message dials, however the last link ended: that was another incarnation's. */
  #downAtOnce(): void {
    this.#down(REOPENED, FIRST_RETRY_MS);
    this.#retryMs = FIRST_RETRY_MS;
    this.#notBeforeMs = 0;
  }

  #forget(): void {
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  status(): RaftLinkStatus {
    const { rttMs = null } = this.#link ?? {};
    const isUp = this.#link !== null;
    return { node: this.#node, isUp, rttMs, dropped: this.#dropped, reason: isUp ? null : this.#reason };
  }

  stop(reason: string): void {
    this.#isStopped = true;
    this.#forget();
    this.#link?.close(reason);
  }
}
