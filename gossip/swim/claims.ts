import { type Endpoint, endpointKey, sameEndpoint } from "../wire/address.ts";
import type { Alive, Ping } from "../wire/messages.ts";
import type { SwimContext } from "./context.ts";

/** Claims examined at once; a further one is looked at when it is heard again. */
const CLAIMS_MAX = 64;
/** Addresses of our own earlier lives that stayed silent, so that each is asked once. */
const SILENT_MAX = 16;
/** A process that was paused may be there again later. Shorter: rumours of an earlier life cost more pings. */
const SILENT_MS = 5 * 60_000;

/** A later start of a known name at another address: each of the two addresses is asked whether it lives there. */
interface Claim {
  readonly alive: Alive;
  readonly kept: Endpoint;
  /** Sequence numbers of all pings sent for it. */
  readonly keptSeqs: Set<number>;
  readonly claimantSeqs: Set<number>;
  claimantAnswered: boolean;
  /** Told by an address that no member has: whom it names is asked once. */
  readonly byStranger: boolean;
  /** Judged; it keeps its place until it is due: so many claims a second, and no more timers than claims. */
  closed: boolean;
  asked: number;
  dueMs: number;
}

export type Verdict =
  /** The old address is silent and the new one answers. */
  | "taken-over"
  /** Both answer: the first stays. */
  | "both-alive"
  /** The new one doesn't answer: nothing changes. */
  | "unproven";

/** One name at two addresses (gossip.md, item 11). A pod that came back with a new address before its old self was
 *  found dead must be let in, a second process under a living member's name must not; which of the two it is shows who
 *  answers a ping that names it. Each address is asked twice, so that a lost packet rarely decides. */
export class Claims {
  readonly #context: SwimContext;
  readonly #onVerdict: (alive: Alive, kept: Endpoint, verdict: Verdict) => void;
  readonly #open = new Map<string, Claim>();
  readonly #silent = new Map<string, number>();

  constructor(context: SwimContext, onVerdict: (alive: Alive, kept: Endpoint, verdict: Verdict) => void) {
    this.#context = context;
    this.#onVerdict = onVerdict;
  }

  get size(): number {
    return this.#open.size;
  }

  /** @param kept where we hold the name to be: for our own name the *other* address, whose life would make us second */
  examine(alive: Alive, kept: Endpoint): void {
    if (this.#open.has(alive.node) || this.#open.size >= CLAIMS_MAX) return;
    const claim: Claim = {
      alive,
      kept,
      keptSeqs: new Set(),
      claimantSeqs: new Set(),
      claimantAnswered: false,
      byStranger: this.#context.fromStranger,
      closed: false,
      asked: 0,
      dueMs: 0,
    };
    if (this.#ask(claim)) this.#open.set(alive.node, claim);
  }

  /** An address of an earlier life of ours, asked before: nobody is there now. */
  wasSilent(address: Endpoint): boolean {
    const askedMs = this.#silent.get(endpointKey(address));
    return askedMs !== undefined && this.#context.nowMs - askedMs < SILENT_MS;
  }

  /** True when the ack belonged to a claim. */
  ack(seq: number, from: Endpoint): boolean {
    for (const claim of this.#open.values()) {
      if (claim.keptSeqs.has(seq)) {
        if (sameEndpoint(from, claim.kept) && !claim.closed) this.#close(claim, "both-alive");
        return true;
      }
      if (claim.claimantSeqs.has(seq)) {
        if (sameEndpoint(from, this.#context.contactOf(claim.alive))) claim.claimantAnswered = true;
        return true;
      }
    }
    return false;
  }

  /** True when a ping of our own reached ourselves: the other address leads here too, so it is no other life. */
  isOwnPing(ping: Ping): boolean {
    const { self } = this.#context;
    const claim = this.#open.get(self.name);
    if (!claim || ping.sourceNode !== self.name || !claim.keptSeqs.has(ping.seq)) return false;
    if (!claim.closed) this.#close(claim, "taken-over");
    return true;
  }

  timer(name: string): void {
    const claim = this.#open.get(name);
    if (!claim) return;
    if (this.#context.nowMs < claim.dueMs) this.#wait(claim);
    else if (claim.asked < 2 && !claim.closed) this.#ask(claim);
    else {
      if (!claim.closed)
        this.#close(claim, this.#aboutSelf(claim) || claim.claimantAnswered ? "taken-over" : "unproven");
      this.#open.delete(name);
      // Whoever answered under our own name hears that we live too.
      if (this.#context.isSecond && this.#aboutSelf(claim))
        this.#context.sendAlone(claim.kept, this.#context.aliveAboutSelf());
    }
  }

  postpone(byMs: number): void {
    for (const claim of this.#open.values()) claim.dueMs += byMs;
  }

  /** False when a stranger's packet was too short for the first question. */
  #ask(claim: Claim): boolean {
    const { nowMs, profile } = this.#context;
    const isFirst = claim.asked === 0;
    // Where somebody only says that we or a member are, nothing but pings is sent; on a stranger's word, one.
    const asksElsewhere = isFirst || !claim.byStranger;
    if (asksElsewhere || !this.#aboutSelf(claim)) {
      const isSent = this.#ping(claim, claim.kept, claim.keptSeqs);
      if (isFirst && !isSent) return false;
    }
    if (asksElsewhere && !this.#aboutSelf(claim) && !claim.claimantAnswered)
      this.#ping(claim, this.#context.contactOf(claim.alive), claim.claimantSeqs);
    claim.asked += 1;
    claim.dueMs = nowMs + profile.probeTimeoutMsMax / 2;
    this.#wait(claim);
    return true;
  }

  #ping(claim: Claim, to: Endpoint, seqs: Set<number>): boolean {
    const { name: sourceNode, address } = this.#context.self;
    const seq = this.#context.nextSeq();
    seqs.add(seq);
    const source = { sourceAddr: address.host, sourcePort: address.port, sourceNode };
    return this.#context.sendAlone(to, { type: "ping", seq, node: claim.alive.node, ...source });
  }

  #wait(claim: Claim): void {
    this.#context.setTimer({ kind: "claim", name: claim.alive.node }, claim.dueMs - this.#context.nowMs);
  }

  #aboutSelf(claim: Claim): boolean {
    return claim.alive.node === this.#context.self.name;
  }

  #close(claim: Claim, verdict: Verdict): void {
    claim.closed = true;
    const key = endpointKey(claim.kept);
    if (this.#aboutSelf(claim) && verdict !== "both-alive" && (this.#silent.has(key) || this.#silent.size < SILENT_MAX))
      this.#silent.set(key, this.#context.nowMs);
    this.#onVerdict(claim.alive, claim.kept, verdict);
  }
}
