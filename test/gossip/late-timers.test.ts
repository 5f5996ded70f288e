import { describe, expect, it } from "vitest";
import { LateTimers } from "../../gossip/drivers/late-timers.ts";

/** A loop by hand: time passes only when told, and each turn of it is one call. */
class HandLoop {
  nowMs = 0;
  turns = 0;
  readonly said: string[] = [];
  readonly late: LateTimers;
  #timers: { atMs: number; call: () => void }[] = [];
  #soon: (() => void)[] = [];

  constructor() {
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs };
    const after = (delayMs: number, call: () => void): { cancel(): void } => {
      const timer = { atMs: this.nowMs + delayMs, call };
      this.#timers.push(timer);
      return { cancel: () => void this.#timers.splice(this.#timers.indexOf(timer), 1) };
    };
    const soon = (call: () => void): void => void this.#soon.push(call);
    this.late = new LateTimers({ clock, timers: { after, soon } }, (byMs) => this.said.push(`stalled ${byMs}`));
  }

  get waiting(): number {
    return this.#timers.length + this.#soon.length;
  }

  /** Time jumps (as when the process stood still); what became due fires in order. */
  jump(ms: number): void {
    this.nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.nowMs).sort((a, b) => a.atMs - b.atMs);
    this.#timers = this.#timers.filter(({ atMs }) => atMs > this.nowMs);
    for (const { call } of due) call();
  }

  /** Turns of the loop until it is idle; `input` is what each brings. */
  turn(input: () => void = () => undefined): void {
    while (this.#soon.length > 0 && this.turns < 100_000) {
      this.turns += 1;
      input();
      for (const call of this.#soon.splice(0)) call();
    }
  }

  plan(delayMs: number, name: string): void {
    this.late.after(delayMs, () => this.said.push(name));
  }
}

describe("late timers (item 16)", () => {
  it("a timer on time fires at once", () => {
    const loop = new HandLoop();
    loop.plan(100, "a");
    loop.jump(110);
    expect(loop.said).toEqual(["a"]);
    expect(loop.waiting).toBe(0);
  });

  it("after a stall it is told once, then packets are let in until two turns bring none, then what is due fires in order", () => {
    const loop = new HandLoop();
    loop.plan(100, "a");
    loop.plan(300, "b");
    loop.plan(9000, "later");
    loop.jump(5000);
    expect(loop.said).toEqual(["stalled 4900"]);
    let packets = 5;
    loop.turn(() => {
      if (packets-- > 0) {
        loop.late.arrived();
        loop.said.push("packet");
      }
    });
    expect(loop.said).toEqual(["stalled 4900", ...Array(5).fill("packet"), "a", "b"]);
    expect(loop.turns).toBe(7);
    loop.jump(4010);
    expect(loop.said.at(-1)).toBe("later");
  });

  it("a timer set before a stall and due after it isn't late again", () => {
    const loop = new HandLoop();
    loop.plan(10, "a");
    loop.plan(1000, "b");
    loop.jump(900);
    loop.turn();
    loop.jump(110);
    expect(loop.said).toEqual(["stalled 890", "a", "b"]);
  });

  it("a flood ends the wait after 20,000 packets, or after 250 ms", () => {
    const loop = new HandLoop();
    loop.plan(10, "a");
    loop.jump(1000);
    loop.turn(() => {
      for (let i = 0; i < 32; i++) loop.late.arrived();
    });
    expect([loop.said.at(-1), loop.turns]).toEqual(["a", 625]);
    loop.plan(10, "b");
    loop.jump(1000);
    loop.turn(() => {
      loop.nowMs += 50;
      loop.late.arrived();
    });
    expect([loop.said.at(-1), loop.turns]).toEqual(["b", 630]);
  });

  it("a deadline in awake time is put off by what the process slept", () => {
    const loop = new HandLoop();
    loop.late.afterAwake(1000, () => loop.said.push("deadline"));
    loop.plan(100, "a");
    loop.jump(5100);
    loop.turn();
    expect(loop.said).toEqual(["stalled 5000", "a"]);
    loop.jump(890);
    loop.turn();
    expect(loop.said).toEqual(["stalled 5000", "a"]);
    loop.jump(20);
    expect(loop.said.at(-1)).toBe("deadline");
  });

  it("nor what is due behind the call that closes", () => {
    const loop = new HandLoop();
    loop.late.after(10, () => loop.late.close());
    loop.plan(20, "b");
    loop.jump(1000);
    loop.turn();
    expect(loop.said).toEqual(["stalled 990"]);
  });

  it("nothing fires after close, not even what was held back", () => {
    const loop = new HandLoop();
    loop.plan(10, "a");
    loop.plan(9000, "b");
    loop.jump(1000);
    loop.late.close();
    loop.turn();
    loop.jump(10_000);
    expect(loop.said).toEqual(["stalled 990"]);
  });
});
