import { assert } from "../../kernel/assert.ts";

/** How a leader sends to a follower. `probe`: where its log and ours part is not known, one message at a time.
 *  `replicate`: it is, messages follow each other up to a limit. `snapshot`: it needs one, nothing until it has it. */
export type ProgressState = "probe" | "replicate" | "snapshot";

/** What a leader knows of one member's log. */
export class Progress {
  state: ProgressState = "probe";
  /** The last index known to be there, and the next to send. */
  match = 0;
  next: number;
  isLearner: boolean;
  /** It was heard of since the last check of the quorum. */
  recentlyActive = false;
  /** In `probe`: a message is out, wait for its answer or for the next heartbeat's. */
  isPaused = false;
  /** In `snapshot`: the index of the one that was sent. */
  pendingSnapshot = 0;
  /** In `replicate`: the last index of each message that is out, and its size. */
  #inflight: { readonly index: number; readonly sizeBytes: number }[] = [];
  #inflightBytes = 0;

  constructor(next: number, isLearner: boolean) {
    this.next = next;
    this.isLearner = isLearner;
  }

  copy(): Progress {
    const copy = new Progress(this.next, this.isLearner);
    copy.state = this.state;
    copy.match = this.match;
    copy.recentlyActive = this.recentlyActive;
    copy.isPaused = this.isPaused;
    copy.pendingSnapshot = this.pendingSnapshot;
    copy.#inflight = [...this.#inflight];
    copy.#inflightBytes = this.#inflightBytes;
    return copy;
  }

  becomeProbe(): void {
    // After a snapshot it is level with that, if it got it; else what it acknowledged is what it has.
    this.next = this.state === "snapshot" ? Math.max(this.match + 1, this.pendingSnapshot + 1) : this.match + 1;
    this.#reset("probe");
  }

  becomeReplicate(): void {
    this.next = this.match + 1;
    this.#reset("replicate");
  }

  becomeSnapshot(index: number): void {
    this.#reset("snapshot");
    this.pendingSnapshot = index;
    this.next = index + 1;
  }

  #reset(state: ProgressState): void {
    this.state = state;
    this.isPaused = false;
    this.pendingSnapshot = 0;
    this.#inflight = [];
    this.#inflightBytes = 0;
  }

  /** A message that ends at `index` is on its way. */
  sent(index: number, count: number, sizeBytes: number): void {
    if (this.state === "replicate" && count > 0) {
      this.next = index + 1;
      this.#inflight.push({ index, sizeBytes });
      this.#inflightBytes += sizeBytes;
    } else if (this.state === "probe") this.isPaused = true;
  }

  isFull(limit: { readonly messages: number; readonly bytes: number }): boolean {
    return this.#inflight.length >= limit.messages || this.#inflightBytes >= limit.bytes;
  }

  /** It has everything up to `index`. Returns false for old news. */
  reached(index: number): boolean {
    const isNews = index > this.match;
    if (isNews) this.match = index;
    this.next = Math.max(this.next, index + 1);
    this.#acknowledge(index);
    if (isNews) this.isPaused = false;
    return isNews;
  }

  #acknowledge(index: number): void {
    while (this.#inflight[0] && this.#inflight[0].index <= index)
      this.#inflightBytes -= this.#inflight.shift()?.sizeBytes ?? 0;
  }

  /** Its log doesn't have the entry before `rejected + 1`, and parts from ours at `hint` or earlier. Returns false for old
   *  news. */
  refused(rejected: number, hint: number): boolean {
    if (this.state === "replicate") {
      if (rejected <= this.match) return false;
      this.next = this.match + 1;
      return true;
    }
    // A probe asked for exactly one place.
    if (this.next - 1 !== rejected) return false;
    this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1);
    assert(this.next > 0, "the entry before the first one is everywhere");
    this.isPaused = false;
    return true;
  }
}
