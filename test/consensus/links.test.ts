import { describe, expect, it } from "vitest";
import type { Message } from "../../src/consensus/core/messages.ts";
import { RaftLinks } from "../../src/consensus/driver/links.ts";
import { decodeMessage } from "../../src/consensus/driver/wire.ts";
import { InputError } from "../../src/kernel/assert.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { PeerDoor } from "../../src/peer/door.ts";
import { makeHello } from "../../src/peer/hello.ts";
import { SimKernel, type SimNode } from "../sim/world.ts";
import { SNAPSHOT } from "./messages.ts";

interface End {
  readonly node: SimNode;
  readonly links: RaftLinks;
  readonly received: { readonly from: string; readonly message: Message }[];
  readonly ended: { readonly to: string; readonly arrived: boolean }[];
}

const HOSTS: Readonly<Record<string, string>> = { a: "10.1.0.1", b: "10.1.0.2" };

async function endOf(kernel: SimKernel, name: string, refuses = false): Promise<End> {
  const host = HOSTS[name] ?? "";
  const node = kernel.makeWorld({ name, region: name, host });
  const { world } = node;
  const cluster = { id: "c", salt: utf8("a salt of sixteen bytes or more") };
  const layout = { partitionBits: 6, leafBits: 10 };
  const hello = makeHello({ cluster, node: { id: name, region: "eu" }, layout }, world.sha256);
  const door = new PeerDoor({ world, mine: hello, heartbeatMs: 1_000, attribute: () => {} });
  const received: { from: string; message: Message }[] = [];
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
  });
  await world.network.listen({ host, port: 7003 }, (stream) => door.accept(stream));
  return { node, links, received, ended };
}

const beat = (read: number, to = "b"): Message => ({ type: "heartbeat", from: "a", to, term: 1, committed: 0, read });
const state: Message = { type: "snapshot", from: "a", to: "b", term: 5, snapshot: SNAPSHOT };

async function withEnds(run: (kernel: SimKernel, a: End) => Promise<void>): Promise<void> {
  const kernel = new SimKernel({ seed: 1 });
  await kernel.run(async () => run(kernel, await endOf(kernel, "a")));
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

  it("come again by themselves when the other side does, while there is something to say", async () => {
    await withEnds(async (kernel, a) => {
      const b = await endOf(kernel, "b");
      a.links.send(beat(0));
      await kernel.until(() => upTo(a) === true, 1_000);
      b.node.crash();
      await kernel.until(() => upTo(a) === false, 10_000);
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
