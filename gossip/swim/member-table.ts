import { assert } from "../../src/kernel/assert.ts";
import { equalBytes } from "../../src/kernel/bytes.ts";
import { type Rng, shuffle } from "../../src/kernel/rng.ts";
import { type Endpoint, endpointKey, sameEndpoint } from "../wire/address.ts";
import type { Coordinate } from "../wire/serf.ts";
import { decodeTags } from "../wire/tags.ts";
import { contactOf } from "./contact.ts";
import type { Member, MemberState, TimerToken } from "./protocol.ts";
import type { Suspicion } from "./suspicion.ts";

/** A member as the machine keeps it. Only MemberTable changes `state` and `address`: its indexes depend on them. */
export interface MemberRecord {
  readonly name: string;
  /** What all are told, and where we reach it: the same, but for members behind NAT. */
  address: Endpoint;
  contact: Endpoint;
  state: MemberState;
  stateChangedMs: number;
  incarnation: number;
  metaBytes: Uint8Array;
  meta: ReadonlyMap<string, string>;
  vsn: Uint8Array;
  rttMs: number | null;
  /** Where it said that it is. */
  coordinate: Coordinate | null;
  directLoss: number | null;
  suspicion: Suspicion | undefined;
  /** Who suspected it when it was taken for dead. */
  accusers: readonly string[];
  /** Our own last probe of it reached it in no way. */
  unreached: boolean;
  /** The one that looks after the suspicion next; it may outlive one that ended. */
  suspicionTimer: { readonly token: TimerToken; readonly dueMs: number } | undefined;
  /** When what we know about it was last sent outside the queue, and a conflict about its name last reported. */
  correctedMs: number;
  conflictMs: number;
  /** Serf's Lamport time of the last word about its joining or leaving, and whether that was that it goes. */
  statusLTime: number;
  leaveIntended: boolean;
  /** Its place in `#live` or `#dead`, -1 in neither. */
  index: number;
  /** It is somewhere in the probe order. */
  inProbeOrder: boolean;
}

export interface NewMember {
  readonly name: string;
  readonly address: Endpoint;
  readonly incarnation: number;
  readonly meta: Uint8Array;
  readonly vsn: Uint8Array;
}

/** All members we know, ourselves included, with what makes each step's cost independent of their number: live and dead
 *  ones in arrays to draw from, and the order of probing. */
export class MemberTable {
  readonly #rng: Rng;
  readonly #self: string;
  readonly #region: string | undefined;
  readonly #byName = new Map<string, MemberRecord>();
  readonly #byAddress = new Map<string, MemberRecord>();
  /** Alive and suspect ones but ourselves; failed ones. Those who left are in neither: nobody looks for a leaver. */
  readonly #live: MemberRecord[] = [];
  readonly #dead: MemberRecord[] = [];
  /** The dead by time of death, for gossip to them; some may have come back since. */
  #recentlyDead: MemberRecord[] = [];
  #probeOrder: MemberRecord[] = [];
  #probeAt = 0;

  /** @param region ours: members may have an address for it */
  constructor(self: string, region: string | undefined, rng: Rng) {
    this.#self = self;
    this.#region = region;
    this.#rng = rng;
  }

  get size(): number {
    return this.#byName.size;
  }

  /** Alive and suspect members, ourselves included: the N of all formulas. */
  get poolSize(): number {
    return this.#live.length + 1;
  }

  get liveCount(): number {
    return this.#live.length;
  }

  get deadCount(): number {
    return this.#dead.length;
  }

  /** Deaths that are still gossiped to the dead. */
  get deathCount(): number {
    return this.#recentlyDead.length;
  }

  get probeOrderSize(): number {
    return this.#probeOrder.length;
  }

  get(name: string): MemberRecord | undefined {
    return this.#byName.get(name);
  }

  at(address: Endpoint): MemberRecord | undefined {
    return this.#byAddress.get(endpointKey(address));
  }

  records(): IterableIterator<MemberRecord> {
    return this.#byName.values();
  }

  add(member: NewMember, nowMs: number): MemberRecord {
    assert(!this.#byName.has(member.name), "a name is added once");
    const meta = decodeTags(member.meta);
    const record: MemberRecord = {
      name: member.name,
      address: member.address,
      contact: contactOf(member.address, meta, this.#region),
      state: "alive",
      stateChangedMs: nowMs,
      incarnation: member.incarnation,
      metaBytes: member.meta,
      meta,
      vsn: member.vsn,
      rttMs: null,
      coordinate: null,
      directLoss: null,
      suspicion: undefined,
      accusers: [],
      unreached: false,
      suspicionTimer: undefined,
      correctedMs: Number.NEGATIVE_INFINITY,
      conflictMs: Number.NEGATIVE_INFINITY,
      statusLTime: 0,
      leaveIntended: false,
      index: -1,
      inProbeOrder: false,
    };
    this.#byName.set(member.name, record);
    this.#settle(record);
    if (member.name !== this.#self) this.#enter(record);
    return record;
  }

  setAddress(record: MemberRecord, address: Endpoint): void {
    this.#move(record, address, contactOf(address, record.meta, this.#region));
  }

  #move(record: MemberRecord, address: Endpoint, contact: Endpoint): void {
    this.#unsettle(record);
    record.address = address;
    record.contact = contact;
    record.rttMs = null;
    record.directLoss = null;
    this.#settle(record);
  }

  /** From now on it is who sends from where we reach it: whose address that was before is gone. What it tells others may
   *  be, behind another NAT, the address of somebody here. */
  #settle(record: MemberRecord): void {
    const told = this.at(record.address);
    if (!told || !isLive(told)) this.#byAddress.set(endpointKey(record.address), record);
    this.#byAddress.set(endpointKey(record.contact), record);
  }

  #unsettle(record: MemberRecord): void {
    for (const address of [record.address, record.contact])
      if (this.at(address) === record) this.#byAddress.delete(endpointKey(address));
  }

  /** Returns true when the metadata are others than before. */
  setMeta(record: MemberRecord, bytes: Uint8Array): boolean {
    if (equalBytes(record.metaBytes, bytes)) return false;
    record.metaBytes = bytes;
    record.meta = decodeTags(bytes);
    const contact = contactOf(record.address, record.meta, this.#region);
    if (!sameEndpoint(contact, record.contact)) this.#move(record, record.address, contact);
    return true;
  }

  setState(record: MemberRecord, state: MemberState, nowMs: number): void {
    if (record.state === state) return;
    const foreign = record.name !== this.#self;
    if (foreign) this.#exit(record);
    const comesBack = !isLive(record);
    record.state = state;
    record.stateChangedMs = nowMs;
    if (foreign) this.#enter(record);
    // Not from alive to suspect: who has its address since then would lose it.
    if (comesBack && isLive(record)) this.#settle(record);
  }

  /** The next member of the shuffled round robin, undefined when there is nobody to probe. */
  nextToProbe(): MemberRecord | undefined {
    for (let tries = 0; tries < 2; tries++) {
      while (this.#probeAt < this.#probeOrder.length) {
        const record = this.#probeOrder[this.#probeAt++] as MemberRecord;
        if (isLive(record)) return record;
      }
      this.#startRound();
    }
    return undefined;
  }

  /** Up to `count` different live members that are accepted, at random. */
  sampleLive(count: number, accept: (record: MemberRecord) => boolean): MemberRecord[] {
    return sample(this.#live.length, count, this.#rng, (at) => {
      const record = this.#live[at] as MemberRecord;
      return accept(record) ? record : undefined;
    });
  }

  /** Some live member that is accepted, if there is any. Each is as likely: the next one from a random place would
   *  mostly be the first of a region whose members joined together. */
  findLive(accept: (record: MemberRecord) => boolean): MemberRecord | undefined {
    const fitting = this.#live.filter(accept);
    return fitting[this.#rng.below(fitting.length)];
  }

  /** As `sampleLive`, from the live and from those who died since `diedSinceMs`. */
  sampleForGossip(count: number, diedSinceMs: number): MemberRecord[] {
    this.#forgetOldDeaths(diedSinceMs);
    const live = this.#live.length;
    return sample(live + this.#recentlyDead.length, count, this.#rng, (at) => {
      if (at < live) return this.#live[at];
      const record = this.#recentlyDead[at - live];
      return record?.state === "dead" ? record : undefined;
    });
  }

  anyDead(): MemberRecord | undefined {
    return this.#dead[this.#rng.below(this.#dead.length)];
  }

  /** Drops who has been dead or gone since before `sinceMs`; returns their names. */
  reclaim(sinceMs: number): string[] {
    const forgotten: string[] = [];
    for (const record of this.#byName.values()) {
      if (isLive(record) || record.stateChangedMs > sinceMs || record.name === this.#self) continue;
      this.#exit(record);
      this.#byName.delete(record.name);
      forgotten.push(record.name);
      this.#unsettle(record);
    }
    this.#forgetOldDeaths(sinceMs);
    return forgotten;
  }

  /** Into the array of its state; a live one also into the probe order, at a random place (so that two who know the
   *  same members don't probe a joiner at the same moments). */
  #enter(record: MemberRecord): void {
    const array = this.#arrayOf(record);
    if (array) record.index = array.push(record) - 1;
    if (record.state === "dead") this.#noteDeath(record);
    if (!isLive(record)) return;
    if (record.inProbeOrder) return;
    record.inProbeOrder = true;
    const at = this.#rng.below(this.#probeOrder.length + 1);
    this.#probeOrder.push(this.#probeOrder[at] ?? record);
    this.#probeOrder[at] = record;
  }

  /** Who dies again and again, by rumours that contradict each other, would stand there as often. */
  #noteDeath(record: MemberRecord): void {
    if (this.#recentlyDead.length > 2 * this.#byName.size) {
      const dead = this.#recentlyDead.filter((one) => one.state === "dead" && one !== record);
      this.#recentlyDead = [...new Set(dead)].sort((a, b) => a.stateChangedMs - b.stateChangedMs);
    }
    this.#recentlyDead.push(record);
  }

  #exit(record: MemberRecord): void {
    const array = this.#arrayOf(record);
    if (!array) return;
    const last = array.pop();
    if (last && last !== record) {
      array[record.index] = last;
      last.index = record.index;
    }
    record.index = -1;
  }

  #arrayOf(record: MemberRecord): MemberRecord[] | undefined {
    if (isLive(record)) return this.#live;
    return record.state === "dead" ? this.#dead : undefined;
  }

  #startRound(): void {
    for (const record of this.#probeOrder) record.inProbeOrder = isLive(record);
    this.#probeOrder = shuffle(
      this.#probeOrder.filter((record) => record.inProbeOrder),
      this.#rng,
    );
    this.#probeAt = 0;
  }

  #forgetOldDeaths(sinceMs: number): void {
    let old = 0;
    for (const record of this.#recentlyDead) {
      if (record.state === "dead" && record.stateChangedMs >= sinceMs) break;
      old += 1;
    }
    if (old > 0) this.#recentlyDead = this.#recentlyDead.slice(old);
  }
}

export function isLive(record: MemberRecord): boolean {
  return record.state === "alive" || record.state === "suspect";
}

export function memberOf(record: MemberRecord, self: string): Member {
  const { name, address, contact, meta, state, incarnation, stateChangedMs, rttMs, coordinate, directLoss } = record;
  const accusers = record.suspicion ? [...record.suspicion.accusers] : state === "dead" ? record.accusers : [];
  return {
    name,
    address,
    contact,
    meta,
    state,
    incarnation,
    stateChangedMs,
    rttMs,
    coordinate,
    directLoss,
    // What another's table says we repeat in our own name; we accuse only whom we did not reach ourselves.
    accusers: record.unreached ? accusers : accusers.filter((accuser) => accuser !== self),
  };
}

/** Small pools are shuffled whole, so that nobody is missed by chance; in large ones places are drawn until enough fit,
 *  at most eight times as often as wanted. */
function sample(
  size: number,
  count: number,
  rng: Rng,
  at: (index: number) => MemberRecord | undefined,
): MemberRecord[] {
  const chosen = new Set<MemberRecord>();
  const draw = (index: number): void => {
    const record = at(index);
    if (record && chosen.size < count) chosen.add(record);
  };
  if (size <= 8 * count)
    for (const index of shuffle(
      Array.from({ length: size }, (_, i) => i),
      rng,
    ))
      draw(index);
  else for (let tries = 0; tries < 8 * count && chosen.size < count; tries++) draw(rng.below(size));
  return [...chosen];
}
