import { equalBytes } from "../../src/kernel/bytes.ts";
import { type Endpoint, sameEndpoint } from "../wire/address.ts";
import type { Alive, Dead, Message, NodeState, Suspect } from "../wire/messages.ts";
import { decodeTags } from "../wire/tags.ts";
import { Claims, type Verdict } from "./claims.ts";
import { aliveOf, type SwimContext, startOf, verdictOn } from "./context.ts";
import { isLive, type MemberRecord, memberOf } from "./member-table.ts";
import { INCARNATION_MAX } from "./profile.ts";
import { confirm, leftMs, newSuspicion, type Suspicion } from "./suspicion.ts";

/** What we know about a member is sent outside the queue at most this often, and a conflict about its name reported. */
const CORRECT_AGAIN_MS = 1000;
const CONFLICT_AGAIN_MS = 30_000;
/** For all members together: when a long cut heals, push/pull brings half the pool at once. */
const CORRECTIONS_PER_SECOND = 32;

/** What members say about members, and which saying wins (SWIM §4.2): a higher incarnation, and for equal ones
 *  left > dead > suspect > alive. Only the member itself raises its incarnation. */
export class Rumours {
  readonly claims: Claims;
  readonly #context: SwimContext;
  #correctionsSinceMs = Number.NEGATIVE_INFINITY;
  #corrections = 0;

  constructor(context: SwimContext) {
    this.#context = context;
    this.claims = new Claims(context, (alive, kept, verdict) => this.#judge(alive, kept, verdict));
  }

  alive(rumour: Alive): void {
    const { table, self } = this.#context;
    if (rumour.node === self.name) {
      this.#aliveAboutSelf(rumour);
      return;
    }
    const record = table.get(rumour.node);
    if (!record) this.#meet(rumour);
    // Equal incarnations: the accusation wins, otherwise a suspicion could be silenced by any member that repeats old
    // news, and a dead member revived by it.
    else if (rumour.incarnation <= record.incarnation) this.#correctTheGone(record, rumour);
    else if (isLive(record) && !sameEndpoint(record.address, rumour.address)) this.#otherAddress(record, rumour);
    else this.#revive(record, rumour);
  }

  /** @param from the member that repeats it, where one does */
  suspect(rumour: Suspect, from?: Endpoint): void {
    const record = this.#accusedBy(rumour, from);
    if (!record || !isLive(record)) return;
    if (record.suspicion && rumour.incarnation === record.incarnation) this.#confirm(record, record.suspicion, rumour);
    else this.#startSuspicion(record, rumour);
  }

  dead(rumour: Dead, from?: Endpoint): void {
    const record = this.#accusedBy(rumour, from);
    if (!record || record.state === "left") return;
    // Who said that it goes, and is silent now, has gone: its last word may have been lost.
    const left = rumour.from === rumour.node || record.leaveIntended;
    // A leave that comes after the failure it looked like is still believed: all members shall end with the same word.
    if (record.state === "dead" && !left) return;
    record.accusers = [...new Set([...(record.suspicion?.accusers ?? []), rumour.from])];
    if (!left) this.#context.counts.deaths += 1;
    record.suspicion = undefined;
    record.incarnation = rumour.incarnation;
    this.#context.table.setState(record, left ? "left" : "dead", this.#context.nowMs);
    this.#context.broadcast(rumour.node, rumour);
    if (left) this.#tellHost("member-left", record);
    else this.#tellHostWho("member-dead", record, rumour.from);
  }

  /** A member's word (or an operator's about a failed one) that it goes for good. */
  leaveIntended(record: MemberRecord): void {
    record.leaveIntended = true;
    if (record.state !== "dead") return;
    this.#context.table.setState(record, "left", this.#context.nowMs);
    this.#tellHost("member-left", record);
  }

  /** Tells an accuser that we live. A bounded number of them: the rest hears it by gossip. */
  defend(accuser: Endpoint): void {
    if (this.#mayCorrect()) this.#context.send(accuser, [this.#context.aliveAboutSelf()]);
  }

  /** A row of another's table. "Dead" is only taken as "suspect", so that a member who lives can still refute it. */
  row(node: NodeState): void {
    const { node: name, incarnation } = node;
    if (node.state === "alive") {
      this.alive({ type: "alive", node: name, incarnation, address: node.address, meta: node.meta, vsn: node.vsn });
    } else if (node.state === "left") this.dead({ type: "dead", node: name, incarnation, from: name });
    else this.suspect({ type: "suspect", node: name, incarnation, from: this.#context.self.name });
  }

  suspicionTimer(name: string): void {
    const record = this.#context.table.get(name);
    if (!record) return;
    record.suspicionTimer = undefined;
    if (!record.suspicion) return;
    if (leftMs(record.suspicion, this.#context.nowMs) > 0) this.#armSuspicion(record, record.suspicion);
    else this.dead({ type: "dead", node: name, incarnation: record.incarnation, from: this.#context.self.name });
  }

  /** Everyone under suspicion gets the time back in which we could not hear them. */
  postpone(byMs: number): void {
    for (const record of this.#context.table.records()) if (record.suspicion) record.suspicion.startMs += byMs;
    this.claims.postpone(byMs);
  }

  updateMeta(meta: Uint8Array): void {
    const { self, table } = this.#context;
    if (!table.setMeta(self, meta)) return;
    self.incarnation = raised(self.incarnation);
    if (!this.#context.leaving) this.#context.broadcast(self.name, this.#context.aliveAboutSelf());
    this.#tellHost("member-update", self);
  }

  #meet(rumour: Alive): void {
    const { table, config, nowMs } = this.#context;
    if (table.size >= config.membersMax) {
      this.#context.emit({ kind: "reject", reason: "table-full" });
      return;
    }
    const record = table.add({ ...rumour, name: rumour.node }, nowMs);
    this.#context.broadcast(rumour.node, rumour);
    this.#tellHost("member-up", record);
  }

  #revive(record: MemberRecord, rumour: Alive): void {
    const { table, nowMs } = this.#context;
    const before = record.state;
    record.suspicion = undefined;
    record.leaveIntended = false;
    record.incarnation = rumour.incarnation;
    record.vsn = rumour.vsn;
    const moved = !sameEndpoint(record.address, rumour.address);
    if (moved) table.setAddress(record, rumour.address);
    const changed = table.setMeta(record, rumour.meta) || moved;
    table.setState(record, "alive", nowMs);
    this.#context.broadcast(rumour.node, rumour);
    const wasLive = before === "alive" || before === "suspect";
    if (!wasLive) {
      record.directLoss = null;
      this.#tellHost("member-up", record);
    }
    if (before === "suspect") this.#tellHost("refuted", record);
    if (wasLive && changed) this.#tellHost("member-update", record);
  }

  #confirm(record: MemberRecord, suspicion: Suspicion, rumour: Suspect): void {
    const { table } = this.#context;
    // Made-up names, and the suspect itself, must not shorten its time.
    if (!table.get(rumour.from) || rumour.from === rumour.node || !confirm(suspicion, rumour.from)) return;
    this.#armSuspicion(record, suspicion);
    this.#context.broadcast(rumour.node, rumour);
  }

  /** A timer that is armed and fires earlier looks again then. Whoever accuses a member and clears it by turns, a hundred
   *  times in a packet, must not arm as many timers. */
  #armSuspicion(record: MemberRecord, suspicion: Suspicion): void {
    const { nowMs } = this.#context;
    const left = leftMs(suspicion, nowMs);
    const armed = record.suspicionTimer;
    if (armed && armed.dueMs <= nowMs + left) return;
    if (armed) this.#context.dropTimer(armed.token);
    const token = this.#context.setTimer({ kind: "suspicion", name: record.name }, left);
    record.suspicionTimer = { token, dueMs: nowMs + left };
  }

  /** Also for one who was suspected with a lower incarnation and has refuted that since: its time starts anew. */
  #startSuspicion(record: MemberRecord, rumour: Suspect): void {
    const { table, profile, nowMs } = this.#context;
    const wasAlive = record.state === "alive";
    record.incarnation = rumour.incarnation;
    table.setState(record, "suspect", nowMs);
    record.suspicion = newSuspicion(profile, table.poolSize, rumour.from, nowMs);
    this.#armSuspicion(record, record.suspicion);
    this.#context.broadcast(rumour.node, rumour);
    if (!wasAlive) return;
    this.#context.counts.suspicions += 1;
    this.#tellHostWho("member-suspect", record, rumour.from);
  }

  /** Whom an accusation is news about; ourselves we defend at once. It creates nobody: it doesn't even say where the
   *  accused would be. */
  #accusedBy(rumour: Suspect | Dead, from: Endpoint | undefined): MemberRecord | undefined {
    const { table, self } = this.#context;
    if (rumour.node === self.name) {
      this.#accused(rumour.incarnation);
      return undefined;
    }
    const record = table.get(rumour.node);
    if (!record || rumour.incarnation >= record.incarnation) return record;
    // Gossip reaches everyone only very probably. Who still repeats what was refuted has missed the refutation, and
    // would hold a living member for dead until the next push/pull.
    if (record.state === "alive" && from && !this.#context.fromStranger) this.#correct(record, from, aliveOf(record));
    return undefined;
  }

  #accused(incarnation: number): void {
    if (!this.#context.leaving && incarnation >= this.#context.self.incarnation) this.#refute(incarnation);
  }

  /** Not own + 1: an accusation that is ahead of us (an earlier life's, or our clock went back) would still win. */
  #refute(accusedIncarnation: number): void {
    const { self, awareness } = this.#context;
    awareness.change(1);
    this.#context.counts.refutations += 1;
    self.incarnation = raised(Math.max(self.incarnation, accusedIncarnation));
    this.#context.broadcast(self.name, this.#context.aliveAboutSelf());
    this.#tellHost("refuted", self);
  }

  #aliveAboutSelf(rumour: Alive): void {
    const { self, leaving } = this.#context;
    if (leaving) return;
    const ours = equalBytes(rumour.meta, self.metaBytes) && equalBytes(rumour.vsn, self.vsn);
    if (!sameEndpoint(rumour.address, self.address)) this.#aliveElsewhere(rumour);
    // With our incarnation but other metadata it is from an earlier life.
    else if (rumour.incarnation !== self.incarnation || !ours) this.#accused(rumour.incarnation);
  }

  /** Our name at another address: an earlier life of ours, one that is still alive there, or a later one. */
  #aliveElsewhere(rumour: Alive): void {
    const { self } = this.#context;
    const ours = startOf(self.meta);
    const theirs = startOf(decodeTags(rumour.meta));
    const contact = this.#context.contactOf(rumour);
    const examinable = ours !== undefined && theirs !== undefined && !this.claims.wasSilent(contact);
    if (examinable && theirs <= ours) {
      this.claims.examine(rumour, contact);
      return;
    }
    if (examinable) this.#conflict(self, rumour.address, "first");
    this.#accused(rumour.incarnation);
  }

  #otherAddress(record: MemberRecord, rumour: Alive): void {
    const known = startOf(record.meta);
    const claimed = startOf(decodeTags(rumour.meta));
    if (known !== undefined && claimed !== undefined && claimed > known) this.claims.examine(rumour, record.contact);
    else this.#conflict(record, rumour.address, "observer");
  }

  #judge(rumour: Alive, kept: Endpoint, verdict: Verdict): void {
    const { self, table } = this.#context;
    if (rumour.node === self.name) {
      this.#context.isSecond = verdict === "both-alive";
      if (this.#context.isSecond) this.#conflict(self, kept, "second");
      else this.#accused(rumour.incarnation);
      return;
    }
    const record = table.get(rumour.node);
    if (!record || rumour.incarnation <= record.incarnation) return;
    if (verdict === "taken-over") this.#revive(record, rumour);
    else if (verdict === "both-alive") this.#conflict(record, rumour.address, "observer");
  }

  #tellHost(kind: "member-up" | "member-update" | "member-left" | "refuted", record: MemberRecord): void {
    this.#context.notify({ kind, name: record.name, member: memberOf(record, this.#context.self.name) });
  }

  #tellHostWho(kind: "member-suspect" | "member-dead", record: MemberRecord, by: string): void {
    this.#context.notify({ kind, name: record.name, member: memberOf(record, this.#context.self.name), by });
  }

  #conflict(record: MemberRecord, other: Endpoint, role: "observer" | "first" | "second"): void {
    if (this.#context.nowMs - record.conflictMs < CONFLICT_AGAIN_MS) return;
    record.conflictMs = this.#context.nowMs;
    const [kept, refused] = role === "second" ? [other, record.address] : [record.address, other];
    this.#context.notify({ kind: "conflict", name: record.name, kept, refused, role });
  }

  /** Others hold alive whom we hold for gone: it may have come back with an incarnation below the one that we know,
   *  and only learns from us that it must raise it. */
  #correctTheGone(record: MemberRecord, rumour: Alive): void {
    if (!isLive(record))
      this.#correct(record, this.#context.contactOf(rumour), verdictOn(record, this.#context.self.name));
  }

  #correct(record: MemberRecord, to: Endpoint, message: Message): void {
    const { nowMs } = this.#context;
    if (nowMs - record.correctedMs < CORRECT_AGAIN_MS || !this.#mayCorrect()) return;
    record.correctedMs = nowMs;
    this.#context.sendAlone(to, message);
  }

  #mayCorrect(): boolean {
    const { nowMs } = this.#context;
    if (nowMs - this.#correctionsSinceMs >= 1000) {
      this.#correctionsSinceMs = nowMs;
      this.#corrections = 0;
    }
    this.#corrections += 1;
    return this.#corrections <= CORRECTIONS_PER_SECOND;
  }
}

/** At the field's end it stays there: Go would start over at zero, and be dead for ever. */
function raised(incarnation: number): number {
  return Math.min(INCARNATION_MAX, incarnation + 1);
}
