import type { DotKey } from "../../crdt/index.ts";
import { dotKey, parseDotKey } from "../../crdt/index.ts";
import type { Tokens } from "../../src/http/tokens.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { PartitionSeen } from "../../src/replication/api.ts";
import type { RowKey } from "../../src/storage/store.ts";
import type { History, Seen, WriteAttempt } from "./checkers/history.ts";
import { keyId } from "./checkers/history.ts";
import type { SimCluster } from "./cluster.ts";
import type { ClientResponse, PlainRequest } from "./http.ts";
import type { Hours } from "./plan.ts";
import type { HotKey, Intent } from "./workload.ts";
import { BUCKET, drawIntent, pick, put } from "./workload.ts";

export interface ClientOptions {
  readonly name: string;
  readonly cluster: SimCluster;
  readonly history: History;
  readonly tokens: Tokens;
  readonly keys: readonly HotKey[];
  readonly rng: Rng;
  /** Where it usually turns to. */
  readonly home: string;
  readonly habits: Habits;
  readonly hours: Hours;
}

/** How a client behaves; drawn for each seed. */
export interface Habits {
  readonly thinkMs: number;
  readonly timeoutMs: number;
  readonly readPercent: number;
  readonly contextPercent: number;
  readonly batchPercent: number;
  readonly resolvePercent: number;
  /** Requests to another node than the usual one. */
  readonly strayPercent: number;
  /** Carries its session token along. */
  readonly hasSession: boolean;
}

interface HeldContext {
  readonly token: string;
  readonly seen: Seen;
}

const MAX_RETRIES = 2;

/** A process that writes and reads at its node, or at another when there is no answer, and writes down what it did and
 *  was told. It knows nothing of nodes but what they answer. */
export class Client {
  readonly #o: ClientOptions;
  readonly #contexts = new Map<string, HeldContext>();
  #session: string | null = null;
  #opened: { readonly token: string; readonly seen: readonly PartitionSeen[] } | null = null;
  #count = 0;

  constructor(options: ClientOptions) {
    this.#o = options;
  }

  /** Goes on until then. */
  async run(untilMs: number): Promise<void> {
    const { cluster, rng, habits } = this.#o;
    while (cluster.kernel.nowMs < untilMs) {
      await cluster.kernel.sleep(this.#thinkMs(untilMs));
      const percent = rng.below(100);
      const key = pick(this.#o.keys, rng);
      if (percent < habits.readPercent) await this.#read(key);
      else if (percent < habits.readPercent + habits.batchPercent) await this.#batch();
      else if (percent < habits.readPercent + habits.batchPercent + habits.resolvePercent) await this.#resolve();
      else await this.#write(key);
    }
  }

  /** Cut short by the next rush hour. */
  #thinkMs(untilMs: number): number {
    const { cluster, rng, habits, hours } = this.#o;
    const { nowMs } = cluster.kernel;
    const thinkMs = 1 + rng.unit() * 2 * habits.thinkMs;
    const sinceMs = nowMs % hours.cycleMs;
    const { writes, reads } = this.#o.history;
    const isBehind = writes.length + reads.length < hours.operationsPerMs * nowMs;
    if (sinceMs < hours.rushMs || isBehind) return thinkMs;
    const idleMs = Math.min(thinkMs * hours.slack, hours.cycleMs - sinceMs + thinkMs);
    return Math.min(idleMs, Math.max(thinkMs, untilMs - nowMs));
  }

  #node(): string {
    const { cluster, rng, habits, home } = this.#o;
    return rng.below(100) < habits.strayPercent ? pick(cluster.names, rng) : home;
  }

  #tag(): string {
    this.#count += 1;
    return `${this.#o.name}.${this.#count}`;
  }

  #sent(): readonly PartitionSeen[] | null {
    return this.#session === null ? null : this.#openSession(this.#session);
  }

  /** Most tokens are opened again and again. */
  #openSession(token: string): readonly PartitionSeen[] {
    if (this.#opened?.token !== token) this.#opened = { token, seen: this.#o.tokens.openSession(token) };
    return this.#opened.seen;
  }

  #headers(): Record<string, string> {
    return this.#session === null ? {} : { "starling-session": this.#session };
  }

  async #request(node: string, request: PlainRequest): Promise<ClientResponse | null> {
    const { cluster, habits } = this.#o;
    const { region } = cluster.member(this.#o.home).spec;
    try {
      return await cluster.request(node, request, { from: region, timeoutMs: habits.timeoutMs });
    } catch {
      return null; // refused, reset or timed out: whether it happened is not known
    }
  }

  // ---- writing

  async #write(key: HotKey): Promise<void> {
    const intent = drawIntent(key, this.#tag(), this.#o.rng);
    let node = this.#node();
    for (let tries = 0; tries <= MAX_RETRIES; tries++) {
      const attempt = await this.#attempt(node, intent, this.#drawContext(key));
      if (attempt.outcome !== "unknown" || this.#o.rng.below(3) === 0) return;
      node = pick(this.#o.cluster.names, this.#o.rng);
    }
  }

  #drawContext(key: RowKey): HeldContext | null {
    const held = this.#contexts.get(keyId(key));
    return held && this.#o.rng.below(100) < this.#o.habits.contextPercent ? held : null;
  }

  async #attempt(node: string, intent: Intent, context: HeldContext | null): Promise<WriteAttempt> {
    const attempt = this.#begin(node, intent, context);
    const headers: Record<string, string> = { ...this.#headers(), "starling-reason": attempt.tag };
    if (context) headers["starling-context"] = context.token;
    const response = await this.#request(node, requestOf(intent, headers));
    if (!response) {
      attempt.outcome = "unknown";
      attempt.answer = "none";
      return attempt;
    }
    if (response.ok) {
      attempt.outcome = "acknowledged";
      attempt.answer = String(response.status);
      attempt.reply = this.#seen(attempt, response.headers.get("starling-context"), response);
      this.#keepSession(response);
    } else await this.#refused(attempt, response);
    return attempt;
  }

  #begin(node: string, { key, ops }: Intent, context: HeldContext | null, session = this.#sent()): WriteAttempt {
    const attempt: WriteAttempt = {
      tag: this.#tag(),
      client: this.#o.name,
      node,
      key,
      ops,
      context: context?.seen ?? null,
      session,
      sentMs: this.#o.cluster.kernel.nowMs,
      outcome: "pending",
      reply: null,
      answer: "",
    };
    this.#o.history.writes.push(attempt);
    return attempt;
  }

  async #refused(attempt: WriteAttempt, response: ClientResponse): Promise<void> {
    const { type } = (await response.json()) as { type: string };
    this.#judge(attempt, response.status, type);
    // What this session has seen may be lost with a disk: start over.
    if (type === "session-not-met") this.#session = null;
  }

  #judge(attempt: WriteAttempt, status: number, type: string): void {
    attempt.answer = `${status} ${type}`;
    attempt.outcome = type === "storage-failed" || status === 500 ? "unknown" : "refused";
  }

  #seen(
    { node, key, sentMs }: Pick<WriteAttempt, "node" | "key" | "sentMs">,
    context: string | null,
    response: ClientResponse,
  ): Seen {
    const token = response.headers.get("starling-session");
    const opened = context === null ? null : this.#o.tokens.openContext(key, context);
    const dots = opened && "dots" in opened ? new Set<DotKey>(opened.dots.map(dotKey)) : null;
    const session = token === null ? null : this.#openSession(token);
    const seen: Seen = { node, key, sentMs, doneMs: this.#o.cluster.kernel.nowMs, dots, session };
    // A context that lists no dots can't be followed: don't use it.
    if (context !== null && dots) this.#contexts.set(keyId(key), { token: context, seen });
    return seen;
  }

  #keepSession(response: ClientResponse): void {
    const token = response.headers.get("starling-session");
    if (token !== null && this.#o.habits.hasSession) this.#session = token;
  }

  async #batch(): Promise<void> {
    const { rng, keys } = this.#o;
    const node = this.#node();
    const drawn = Array.from({ length: 2 + rng.below(4) }, () => {
      const intent = drawIntent(pick(keys, rng), this.#tag(), rng);
      const context = this.#drawContext(intent.key);
      return { intent, context, attempt: this.#begin(node, intent, context) };
    });
    const items = drawn.map(({ intent, context, attempt }) => ({
      ...itemOf(intent),
      reason: attempt.tag,
      ...(context && { context: context.token }),
    }));
    const headers = { ...this.#headers(), "content-type": "application/json" };
    const response = await this.#request(node, {
      method: "POST",
      path: "/v1/batch",
      headers,
      body: JSON.stringify({ items }),
    });
    if (!response?.ok) {
      for (const { attempt } of drawn)
        if (response) await this.#refused(attempt, response);
        else Object.assign(attempt, { outcome: "unknown", answer: "none" });
      return;
    }
    const { results } = (await response.json()) as { results: BatchResult[] };
    for (const [i, { attempt }] of drawn.entries()) {
      const result = results[i];
      if (result?.problem) this.#judge(attempt, result.status, result.problem.type);
      else {
        attempt.outcome = "acknowledged";
        attempt.answer = String(result?.status);
        attempt.reply = this.#seen(attempt, result?.context ?? null, response);
      }
    }
    this.#keepSession(response);
  }

  /** Settles a conflict of a register as an operator would: looks at the list, chooses one of the values. */
  async #resolve(): Promise<void> {
    const { cluster, rng } = this.#o;
    const node = this.#node();
    const sentMs = cluster.kernel.nowMs;
    const listed = await this.#request(node, { method: "GET", path: `/v1/conflicts?bucket=${BUCKET}` });
    if (!listed?.ok) return;
    const { conflicts } = (await listed.json()) as { conflicts: ListedConflict[] };
    const open = conflicts.flatMap((conflict) => {
      const [place, ...more] = conflict.places;
      return place && more.length === 0 && place.path.length === 0 && place.kind === "siblings"
        ? [{ conflict, place }]
        : [];
    });
    if (open.length === 0) return;
    const { conflict, place } = pick(open, rng);
    const key: HotKey = { bucket: BUCKET, key: conflict.key, kind: "register" };
    const sibling = pick(place.siblings, rng);
    const dots = new Set(place.siblings.flatMap((one) => one.dots.map(({ dot }) => dotKey(parseDotKey(dot)))));
    const seen: Seen = { node, key, sentMs, doneMs: cluster.kernel.nowMs, dots, session: null };
    const [chosen] = sibling.dots;
    if (!chosen) return;
    const attempt = this.#begin(node, put(key, sibling.value), { token: "", seen }, null);
    const response = await this.#request(node, {
      method: "POST",
      path: `/v1/conflicts/${conflict.id}/resolve`,
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ choose: chosen.dot, reason: attempt.tag }),
    });
    if (!response) Object.assign(attempt, { outcome: "unknown", answer: "none" });
    else if (response.ok) {
      attempt.outcome = "acknowledged";
      attempt.answer = "resolved";
      attempt.reply = this.#seen(attempt, response.headers.get("starling-context"), response);
    } else await this.#refused(attempt, response);
  }

  // ---- reading

  async #read(key: HotKey): Promise<void> {
    const { cluster, history, rng, name } = this.#o;
    const level = this.#session !== null && rng.below(2) === 0 ? "session" : "node";
    const node = this.#node();
    const session = this.#sent();
    const sentMs = cluster.kernel.nowMs;
    const response = await this.#request(node, {
      method: "GET",
      path: `/v1/kv/${key.bucket}/${key.key}?r=${level}&timeoutMs=${200 + rng.below(1_500)}`,
      headers: this.#headers(),
    });
    if (!response) return;
    const isAbsent = response.status === 404;
    if (!response.ok && !isAbsent) {
      const { type } = (await response.json()) as { type: string };
      if (type === "session-not-met") this.#session = null;
      return;
    }
    const reply = this.#seen({ node, key, sentMs }, response.headers.get("starling-context"), response);
    history.reads.push({ client: name, level, session, reply });
    this.#keepSession(response);
  }
}

interface BatchResult {
  readonly status: number;
  readonly context?: string;
  readonly problem?: { readonly type: string };
}

interface ListedConflict {
  readonly id: string;
  readonly key: string;
  readonly places: readonly {
    readonly path: readonly string[];
    readonly kind: string;
    readonly siblings: readonly { readonly value: unknown; readonly dots: readonly { readonly dot: string }[] }[];
  }[];
}

function requestOf({ key, wire }: Intent, headers: Record<string, string>): PlainRequest {
  const path = `/v1/kv/${key.bucket}/${key.key}`;
  const json = { ...headers, "content-type": "application/json" };
  switch (wire.call) {
    case "put":
      return { method: "PUT", path, headers: json, body: JSON.stringify(wire.value) };
    case "delete":
      return { method: "DELETE", path, headers };
    case "ops":
      return {
        method: "POST",
        path: `/v1/ops/${key.bucket}/${key.key}`,
        headers: json,
        body: JSON.stringify({ ops: wire.ops }),
      };
  }
}

function itemOf({ key: { bucket, key }, wire }: Intent): Record<string, unknown> {
  switch (wire.call) {
    case "put":
      return { action: "put", bucket, key, value: wire.value };
    case "delete":
      return { action: "delete", bucket, key };
    case "ops":
      return { action: "ops", bucket, key, ops: wire.ops };
  }
}
