import { InputError } from "../../src/kernel/assert.ts";
import { toBase64, toHex } from "../../src/kernel/bytes.ts";
import { type Endpoint, ipToBytes, ipToText } from "../wire/address.ts";
import type { Keyring } from "../wire/keyring.ts";
import { COMPOUND_PART_BYTES } from "../wire/packet.ts";
import {
  decodeKeyRequest,
  decodeKeyResponse,
  decodeSerf,
  encodeKeyRequest,
  encodeKeyResponse,
  encodeSerf,
  type JoinIntent,
  type KeyResponse,
  type LeaveIntent,
  namesOfFilter,
  QUERY_ACK,
  QUERY_NO_BROADCAST,
  type Query,
  type QueryResponse,
  type SerfMessage,
} from "../wire/serf.ts";
import type { SwimContext } from "./context.ts";
import type { MemberRecord } from "./member-table.ts";
import type { KeyOperation } from "./protocol.ts";
import type { Rumours } from "./rumours.ts";

/** Messages of serf's that wait to be passed on; more are not, and reach others another way or not at all. */
const QUEUED_MAX = 128;
/** How many events and queries are remembered, so that each is passed on once (serf's own buffers have 512). */
const SEEN_MAX = 1024;
/** Older than so many of its kind: passed on long ago (serf's buffer). */
const LTIME_WINDOW = 512;
/** Key queries of ours that wait for answers. */
const OPEN_MAX = 4;
/** serf's DefaultQueryTimeout is 16 gossip rounds per power of ten of the pool. */
const QUERY_ROUNDS = 16;
/** Members asked themselves when gossip seems not to have reached them. */
const ASKED_AGAIN_MAX = 256;
const KEY_QUERY = "_serf_";

/** Lamport's clock: a witnessed time is in the past. It comes to no end: messages tell times up to 2⁴⁸ (wire/serf.ts). */
class LamportClock {
  #time = 1;

  /** A time for something new. */
  next(): number {
    return this.#time++;
  }

  witness(time: number): void {
    if (time >= this.#time) this.#time = time + 1;
  }

  get time(): number {
    return this.#time;
  }
}

interface OpenKeyQuery {
  readonly id: number;
  readonly lTime: number;
  readonly answers: Map<string, KeyResponse>;
  readonly payload: Uint8Array;
  readonly halfMs: number;
  askedAgain: boolean;
}

/** What serf agents say on top of memberlist, as far as members of their pool need it: words about leaving (without
 *  them they count a leave as a failure), and queries that change the keyring of all members. Events and queries that
 *  are not ours are passed on, so that a pool of few agents and many of us loses none. */
export class SerfLayer {
  readonly #context: SwimContext;
  readonly #rumours: Rumours;
  readonly #keyring: Keyring | undefined;
  readonly #clock = new LamportClock();
  readonly #eventClock = new LamportClock();
  readonly #queryClock = new LamportClock();
  readonly #seen = new Set<string>();
  readonly #open = new Map<number, OpenKeyQuery>();

  constructor(context: SwimContext, rumours: Rumours) {
    this.#context = context;
    this.#rumours = rumours;
    this.#keyring = context.config.keyring;
  }

  /** @param authentic it came encrypted, from a holder of the keys */
  hear(payload: Uint8Array, authentic: boolean): void {
    const message = this.#decode(payload);
    if (!message) return;
    switch (message.type) {
      case "leave-intent":
        if (this.#intent(message)) this.#passOn(`leave ${message.node}`, payload);
        break;
      case "join-intent":
        if (this.#intent(message)) this.#passOn(`join ${message.node}`, payload);
        break;
      case "user-event":
        this.#eventClock.witness(message.lTime);
        if (this.#isNew("event", message.lTime, `${message.name} ${toHex(message.payload)}`, this.#eventClock))
          this.#passOn(`event ${toHex(payload)}`, payload);
        break;
      case "query":
        this.#query(message, payload, authentic);
        break;
      case "query-response":
        if (authentic) this.#answer(message);
        break;
      case "state": // comes on streams
        break;
    }
  }

  /** Whether anybody is here who isn't one of us: for them our leaving needs serf's word too. */
  get hasAgents(): boolean {
    return this.#context.table.findLive(({ meta }) => !meta.has("actor")) !== undefined;
  }

  /** Our word that we go. */
  announceLeave(): void {
    const { name } = this.#context.self;
    const intent: LeaveIntent = { type: "leave-intent", lTime: this.#clock.next(), node: name, prune: false };
    this.#passOn(`leave ${name}`, encodeSerf(intent));
  }

  /** For a push/pull of these rows; nothing where no agent could read it. */
  state(rows: readonly MemberRecord[]): Uint8Array {
    if (!this.hasAgents) return new Uint8Array(0);
    const statusLTimes = new Map<string, number>();
    const leftMembers: string[] = [];
    for (const { name, statusLTime, state } of rows) {
      if (statusLTime > 0) statusLTimes.set(name, statusLTime);
      if (state === "left") leftMembers.push(name);
    }
    const [lTime, eventLTime, queryLTime] = [this.#clock.time, this.#eventClock.time, this.#queryClock.time];
    return encodeSerf({ type: "state", lTime, eventLTime, queryLTime, statusLTimes, leftMembers });
  }

  merge(state: Uint8Array): void {
    const message = state.length === 0 ? undefined : this.#decode(state);
    if (message?.type !== "state") return;
    // Clocks are told as the next time that is free.
    this.#clock.witness(message.lTime - 1);
    this.#eventClock.witness(message.eventLTime - 1);
    this.#queryClock.witness(message.queryLTime - 1);
    const left = new Set(message.leftMembers);
    for (const [node, lTime] of message.statusLTimes)
      if (left.has(node)) this.#intent({ type: "leave-intent", lTime, node, prune: false });
      else this.#intent({ type: "join-intent", lTime, node });
  }

  /** Asks all members, ourselves included, to change their keyring or to tell it. The answer is a `key-report` effect.
   *  @param id the caller's, for the report */
  askKeys(id: number, operation: KeyOperation, key: Uint8Array): void {
    const { self, rng, profile, table } = this.#context;
    if (this.#open.size >= OPEN_MAX) {
      this.#context.emit({ kind: "key-report", id, members: 0, answers: new Map() });
      return;
    }
    const timeoutMs = QUERY_ROUNDS * profile.gossipIntervalMs * Math.ceil(Math.log10(table.poolSize + 1));
    const query: Query = {
      type: "query",
      lTime: this.#queryClock.next(),
      id: rng.u32(),
      addr: ipToBytes(self.address.host) ?? new Uint8Array(0),
      port: self.address.port,
      sourceNode: self.name,
      filters: [],
      flags: 0,
      relayFactor: 0,
      timeoutNs: timeoutMs * 1_000_000,
      name: `${KEY_QUERY}${operation}${operation === "list" ? "-keys" : "-key"}`,
      payload: encodeKeyRequest(key),
    };
    const payload = encodeSerf(query);
    const halfMs = timeoutMs / 2;
    this.#open.set(query.id, { id, lTime: query.lTime, answers: new Map(), payload, halfMs, askedAgain: false });
    this.#context.setTimer({ kind: "key-query", query: query.id }, halfMs);
    this.#isNew("query", query.lTime, String(query.id), this.#queryClock);
    this.#passOn(`query ${query.id}`, payload);
    // As serf does: `use` takes effect at once, and who asks for it encrypts already with that key.
    const mine = applyToKeyring(this.#keyring, operation, key);
    if (mine.ok && operation !== "list") this.#context.notify({ kind: "keys-changed", name: self.name });
    this.#collect(query.id, self.name, mine);
  }

  keyQueryTimer(query: number): void {
    const open = this.#open.get(query);
    if (!open) return;
    if (open.askedAgain) this.#report(query);
    else this.#askAgain(query, open);
  }

  /** Gossip reaches each member only very probably (one question in fifty missed one of six): who is silent at half-time
   *  is asked itself. Whoever has heard it before takes it for a repetition. */
  #askAgain(query: number, open: OpenKeyQuery): void {
    open.askedAgain = true;
    const isSilent = ({ name }: MemberRecord): boolean => !open.answers.has(name);
    for (const { contact } of this.#context.table.sampleLive(ASKED_AGAIN_MAX, isSilent))
      this.#context.sendAlone(contact, { type: "user", payload: open.payload });
    this.#context.setTimer({ kind: "key-query", query }, open.halfMs);
  }

  #decode(payload: Uint8Array): SerfMessage | undefined {
    try {
      return decodeSerf(payload);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#context.emit({ kind: "reject", reason: "bad-serf-message" });
      return undefined;
    }
  }

  /** True when it is news, to be passed on. */
  #intent({ type, node, lTime }: LeaveIntent | JoinIntent): boolean {
    this.#clock.witness(lTime);
    const { table, self, leaving } = this.#context;
    const record = table.get(node);
    if (!record || lTime <= record.statusLTime) return false;
    if (record === self && !leaving) {
      this.#sayWeAreHere(record);
      return false;
    }
    record.statusLTime = lTime;
    if (type === "leave-intent") this.#rumours.leaveIntended(record);
    else record.leaveIntended = false;
    return true;
  }

  /** An earlier life of ours left; this one is here. Whoever still hears that word must hear a later one. */
  #sayWeAreHere(self: MemberRecord): void {
    self.statusLTime = this.#clock.next();
    const intent: JoinIntent = { type: "join-intent", lTime: self.statusLTime, node: self.name };
    this.#passOn(`join ${self.name}`, encodeSerf(intent));
  }

  #query(query: Query, payload: Uint8Array, authentic: boolean): void {
    const operation = operationOf(query.name);
    // Passed on it would be encrypted by us, and look like a member's to all others.
    const isForged = operation !== undefined && this.#keyring !== undefined && !authentic;
    this.#queryClock.witness(query.lTime);
    if (!this.#isNew("query", query.lTime, String(query.id), this.#queryClock)) return;
    if (!isForged && (query.flags & QUERY_NO_BROADCAST) === 0) this.#passOn(`query ${query.id}`, payload);
    if (!this.#isForUs(query)) return;
    if ((query.flags & QUERY_ACK) !== 0) this.#respond(query, QUERY_ACK, new Uint8Array(0));
    if (!operation) return;
    const { self } = this.#context;
    const response = isForged ? REFUSED : this.#execute(operation, query);
    if (response.ok && operation !== "list") this.#context.notify({ kind: "keys-changed", name: self.name });
    this.#respond(query, 0, encodeKeyResponse(response));
  }

  #execute(operation: KeyOperation, query: Query): KeyResponse {
    try {
      return applyToKeyring(this.#keyring, operation, decodeKeyRequest(query.payload));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return failed(error.message);
    }
  }

  #isForUs({ filters }: Query): boolean {
    try {
      return filters.every((filter) => namesOfFilter(filter)?.includes(this.#context.self.name) === true);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      return false;
    }
  }

  /** Only to where a member is: a query must not send our answers anywhere else. */
  #respond(query: Query, flags: number, payload: Uint8Array): void {
    const { table, self } = this.#context;
    const host = ipToText(query.addr);
    const to: Endpoint | undefined = host === undefined ? undefined : { host, port: query.port };
    const asker = to && table.at(to);
    if (!asker) return;
    const { lTime, id } = query;
    const response: QueryResponse = { type: "query-response", lTime, id, from: self.name, flags, payload };
    this.#context.sendAlone(asker.contact, { type: "user", payload: encodeSerf(response) });
  }

  #answer({ id, lTime, from, flags, payload }: QueryResponse): void {
    const open = this.#open.get(id);
    if (!open || open.lTime !== lTime || (flags & QUERY_ACK) !== 0 || !this.#context.table.get(from)) return;
    try {
      this.#collect(id, from, decodeKeyResponse(payload));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#collect(id, from, failed(error.message));
    }
  }

  #collect(query: number, from: string, response: KeyResponse): void {
    const open = this.#open.get(query);
    if (!open) return;
    open.answers.set(from, response);
    if (open.answers.size >= this.#context.table.poolSize) this.#report(query);
  }

  #report(query: number): void {
    const open = this.#open.get(query);
    if (!open) return;
    this.#open.delete(query);
    const members = this.#context.table.poolSize;
    this.#context.emit({ kind: "key-report", id: open.id, members, answers: open.answers });
  }

  /** Remembers it. */
  #isNew(kind: string, lTime: number, id: string, clock: LamportClock): boolean {
    const mark = `${kind} ${lTime} ${id}`;
    if (this.#seen.has(mark) || lTime + LTIME_WINDOW < clock.time) return false;
    this.#seen.add(mark);
    for (const oldest of this.#seen) {
      if (this.#seen.size <= SEEN_MAX) break;
      this.#seen.delete(oldest);
    }
    return true;
  }

  #passOn(about: string, payload: Uint8Array): void {
    const { serfNews, config } = this.#context;
    // What fits no packet would wait for ever, and keep the rest waiting.
    if (payload.length + 1 + COMPOUND_PART_BYTES > config.packetBytes) {
      this.#context.emit({ kind: "reject", reason: "bad-serf-message" });
      return;
    }
    if (serfNews.size >= QUEUED_MAX && !serfNews.has(about)) {
      this.#context.emit({ kind: "reject", reason: "serf-queue-full" });
      return;
    }
    this.#context.tell(serfNews, about, { type: "user", payload });
  }
}

const OPERATIONS: readonly KeyOperation[] = ["install", "use", "remove", "list"];

function operationOf(name: string): KeyOperation | undefined {
  return OPERATIONS.find((one) => name === `${KEY_QUERY}${one}-key` || (one === "list" && name === "_serf_list-keys"));
}

function failed(message: string): KeyResponse {
  return { ok: false, message, keys: [], primaryKey: "" };
}

const REFUSED: KeyResponse = failed("the query was not encrypted: whoever has no key may not change keys");

function applyToKeyring(keyring: Keyring | undefined, operation: KeyOperation, key: Uint8Array): KeyResponse {
  if (!keyring) return failed("this member has no gossip keys: encryption is not enabled");
  try {
    if (operation === "install") keyring.install(key);
    else if (operation === "use") keyring.use(key);
    else if (operation === "remove") keyring.remove(key);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return failed(error.message);
  }
  if (operation !== "list") return { ok: true, message: "", keys: [], primaryKey: "" };
  const keys = keyring.keys.map(toBase64);
  return { ok: true, message: "", keys, primaryKey: keys[0] ?? "" };
}
