import type { ReplicaStatus } from "../../../src/replication/api.ts";
import type { Violations } from "./history.ts";
import type { Ledger } from "./ledger.ts";

/** Bounds that a node states (I12), as the simulation configures them. */
export interface Bounds {
  /** Jobs that wait for the disk: writes, frames of peers, work of its own. */
  readonly queueDepth: number;
  readonly earlyEntries: number;
}

/** Looks at living nodes now and then: equal digests must mean equal live dots, at all times and on all nodes, and
 *  queues stay within their bounds. */
export class Observer {
  readonly #ledger: Ledger;
  readonly #violations: Violations;
  readonly #bounds: Bounds;
  readonly #dotsOf = new Map<string, string>();
  readonly #digestOf = new Map<string, string>();

  constructor(ledger: Ledger, violations: Violations, bounds: Bounds) {
    this.#ledger = ledger;
    this.#violations = violations;
    this.#bounds = bounds;
  }

  look(node: string, status: ReplicaStatus): void {
    if (status.queueDepth > this.#bounds.queueDepth || status.earlyEntries > this.#bounds.earlyEntries)
      this.#violations.add("bounded", `${node}: ${status.queueDepth} jobs, ${status.earlyEntries} early entries`);
    const disk = this.#ledger.disk(node);
    if (disk.isCommitting || status.failed !== undefined) return; // what it says and what it holds differ just now
    const live = new Map<number, string[]>();
    for (const [id, row] of disk.rows) {
      const partition = this.#ledger.byKey.get(id)?.[0]?.partition;
      if (partition === undefined || row.cells.size === 0) continue;
      const dots = live.get(partition) ?? [];
      for (const dot of row.cells.keys()) dots.push(`${id} ${dot}`);
      live.set(partition, dots);
    }
    const damaged = new Set([...disk.damaged].map((id) => this.#ledger.byKey.get(id)?.[0]?.partition));
    for (const { partition, digest } of status.partitions) {
      if (damaged.has(partition)) continue; // its sums still count what it had
      const dots = `${partition}: ${(live.get(partition) ?? []).sort().join()}`;
      this.#pair(this.#dotsOf, `${partition}: ${digest}`, dots, `${node} has a digest of other dots`);
      this.#pair(this.#digestOf, dots, `${partition}: ${digest}`, `${node} has another digest of the same dots`);
    }
  }

  #pair(map: Map<string, string>, from: string, to: string, what: string): void {
    const known = map.get(from);
    if (known === undefined) map.set(from, to);
    else if (known !== to)
      this.#violations.add("same dots, same digest", `${what}: ${from} is ${to}, and was ${known}`);
  }
}
