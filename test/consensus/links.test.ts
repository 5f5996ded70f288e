import { describe, expect, it } from "vitest";
import type { Message } from "../../src/consensus/core/messages.ts";
import { ASK_BYTES_MAX } from "../../src/consensus/driver/asks.ts";
import { RaftLinks } from "../../src/consensus/driver/links.ts";
import { decodeMessage } from "../../src/consensus/driver/wire.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import { PeerDoor } from "../../src/peer/door.ts";
import type { Hello } from "../../src/peer/frames.ts";
import { makeHello } from "../../src/peer/hello.ts";
import { LinkError } from "../../src/peer/link.ts";
import { SimKernel, type SimNode } from "../sim/world.ts";
import { SNAPSHOT } from "./messages.ts";

interface End {
  readonly node: SimNode;
  readonly links: RaftLinks;
  /** Links that it has taken and that are open. */
  readonly linked: () => number;
  readonly received: { readonly from: string; readonly message: Message }[];
  readonly ended: { readonly to: string; readonly arrived: boolean }[];
  /** Whose link is said to have broken. */
  readonly broken: string[];
}

const HOSTS: Readonly<Record<string, string>> = { a: "10.1.0.1", b: "10.1.0.2" };

async function endOf(kernel: SimKernel, name: string, refuses = false, epoch = { now: 1 }): Promise<End> {
  const host = HOSTS[name] ?? "";
  const node = kernel.makeWorld({ name, region: name, host });
  const { world } = node;
  const cluster = { id: "c", salt: utf8("a salt of sixteen bytes or more") };
  const layout = { partitionBits: 6, leafBits: 10 };
  const hello = makeHello({ cluster, node: { id: name, region: "eu" }, layout }, world.sha256);
  const door = new PeerDoor({ world, mine: hello, heartbeatMs: 1_000, attribute: () => {} });
  const received: { from: string; message: Message }[] = [];
  const broken: string[] = [];
  const ended: { to: string; arrived: boolean }[] = [];
  const links = new RaftLinks({
    world,
    hello,
    heartbeatMs: 1_000,
    door,
    addressOf: (peer) => (HOSTS[peer] === undefined ? null : { host: HOSTS[peer], port: 7003 }),
    receive: (from, bytes) => {
      if (refuses) throw new InputError("not-a-member", `${from} is no member of this group`);
      received.push({ from, message: decodeMessage(bytes) });
    },
    snapshotEnded: (to, arrived) => ended.push({ to, arrived }),
    broke: (peer) => broken.push(peer),
    epoch: () => epoch.now,
    answer: (op, body, caller) => answerOf(name, op, body, caller),
  });
  let open = 0;
  await world.network.listen({ host, port: 7003 }, (stream) => {
    open += 1;
    const opening = stream.open.bind(stream);
    stream.open = (handlers) => {
      const onClose = (reason: string): void => {
        open -= 1;
        handlers.onClose(reason);
      };
      opening({ ...handlers, onClose });
    };
    door.accept(stream);
  });
  return { node, links, linked: () => open, received, ended, broken };
}

/** `echo` says who was asked by whom for what; `late` never answers, `large` too much. */
async function answerOf(name: string, op: string, body: Uint8Array, { node, epoch }: Hello): Promise<Uint8Array> {
  if (op === "late") await new Promise(() => {});
  if (op === "large") return new Uint8Array(ASK_BYTES_MAX + 1);
  if (op !== "echo") throw new InputError("unknown-op", `unknown request: ${op}`);
  return utf8(`${name} heard ${fromUtf8(body)} of ${node} in ${epoch}`);
}

const beat = (read: number, to = "b"): Message => ({ type: "heartbeat", from: "a", to, term: 1, committed: 0, read });
const state: Message = { type: "snapshot", from: "a", to: "b", term: 5, snapshot: SNAPSHOT };

async function withEnds(run: (kernel: SimKernel, a: End, epoch: { now: number }) => Promise<void>): Promise<void> {
  const kernel = new SimKernel({ seed: 1 });
  const epoch = { now: 1 };
  await kernel.run(async () => run(kernel, await endOf(kernel, "a", false, epoch), epoch));
}

const upTo = ({ links }: End): boolean | undefined => links.status()[0]?.isUp;

describe("links between members", () => {
  it("are opened by the first message, which waits for that, and come in order", async () => {
    await withEnds(async (kernel, a) => {
      const b = await endOf(kernel, "b");
      for (let i = 0; i < 5; i++) a.links.send(beat(i));
      await kernel.until(() => b.received.length === 5, 1_000);
      expect(b.received.map(({ from, message }) => [from, message.type === "heartbeat" && message.read])).toEqual(
        [0, 1, 2, 3, 4].map((read) => ["a", read]),
      );
      expect(a.links.status()).toMatchObject([{ node: "b", isUp: true, dropped: 0, reason: null }]);
      await kernel.sleep(1_500);
      expect(a.links.status()[0]?.rttMs).toBeGreaterThan(0);
    });
  });

  it("hold few messages for who isn't there, the newest, and say why there is no link", async () => {
    await withEnds(async (kernel, a) => {
      for (let i = 0; i < 100; i++) a.links.send(beat(i));
      expect(a.links.status()).toMatchObject([{ isUp: false, dropped: 36 }]);
      await kernel.sleep(5_000);
      expect(a.links.status()).toMatchObject([{ dropped: 100, reason: expect.stringMatching(/cannot connect/) }]);
      a.links.send(beat(0, "nobody"));
      expect(a.links.status()[1]?.reason).toMatch(/not known yet/);
    });
  });

  it("forget what waits when nothing more was to be said for a while: whoever takes part again may have another log", async () => {
    await withEnds(async (kernel, a) => {
      a.links.send(beat(1));
      await kernel.until(() => /cannot connect/.test(a.links.status()[0]?.reason ?? ""), 10_000);
      a.links.send(beat(2)); // waits, for it is too early to dial again
      const b = await endOf(kernel, "b");
      await kernel.sleep(1_500);
      expect(a.links.status()).toMatchObject([{ isUp: false }]);
      a.links.send(beat(3));
      await kernel.until(() => b.received.length > 0, 5_000);
      expect(b.received.map(({ message }) => message)).toEqual([beat(3)]);
      expect(a.links.status()).toMatchObject([{ isUp: true, dropped: 2 }]);
    });
  });

  it("come again by themselves when the other side does, while there is something to say", async () => {
    await withEnds(async (kernel, a) => {
      const b = await endOf(kernel, "b");
      a.links.send(beat(0));
      await kernel.until(() => upTo(a) === true, 1_000);
      expect(a.broken).toEqual([]);
      b.node.crash();
      await kernel.until(() => upTo(a) === false, 10_000);
      expect(a.broken).toEqual(["b"]);
      const back = await endOf(kernel, "b");
      for (let i = 0; back.received.length === 0 && i < 30; i++) {
        a.links.send(beat(i));
        await kernel.sleep(100);
      }
      expect(back.received.length).toBeGreaterThan(0);
    });
  });

  it("tell the end of each snapshot: that it arrived, was refused, found no link, or was cut off", async () => {
    await withEnds(async (kernel, a) => {
      a.links.send(state);
      expect(a.ended).toEqual([]);
      await kernel.until(() => a.ended.length === 1, 1_000);
      let b = await endOf(kernel, "b");
      const linked = async (): Promise<void> => {
        while (!upTo(a)) {
          a.links.send(beat(0));
          await kernel.sleep(50);
        }
      };
      await linked();
      a.links.send(state);
      await kernel.until(() => a.ended.length === 2, 1_000);
      expect(b.received.at(-1)?.message).toEqual(state);
      a.links.send(state);
      b.node.crash("machine");
      await kernel.until(() => a.ended.length === 3, 10_000);
      b = await endOf(kernel, "b", true);
      await kernel.sleep(2_000);
      // What is refused as a note closes the link at once; a snapshot is answered.
      for (let i = 0; a.ended.length < 4 && i < 50; i++) {
        a.links.send(beat(i));
        await kernel.until(() => upTo(a) === true, 200).catch(() => {});
        a.links.send(state);
        await kernel.sleep(100);
      }
      expect(a.ended.slice(0, 3).map(({ arrived }) => arrived)).toEqual([false, true, false]);
      expect(a.ended.slice(3).every(({ arrived }) => !arrived)).toBe(true);
      expect(a.ended.length).toBeGreaterThan(3);
    });
  });

  it("to one who takes nothing stay closed longer and longer, with the reason it gave", async () => {
    await withEnds(async (kernel, a) => {
      await endOf(kernel, "b", true);
      let ups = 0;
      let wasUp = false;
      for (let i = 0; i < 200; i++) {
        a.links.send(beat(i));
        await kernel.sleep(50);
        const isUp = upTo(a) === true;
        if (isUp && !wasUp) ups += 1;
        wasUp = isUp;
      }
      expect(ups).toBeLessThan(20);
      expect(a.links.status()[0]?.reason).toMatch(/a is no member of this group/);
    });
  });

  it("drop what a peer that stands still doesn't take, and hold no more than a bound", async () => {
    await withEnds(async (kernel, a) => {
      const b = await endOf(kernel, "b");
      a.links.send(beat(0));
      await kernel.until(() => upTo(a) === true, 1_000);
      b.node.stall(3_000);
      const data = new Uint8Array(2 ** 20);
      for (let i = 0; i < 40; i++) {
        a.links.send({ type: "propose", from: "a", to: "b", payloads: [{ kind: "command", data }] });
        await kernel.sleep(10);
      }
      expect(a.links.status()[0]?.dropped).toBeGreaterThan(20);
      await kernel.sleep(8_000);
      expect(b.received.length).toBeGreaterThan(3);
      expect(b.received.length).toBeLessThan(20);
    });
  });

  it("to who is no member any more are closed", async () => {
    await withEnds(async (kernel, a) => {
      await endOf(kernel, "b");
      a.links.send(beat(0));
      await kernel.until(() => upTo(a) === true, 1_000);
      a.links.keepOnly(new Set(["a"]));
      expect(a.links.status()).toEqual([]);
    });
  });
});

describe("links of two incarnations", () => {
  it("take nothing of Raft's from each other, and say which two they are, until both are of one and have them reopened", async () => {
    await withEnds(async (kernel, a, epochOfA) => {
      const epochOfB = { now: 2 };
      const b = await endOf(kernel, "b", false, epochOfB);
      const talk = async (forMs: number): Promise<void> => {
        for (let ms = 0; ms < forMs; ms += 50) {
          a.links.send(beat(ms));
          if (upTo(a)) a.links.send(state);
          await kernel.sleep(50);
        }
      };
      await talk(3_000);
      expect(b.received).toEqual([]);
      expect(a.ended.some(({ arrived }) => arrived)).toBe(false);
      expect(a.links.status()[0]?.reason).toMatch(/knows incarnation 2 of the cluster, and a speaks for incarnation 1/);
      epochOfA.now = 2;
      a.links.reopen();
      await talk(600);
      expect(b.received.length).toBeGreaterThan(0);
      // A link is of the incarnation in which it was opened.
      const before = b.received.length;
      epochOfB.now = 3;
      epochOfA.now = 3;
      a.links.send(beat(0));
      await kernel.until(() => upTo(a) === false, 1_000);
      expect(b.received).toHaveLength(before);
      expect(a.links.status()[0]?.reason).toMatch(/knows incarnation 3 of the cluster, and a speaks for incarnation 2/);
      a.links.reopen();
      await talk(600);
      expect(b.received.length).toBeGreaterThan(before);
    });
  });

  it("are closed and opened anew by who learns of another one, before anybody has to refuse them", async () => {
    await withEnds(async (kernel, a, epochOfA) => {
      const epochOfB = { now: 1 };
      const b = await endOf(kernel, "b", false, epochOfB);
      a.links.send(beat(0));
      await kernel.until(() => b.received.length === 1, 1_000);
      epochOfA.now = 2;
      epochOfB.now = 2;
      a.links.reopen();
      expect(upTo(a)).toBe(false);
      a.links.send(beat(1));
      await kernel.until(() => b.received.length === 2, 1_000);
      expect(a.links.status()).toMatchObject([{ isUp: true, dropped: 0 }]);
      expect(b.linked()).toBe(1);
    });
  });

  it("that were being opened when another began are opened again", async () => {
    await withEnds(async (kernel, a, epochOfA) => {
      const b = await endOf(kernel, "b", false, { now: 2 });
      a.links.send(beat(0));
      epochOfA.now = 2;
      a.links.reopen();
      for (let i = 1; b.received.length === 0 && i < 10; i++) {
        await kernel.sleep(50);
        a.links.send(beat(i));
      }
      expect(b.received.length).toBeGreaterThan(0);
    });
  });
});

const asked = async (a: End, op: string, text = "?", timeoutMs = 2_000): Promise<string> =>
  fromUtf8(await a.links.ask("b", op, utf8(text), timeoutMs));

describe("a question to another node", () => {
  it("is answered, whatever incarnation who asks is of, also while Raft's messages are refused", async () => {
    await withEnds(async (kernel, a) => {
      await endOf(kernel, "b", false, { now: 7 });
      expect(await asked(a, "echo", "one")).toBe("b heard one of a in 1");
      for (let i = 0; i < 40; i++) {
        a.links.send(beat(i));
        expect(await asked(a, "echo", `${i}`)).toBe(`b heard ${i} of a in 1`);
        await kernel.sleep(50);
      }
      a.links.keepOnly(new Set());
      expect(await asked(a, "echo", "no member")).toBe("b heard no member of a in 1");
    });
  });

  it("that nobody answers comes to an end: refused, in time, or for want of a link or an address", async () => {
    await withEnds(async (kernel, a) => {
      const started = kernel.nowMs;
      await expect(asked(a, "echo")).rejects.toThrow(/cannot connect|refused/);
      await expect(a.links.ask("nobody", "echo", utf8(""), 100)).rejects.toThrow(/not known yet/);
      expect(kernel.nowMs - started).toBeLessThan(2_100);
      await endOf(kernel, "b");
      await expect(asked(a, "nonsense")).rejects.toThrow(/unknown request: nonsense/);
      await expect(asked(a, "nonsense")).rejects.toBeInstanceOf(LinkError);
      await expect(asked(a, "late", "", 300)).rejects.toThrow(/within \d+ ms/);
      await expect(asked(a, "large")).rejects.toThrow(/the limit is/);
      await expect(a.links.ask("b", "echo", new Uint8Array(ASK_BYTES_MAX + 1), 100)).rejects.toBeInstanceOf(InputError);
    });
  });

  it("waits no longer for a link than it said", async () => {
    await withEnds(async (kernel, a) => {
      await endOf(kernel, "b");
      kernel.cut("a", "b");
      const startedMs = kernel.nowMs;
      await expect(asked(a, "echo", "", 300)).rejects.toThrow(/no link to b within 300 ms/);
      expect(kernel.nowMs - startedMs).toBeLessThan(400);
    });
  });

  it("is no longer waited for than it said when the link is cut, and asked again over another one", async () => {
    await withEnds(async (kernel, a) => {
      const b = await endOf(kernel, "b");
      await asked(a, "echo");
      kernel.cut("a", "b");
      const cutOffMs = kernel.nowMs;
      await expect(asked(a, "echo", "", 300)).rejects.toBeInstanceOf(LinkError);
      expect(kernel.nowMs - cutOffMs).toBeLessThan(400);
      kernel.heal();
      b.node.crash();
      await expect(asked(a, "echo", "", 8_000)).rejects.toBeInstanceOf(LinkError);
      await endOf(kernel, "b");
      expect(await asked(a, "echo", "again")).toBe("b heard again of a in 1");
    });
  });

  it("waits with seven others; the next is refused at once, and none after they are answered", async () => {
    await withEnds(async (kernel, a) => {
      await endOf(kernel, "b");
      const late = Array.from({ length: 8 }, () => asked(a, "late", "", 500));
      await expect(asked(a, "echo")).rejects.toThrow(/8 questions to b wait/);
      expect((await Promise.allSettled(late)).map(({ status }) => status)).toEqual(Array(8).fill("rejected"));
      expect(await asked(a, "echo")).toBe("b heard ? of a in 1");
    });
  });

  it("leaves no link behind when nobody asks any more, nor when the node stops", async () => {
    await withEnds(async (kernel, a) => {
      const b = await endOf(kernel, "b");
      await asked(a, "echo");
      expect(b.linked()).toBe(1);
      await kernel.sleep(11_000);
      expect(b.linked()).toBe(0);
      const late = asked(a, "late", "", 60_000);
      late.catch(() => {});
      await kernel.sleep(500);
      a.links.stop();
      await expect(late).rejects.toThrow(/stopping/);
      await kernel.sleep(500);
      expect(b.linked()).toBe(0);
    });
  });
});
