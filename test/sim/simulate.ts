import { PROFILES } from "../../gossip/index.ts";
import { Tokens } from "../../src/http/tokens.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import type { Explained, FinalNode } from "./checkers/final.ts";
import { checkFinal } from "./checkers/final.ts";
import type { History, KeyId, Violation } from "./checkers/history.ts";
import { keyId, Violations } from "./checkers/history.ts";
import { Ledger } from "./checkers/ledger.ts";
import { Observer } from "./checkers/observer.ts";
import { checkReads } from "./checkers/reads.ts";
import { checkSessions } from "./checkers/sessions.ts";
import { checkSums, checkValues } from "./checkers/values.ts";
import { checkWrites } from "./checkers/writes.ts";
import { Client } from "./client.ts";
import { SimCluster } from "./cluster.ts";
import { Trouble } from "./faults.ts";
import { SEGMENT_MS_MAX } from "./links.ts";
import type { Plan, PlanOptions } from "./plan.ts";
import { drawPlan } from "./plan.ts";
import { commandOf } from "./shrink.ts";
import type { TraceEvent } from "./trace.ts";
import { BUCKET } from "./workload.ts";

export interface SimResult {
  readonly seed: number;
  readonly ok: boolean;
  readonly traceHash: string;
  readonly events: number;
  readonly virtualMs: number;
  /** Requests of clients. */
  readonly operations: number;
  readonly violations: readonly Violation[];
  /** For people: what was broken, how to replay it, the last events per node. */
  readonly report: () => string;
  readonly plan: Plan;
}

/** All nodes must be up, equal and quiet within this time after faults ended, and what it takes to notice a dead link
 *  and to pull what was missing in two rounds. */
const SETTLE_MS = 60_000;

/** One seed: a cluster, clients and faults as it draws them, then all checks. Never rejects. */
export async function simulate(options: PlanOptions, onEvent?: (event: TraceEvent) => void): Promise<SimResult> {
  const run = new Run(drawPlan(options), onEvent);
  await run.go();
  return run.result(options);
}

class Run {
  readonly #plan: Plan;
  readonly #violations = new Violations();
  readonly #history: History = { writes: [], reads: [] };
  readonly #cluster: SimCluster;
  readonly #ledger: Ledger;
  readonly #observer: Observer;

  constructor(plan: Plan, onEvent: ((event: TraceEvent) => void) | undefined) {
    this.#plan = plan;
    this.#ledger = new Ledger(this.#violations, () => this.#cluster.kernel.nowMs, plan.layout);
    this.#cluster = new SimCluster({
      seed: plan.seed,
      nodes: plan.nodes,
      observer: this.#ledger,
      tuning: () => ({ layout: plan.layout, heartbeatMs: plan.pace.heartbeatMs }),
      config: (config) => ({
        ...config,
        gossip: { ...config.gossip, profile: PROFILES[plan.pace.gossip] },
        replication: { ...config.replication, syncIntervalMs: plan.pace.syncIntervalMs, historyMs: plan.historyMs },
        limits: { ...config.limits, queuedWrites: plan.queuedWrites, cacheBytes: plan.cacheBytes },
      }),
    });
    this.#violations.onAdd = ({ invariant, text }) => this.#cluster.kernel.note("violation", `${invariant}: ${text}`);
    if (onEvent) this.#cluster.kernel.onEvent = onEvent;
    // Beside queued writes: per peer 32 frames under way and a few requests, and the node's own work.
    const queueDepth = plan.queuedWrites + 40 * plan.nodes.length;
    this.#observer = new Observer(this.#ledger, this.#violations, { queueDepth, earlyEntries: 64 * 1_024 });
  }

  async go(): Promise<void> {
    try {
      await this.#cluster.kernel.run(() => this.#body());
    } catch (error) {
      this.#violations.add("runs to its end", error instanceof Error ? error.message : String(error));
    }
    checkWrites(this.#history, this.#ledger, this.#violations);
    checkReads(this.#history, this.#ledger, this.#violations);
    checkSessions(this.#history, this.#ledger, this.#violations);
  }

  async #body(): Promise<void> {
    const { kernel } = this.#cluster;
    const rng = seededRng(this.#plan.seed + 0x5eed);
    const trouble = new Trouble(this.#cluster, this.#ledger, rng.fork());
    this.#cluster.onNodeFailed = (name, reason) => {
      if (!trouble.mayStop(name)) this.#violations.add("nodes go on", `${name} stopped by itself: ${reason}`);
      void trouble.revive(name);
    };
    await this.#cluster.startAll();
    trouble.start(this.#plan);
    const untilMs = kernel.nowMs + this.#plan.busyMs;
    let busy = this.#plan.clients.length;
    for (const client of this.#clients(rng)) void client.run(untilMs).then(() => busy--);
    while (busy > 0) {
      await kernel.sleep(this.#plan.observeEveryMs);
      this.#observe();
    }
    await trouble.end();
    await this.#settle();
  }

  #clients(rng: ReturnType<typeof seededRng>): Client[] {
    const cluster = this.#cluster;
    const { keys, hours } = this.#plan;
    const config = cluster.config(cluster.names[0] ?? "");
    const tokens = new Tokens({ sha256: cluster.sha256, salt: config.cluster.salt, clusterId: config.cluster.id });
    return this.#plan.clients.map(
      ({ home, habits }, i) =>
        new Client({
          name: `c${i}`,
          cluster,
          history: this.#history,
          tokens,
          keys,
          rng: rng.fork(),
          home,
          habits,
          hours,
        }),
    );
  }

  #observe(): void {
    for (const { spec, running } of this.#cluster.members.values())
      if (running) this.#observer.look(spec.name, running.replica.status());
  }

  /** A write that its client gave up may still be on its way, as long as the worst of segments: it is not for the end to
   *  overtake it. */
  async #lateRequests(): Promise<void> {
    const { kernel } = this.#cluster;
    const sentMs = this.#history.writes.filter(({ outcome }) => outcome === "unknown").map((write) => write.sentMs);
    const restMs = Math.max(0, ...sentMs.map((ms) => ms + SEGMENT_MS_MAX - kernel.nowMs));
    if (restMs > 0) await kernel.sleep(restMs);
  }

  /** Faults are over: everything must come to rest. */
  async #settle(): Promise<void> {
    const { names, kernel } = this.#cluster;
    for (const name of names) if (!this.#cluster.isAlive(name)) this.#cluster.start(name);
    await this.#lateRequests();
    try {
      await this.#cluster.converged(this.#settleMs(), this.#ledger.orphans());
    } catch (error) {
      this.#violations.add("convergence", error instanceof Error ? error.message : String(error));
      return;
    }
    await this.#checkLogs();
    await kernel.sleep(1_000);
    this.#observe();
    const finals = await Promise.all(names.map((name) => this.#finalOf(name)));
    const isLost = (tag: string): boolean => this.#ledger.byTag.get(tag)?.every(({ lost }) => lost) ?? false;
    checkFinal(finals, this.#ledger, this.#violations);
    checkValues(finals, this.#history, this.#ledger, this.#violations);
    checkSums(finals, this.#history, isLost, this.#violations);
    for (const name of names) this.#checkJournal(name);
  }

  #settleMs(): number {
    const { heartbeatMs, syncIntervalMs } = this.#plan.pace;
    return SETTLE_MS + 6 * heartbeatMs + 3 * syncIntervalMs;
  }

  /** With a short history, all logs must become empty; unless something is lost that they wait for. */
  async #checkLogs(): Promise<void> {
    const { names } = this.#cluster;
    const { historyMs } = this.#plan;
    if (historyMs > 60_000 || [...this.#ledger.written.values()].some(({ lost }) => lost)) return;
    const records = (): number[] => names.map((name) => this.#ledger.disk(name).positions.size);
    try {
      await this.#cluster.until(
        () => records().every((count) => count === 0),
        historyMs + this.#settleMs(),
        "logs are cut",
      );
    } catch {
      this.#violations.add("logs can be cut", `records left: ${records()}`);
    }
  }

  #checkJournal(name: string): void {
    const kept = new Set(this.#cluster.image(name)?.journal.map(({ seq }) => seq));
    for (const seq of this.#ledger.disk(name).journalSeqs)
      if (!kept.has(seq)) this.#violations.add("journal is complete", `${name} lost record ${seq}`);
  }

  async #finalOf(name: string): Promise<FinalNode> {
    const get = (path: string): Promise<unknown> => this.#cluster.getJson(name, path);
    const sync = (await get("/cluster/sync/status")) as Pick<
      FinalNode,
      "digest" | "records" | "earlyEntries" | "queuedWrites"
    >;
    const listing = (await get(`/v1/kv/${BUCKET}?values&limit=1000`)) as {
      items: { key: string; value: unknown; conflict?: string }[];
    };
    const { conflicts } = (await get("/v1/conflicts?limit=1000")) as {
      conflicts: { id: string; bucket: string; key: string }[];
    };
    const explained = new Map<KeyId, Explained>();
    await Promise.all(
      this.#plan.keys.map(async (key) =>
        explained.set(keyId(key), (await get(`/v1/explain/${key.bucket}/${key.key}`)) as Explained),
      ),
    );
    return {
      name,
      digest: sync.digest,
      records: sync.records,
      earlyEntries: sync.earlyEntries,
      queuedWrites: sync.queuedWrites,
      explained,
      conflicts: new Map(conflicts.map(({ id, ...key }) => [keyId(key), id])),
      listed: new Map(
        listing.items.map(({ key, value, conflict }) => [
          keyId({ bucket: BUCKET, key }),
          { value, conflict: conflict ?? null },
        ]),
      ),
    };
  }

  result(options: PlanOptions): SimResult {
    const { kernel } = this.#cluster;
    const { list, count } = this.#violations;
    return {
      seed: this.#plan.seed,
      ok: count === 0,
      traceHash: kernel.traceHash(),
      events: kernel.events,
      virtualMs: Math.round(kernel.nowMs),
      operations: this.#history.writes.length + this.#history.reads.length,
      violations: list,
      report: () => this.#report(options, list, count),
      plan: this.#plan,
    };
  }

  #report(options: PlanOptions, list: readonly Violation[], count: number): string {
    const { seed, nodes, faults, historyMs, pace } = this.#plan;
    return [
      `seed ${seed}: ${count} violations; replay with: ${commandOf(options)} --trace`,
      `${nodes.length} nodes, history ${historyMs} ms, sync every ${pace.syncIntervalMs} ms, faults ${[...faults.keys()].join(", ") || "none"}`,
      ...list.map(({ invariant, text }) => `- ${invariant}: ${text}`),
      this.#cluster.kernel.report(undefined, "the end"),
    ].join("\n");
  }
}
