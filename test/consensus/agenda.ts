import { Agenda as Heap } from "../../gossip/swim/agenda.test-kit.ts";

/** What is to come, in virtual time. At the same moment: in the order in which it was planned. */
export class Agenda {
  readonly #heap = new Heap();
  nowMs = 0;

  after(ms: number, call: () => void): void {
    this.#heap.at(this.nowMs + ms, call);
  }

  run(untilMs: number): void {
    for (let item = this.#heap.next(untilMs); item; item = this.#heap.next(untilMs)) {
      this.nowMs = item.atMs;
      item.call();
    }
    this.nowMs = untilMs;
  }
}
