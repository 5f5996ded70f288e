import { describe, expect, it } from "vitest";
import { compareHlc, HLC_ZERO, type Hlc } from "../../crdt/index.ts";
import { parseNodeId } from "../../src/kernel/ids.ts";
import { Stamping } from "../../src/replication/stamping.ts";
import type { Log } from "../../src/world/world.ts";

const PEERS = ["b", "c"].map(parseNodeId);
const NOON = 1e12;
const HOUR = 3_600_000;

/** A node that stamps, two peers whose clocks are right, and time that passes when told. */
class Scene {
  readonly lines: string[] = [];
  readonly stamping: Stamping;
  #monotonicMs = 0;
  aheadMs = 0;
  last: Hlc = HLC_ZERO;

  constructor() {
    const note = (event: string): void => {
      this.lines.push(event);
    };
    const log: Log = { info: note, warn: note, error: note, debug: note, child: () => log };
    const clock = { wallMs: () => NOON + this.#monotonicMs + this.aheadMs, monotonicMs: () => this.#monotonicMs };
    this.stamping = new Stamping({ clock, log }, 500);
  }

  get trueMs(): number {
    return NOON + this.#monotonicMs;
  }

  pass(ms: number): void {
    this.#monotonicMs += ms;
  }

  /** Each peer is asked for its time and answers 20 ms later. */
  hear(): void {
    const now = () => ({ wallMs: this.trueMs + this.aheadMs, monotonicMs: this.#monotonicMs });
    const asked = now();
    this.pass(20);
    for (const peer of PEERS) this.stamping.heard(peer, { asked, answered: now(), peerWallMs: this.trueMs - 10 });
  }

  write(): { aheadMs: number; suspect: boolean } {
    const { hlc, suspect } = this.stamping.next(this.last);
    this.last = hlc;
    return { aheadMs: hlc.ms - this.trueMs, suspect };
  }
}

describe("stamps of a node", () => {
  it("are above the last one and at the wall's time, unmarked, while the clock agrees with the others", () => {
    const scene = new Scene();
    scene.hear();
    const first = scene.write();
    const { last } = scene;
    expect([first, scene.write()]).toEqual(Array(2).fill({ aheadMs: 0, suspect: false }));
    expect(compareHlc(scene.last, last)).toBeGreaterThan(0);
  });

  it("keep above what was seen from a peer a little ahead, and unmarked", () => {
    const scene = new Scene();
    scene.hear();
    scene.aheadMs = 200;
    scene.last = { ms: scene.trueMs + 690, counter: 3 };
    expect(scene.write()).toEqual({ aheadMs: 690, suspect: false });
    expect(scene.last.counter).toBe(4);
  });

  it("are marked from the first answers of two peers on when the clock is an hour off either way", () => {
    for (const aheadMs of [HOUR, -HOUR]) {
      const scene = new Scene();
      scene.aheadMs = aheadMs;
      expect(scene.write().suspect).toBe(false);
      scene.hear();
      expect(scene.write()).toEqual({ aheadMs, suspect: true });
    }
  });

  it("are marked while they still count on from an hour ahead, and come back to the present once the clock is known to be right", () => {
    const scene = new Scene();
    scene.aheadMs = HOUR;
    scene.hear();
    scene.write();
    scene.aheadMs = 0;
    scene.pass(5);
    // Just set: by the old samples it may still be off.
    expect(scene.write()).toEqual({ aheadMs: HOUR - 5, suspect: true });
    scene.hear();
    expect(scene.write()).toEqual({ aheadMs: 0, suspect: false });
  });

  it("go on from an hour ahead, unmarked, where there is nothing to compare the clock with", () => {
    const scene = new Scene();
    scene.aheadMs = HOUR;
    scene.write();
    scene.aheadMs = 0;
    expect(scene.write()).toEqual({ aheadMs: HOUR, suspect: false });
  });

  it("don't go back with a clock that was right and was set an hour back", () => {
    const scene = new Scene();
    scene.hear();
    scene.write();
    scene.aheadMs = -HOUR;
    expect(scene.write()).toEqual({ aheadMs: 0, suspect: false });
    scene.hear();
    expect(scene.write()).toEqual({ aheadMs: -20, suspect: true });
  });
});

describe("the warning of a clock that is off", () => {
  it("is in the log once when it begins and once when it has been over for ten seconds", () => {
    const scene = new Scene();
    scene.hear();
    expect(scene.lines).toEqual([]);
    scene.aheadMs = HOUR;
    for (let i = 0; i < 30; i++) {
      scene.hear();
      scene.pass(980);
    }
    expect(scene.lines).toEqual(["clock.suspect"]);
    scene.aheadMs = 0;
    for (let i = 0; i < 9; i++) {
      scene.hear();
      scene.pass(980);
    }
    expect(scene.lines).toEqual(["clock.suspect"]);
    for (let i = 0; i < 9; i++) {
      scene.hear();
      scene.pass(980);
    }
    expect(scene.lines).toEqual(["clock.suspect", "clock.trusted-again"]);
  });

  it("is one warning for a clock that crosses the edge every second", () => {
    const scene = new Scene();
    for (let i = 0; i < 100; i++) {
      scene.aheadMs = i % 2 === 0 ? 540 : 480;
      scene.hear();
      scene.pass(980);
    }
    expect(scene.lines).toEqual(["clock.suspect"]);
  });

  it("shows in the status with how far off it is, and by how much that may be wrong", () => {
    const scene = new Scene();
    expect(scene.stamping.status()).toEqual({ suspect: false, clocks: 1, offsetMs: null, uncertaintyMs: null });
    scene.aheadMs = -HOUR;
    scene.hear();
    expect(scene.stamping.status()).toEqual({ suspect: true, clocks: 3, offsetMs: -HOUR, uncertaintyMs: 12 });
  });
});
