import { InputError } from "../kernel/assert.ts";
import { DiskFullError } from "../storage/store.ts";
import { Unavailable } from "./api.ts";
import type { Batch } from "./batch.ts";
import { diskFull } from "./disk-room.ts";
import { type BatchJob, type Job, takeBatch } from "./jobs.ts";

/** What the loop has done with the jobs that it takes. */
export interface JobWork {
  /** An empty batch: on top of `under`, whose commit is under way, else on what is published. */
  begin(under: Batch | null): Batch;
  /** Applies jobs to a batch. Returns what answers each once the batch is durable. */
  plan(batch: Batch, jobs: readonly BatchJob[]): Promise<(() => void)[]>;
  /** Commits a batch and publishes it. Rejects with DiskFullError when nothing was written. */
  commit(batch: Batch): Promise<void>;
  /** At the end of this turn of the event loop. */
  soon(call: () => void): void;
  /** Nothing may be written any more (I13). */
  onFailure(reason: string): void;
}

/** A transaction as it forms. */
interface Forming {
  readonly batch: Batch;
  readonly jobs: BatchJob[];
  readonly answers: (() => void)[];
}

interface UnderWay {
  readonly batch: Batch;
  /** Why its jobs were refused; null when it is durable and published. Never rejects. */
  readonly ended: Promise<Refusal | null>;
  refusal: Refusal | null | undefined;
}

interface Refusal {
  readonly why: Unavailable;
  /** What stops the node; null when there was no room, and it goes on. */
  readonly failure: unknown;
}

/** Takes jobs in their order, one transaction at a time. While the store commits one, the next is planned on top of it:
 *  it goes to the store only when the first is durable and published, and is refused with it when it fails. Jobs that run
 *  alone wait until nothing is under way. */
export class JobLoop {
  readonly #work: JobWork;
  readonly #queue: Job[] = [];
  #running = false;
  #failed: string | null = null;
  #arrived: (() => void) | null = null;

  constructor(work: JobWork) {
    this.#work = work;
  }

  get failed(): string | null {
    return this.#failed;
  }

  /** Jobs that wait. */
  get depth(): number {
    return this.#queue.length;
  }

  push(job: Job): void {
    if (this.#failed !== null) {
      reject(job, new Unavailable("storage-failed", `this node stopped writing: ${this.#failed}`));
      return;
    }
    this.#queue.push(job);
    if (this.#running) {
      this.#tellArrival();
      return;
    }
    this.#running = true;
    // Writes that arrive in the same turn of the loop share one commit.
    this.#work.soon(() => void this.#run());
  }

  #tellArrival(): void {
    const arrived = this.#arrived;
    this.#arrived = null;
    if (arrived) this.#work.soon(arrived);
  }

  /** Takes no more jobs, those that wait included. */
  refuse(reason: string): void {
    this.#failed = reason;
    for (const job of this.#queue.splice(0)) reject(job, new Unavailable("storage-failed", reason));
  }

  async #run(): Promise<void> {
    try {
      // Asked again after each pause: jobs may have come in the moments since the last look.
      while (this.#queue.length > 0) await this.#runUntilPause();
    } catch (error) {
      // A failed commit, or an impossible state: nothing may be written after it (I13).
      const reason = error instanceof Error ? error.message : String(error);
      this.refuse(reason);
      this.#work.onFailure(reason);
    } finally {
      this.#running = false;
    }
  }

  async #runUntilPause(): Promise<void> {
    for (let forming = await this.#form(null); forming; ) {
      const under = this.#commit(forming);
      // Both end before anything else is done, however they end.
      const [next] = await Promise.allSettled([this.#form(under), under.ended]);
      if (under.refusal?.failure) throw under.refusal.failure;
      if (next.status === "rejected") throw next.reason;
      forming = next.value;
    }
  }

  /** Plans what waits and what comes until the store is free for it. Null when nothing is left to do. */
  async #form(before: UnderWay | null): Promise<Forming | null> {
    let under = before;
    let forming: Forming | null = null;
    for (;;) {
      if (under?.refusal) {
        this.#rejectAll(forming, under.refusal.why);
        forming = null;
        if (under.refusal.failure) return null;
      }
      if (under && under.refusal !== undefined) {
        forming?.batch.standAlone();
        under = null;
      }
      const jobs = takeBatch(this.#queue, forming?.jobs);
      if (jobs.length > 0) {
        forming ??= { batch: this.#work.begin(under?.batch ?? null), jobs: [], answers: [] };
        await this.#plan(forming, jobs);
      } else if (under) await this.#nextEvent(under);
      else if (forming || this.#queue.length === 0) return forming;
      else await this.#runAlone();
    }
  }

  async #plan(forming: Forming, jobs: readonly BatchJob[]): Promise<void> {
    forming.jobs.push(...jobs);
    try {
      forming.answers.push(...(await this.#work.plan(forming.batch, jobs)));
    } catch (error) {
      this.#rejectAll(forming, notCommitted());
      throw error;
    }
  }

  /** Until the commit under way ends, or there is more to plan: what arrives in one turn of the loop is planned at once. */
  #nextEvent({ ended }: UnderWay): Promise<unknown> {
    const arrival = new Promise<void>((resolve) => {
      this.#arrived = resolve;
    });
    return Promise.race([ended, arrival]);
  }

  #commit({ batch, jobs, answers }: Forming): UnderWay {
    const ended = this.#work.commit(batch).then(
      () => {
        this.#answer(answers);
        return null;
      },
      (error: unknown): Refusal => {
        const isFull = error instanceof DiskFullError;
        const why = isFull ? diskFull("full") : notCommitted();
        for (const job of jobs) reject(job, why);
        return { why, failure: isFull ? null : error };
      },
    );
    const under: UnderWay = { batch, ended: ended.then((refusal) => (under.refusal = refusal)), refusal: undefined };
    return under;
  }

  /** The store gets its next batch before the writers of this one get their answers: it works while these are written. */
  #answer(answers: readonly (() => void)[]): void {
    this.#work.soon(() => {
      for (const answer of answers) answer();
    });
  }

  #rejectAll(forming: Forming | null, why: Unavailable): void {
    for (const job of forming?.jobs ?? []) reject(job, why);
  }

  async #runAlone(): Promise<void> {
    const job = this.#queue.shift();
    if (job?.kind !== "alone") return;
    try {
      await job.run();
    } catch (error) {
      const known = error instanceof InputError || error instanceof Unavailable;
      job.failed(known ? error : new Unavailable("storage-failed", "this node's storage failed"));
      if (!known) throw error;
    }
  }
}

function notCommitted(): Unavailable {
  return new Unavailable("storage-failed", "the write could not be committed");
}

function reject(job: Job, error: Error): void {
  if (job.kind === "write") job.done(job.requests.map(() => error));
  else if (job.kind === "entries") job.done(error);
  else job.failed(error);
}
