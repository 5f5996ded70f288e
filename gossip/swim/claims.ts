import { type Endpoint, endpointKey, sameEndpoint } from "../wire/address.ts";
import type { Alive, Ping } from "../wire/messages.ts";
import type { SwimContext } from "./context.ts";

/** Claims examined at once; a further one is looked at when it is heard again. */
const CLAIMS_MAX = 64;
/** Addresses of our own earlier lives that stayed silent, so that each is asked once. */
const SILENT_MAX = 16;

/** A later start of a known name at another address: each of the two addresses is asked whether it lives there. */
interface Claim {
  readonly alive: Alive;
  readonly kept: Endpoint;
  /** Sequence numbers of all pings sent for it. */
  readonly keptSeqs: Set<number>;
  readonly claimantSeqs: Set<number>;
  claimantAnswered: boolean;
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
  readonly #silent = new Set<string>();

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
      asked: 0,
      dueMs: 0,
    };
    this.#open.set(alive.node, claim);
    this.#ask(claim);
  }

  /** An address of an earlier life of ours, asked before: nobody is there now. */
  wasSilent(address: Endpoint): boolean {
    return this.#silent.has(endpointKey(address));
  }

  /** True when the ack belonged to a claim. */
  ack(seq: number, from: Endpoint): boolean {
    for (const [name, claim] of this.#open) {
      if (claim.keptSeqs.has(seq)) {
        if (sameEndpoint(from, claim.kept)) this.#close(name, claim, "both-alive");
        return true;
      }
      if (claim.claimantSeqs.has(seq)) {
        if (sameEndpoint(from, claim.alive.address)) claim.claimantAnswered = true;
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
    this.#close(self.name, claim, "taken-over");
    return true;
  }

  timer(name: string): void {
    const claim = this.#open.get(name);
    if (!claim) return;
    if (this.#context.nowMs < claim.dueMs) this.#wait(claim);
    else if (claim.asked < 2) this.#ask(claim);
    else this.#close(name, claim, this.#aboutSelf(claim) || claim.claimantAnswered ? "taken-over" : "unproven");
  }

  postpone(byMs: number): void {
    for (const claim of this.#open.values()) claim.dueMs += byMs;
  }

  #ask(claim: Claim): void {
    const context = this.#context;
    const { name: sourceNode, address } = context.self;
    const ping = (to: Endpoint, seqs: Set<number>): void => {
      const seq = context.nextSeq();
      seqs.add(seq);
      const source = { sourceAddr: address.host, sourcePort: address.port, sourceNode };
      const question = { type: "ping", seq, node: claim.alive.node, ...source } as const;
      // Of our own name the other one hears that we live too; where somebody only says a member is, nothing else is sent.
      if (this.#aboutSelf(claim)) context.send(to, [question]);
      else context.sendAlone(to, question);
    };
    ping(claim.kept, claim.keptSeqs);
    if (!this.#aboutSelf(claim) && !claim.claimantAnswered) ping(claim.alive.address, claim.claimantSeqs);
    claim.asked += 1;
    claim.dueMs = context.nowMs + context.profile.probeTimeoutMsMax / 2;
    this.#wait(claim);
  }

  #wait(claim: Claim): void {
    this.#context.setTimer({ kind: "claim", name: claim.alive.node }, claim.dueMs - this.#context.nowMs);
  }

  #aboutSelf(claim: Claim): boolean {
    return claim.alive.node === this.#context.self.name;
  }

  #close(name: string, claim: Claim, verdict: Verdict): void {
    this.#open.delete(name);
    if (this.#aboutSelf(claim) && verdict !== "both-alive" && this.#silent.size < SILENT_MAX)
      this.#silent.add(endpointKey(claim.kept));
    this.#onVerdict(claim.alive, claim.kept, verdict);
  }
}
