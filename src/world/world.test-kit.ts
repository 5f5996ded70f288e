import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { founded } from "../consensus/core/core.ts";
import { InputError } from "../kernel/assert.ts";
import { concatBytes, toHex, utf8 } from "../kernel/bytes.ts";
import { commitOf } from "../storage/store.ts";
import { type Claim, poll, type WorldsUnderTest, wait } from "./world-claims.test-kit.ts";
import { claimHttp, claimHttpClose, claimHttpEnds, LIMITS } from "./world-http.test-kit.ts";
import { claimStreamEnds, claimStreams } from "./world-streams.test-kit.ts";

/** What every World must do, whatever it is made of. */
export function describeWorld(name: string, make: () => WorldsUnderTest): void {
  describe(name, () => {
    let worlds: WorldsUnderTest;
    /** Undone after each test, so that nothing listens on. */
    let cleanups: (() => unknown)[];
    beforeEach(() => {
      worlds = make();
      cleanups = [];
    });
    afterEach(() =>
      worlds.run(async () => {
        for (const cleanup of cleanups.reverse()) await cleanup();
      }),
    );
    const claim: Claim = (what, body) =>
      test(what, () => worlds.run(() => body(worlds, (cleanup) => cleanups.push(cleanup))));

    claimTime(claim);
    claimStreams(claim);
    claimStreamEnds(claim);
    claimConnecting(claim);
    claimDatagrams(claim);
    claimDisk(claim);
    claimRaftDisk(claim);
    claimLookups(claim);
    claimHttp(claim);
    claimHttpEnds(claim);
    claimHttpClose(claim);
  });
}

function claimTime(claim: Claim): void {
  claim(
    "timers fire in order of their time, those of one time in the order in which they were asked for",
    async ({ left }) => {
      const fired: string[] = [];
      await new Promise<void>((resolve) => {
        left.timers.after(40, resolve);
        left.timers.after(20, () => fired.push("late"));
        left.timers.after(5, () => fired.push("early"));
        left.timers.after(5, () => fired.push("early too"));
      });
      expect(fired).toEqual(["early", "early too", "late"]);
    },
  );

  claim("a timer never fires before its delay has passed", async ({ left }) => {
    const startMs = left.clock.monotonicMs();
    for (const delayMs of [0, 0.3, 1, 2.5, 7]) {
      const askedAtMs = left.clock.monotonicMs();
      await wait(left, delayMs);
      expect(left.clock.monotonicMs() - askedAtMs).toBeGreaterThanOrEqual(delayMs);
    }
    expect(left.clock.monotonicMs() - startMs).toBeGreaterThanOrEqual(10.8);
  });

  claim("a cancelled timer does not fire, and may be cancelled again", async ({ left }) => {
    let fired = false;
    const timer = left.timers.after(5, () => {
      fired = true;
    });
    timer.cancel();
    await wait(left, 15);
    timer.cancel();
    expect(fired).toBe(false);
  });

  claim("soon comes after the call that asked for it, and before a timer that is not due", async ({ left }) => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      left.timers.after(50, resolve);
      left.timers.soon(() => order.push("soon"));
      order.push("now");
    });
    expect(order).toEqual(["now", "soon"]);
  });

  claim("secrets have the length that was asked for, and none comes twice", async ({ left, right }) => {
    const secrets = [left, left, right].map((world) => world.secretBytes(32));
    expect(secrets.map(({ length }) => length)).toEqual([32, 32, 32]);
    expect(new Set(secrets.map(toHex)).size).toBe(3);
    expect(left.secretBytes(8)).toHaveLength(8);
  });

  claim("sha256 is the standard's, in bytes of their own", async ({ left }) => {
    const digest = left.sha256(utf8("abc"));
    expect(toHex(digest)).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(digest.constructor).toBe(Uint8Array);
  });
}

function claimConnecting(claim: Claim): void {
  claim("connect rejects when nobody listens", async ({ left, right, rightHost }) => {
    const listener = await right.network.listen({ host: rightHost, port: 0 }, () => {});
    await listener.close();
    await expect(left.network.connect(listener.local, 5_000)).rejects.toThrow(/cannot connect to .*ECONNREFUSED/);
  });

  claim("connect rejects when nobody answers in time", async ({ left, silent }) => {
    await expect(left.network.connect(silent, 50)).rejects.toThrow(/cannot connect to/);
  });

  claim("connect to what is no address rejects", async ({ left, right, rightHost }, after) => {
    const listener = await right.network.listen({ host: rightHost, port: 0 }, () => {});
    after(() => listener.close());
    for (const to of [
      { host: rightHost, port: 0 },
      { host: rightHost, port: 70_000 },
      { host: "", port: listener.local.port },
    ]) {
      await expect(left.network.connect(to, 50)).rejects.toThrow(/cannot connect to/);
    }
  });

  claim("an address in use, or of another machine, is refused with what to do", async ({ right, rightHost }, after) => {
    const first = await right.network.listen({ host: rightHost, port: 0 }, () => {});
    after(() => first.close());
    const second = right.network.listen(first.local, () => {});
    await expect(second).rejects.toThrow(/in use/);
    await expect(second).rejects.toBeInstanceOf(InputError);
    await expect(right.network.serveHttp(first.local, () => new Response(), LIMITS)).rejects.toBeInstanceOf(InputError);
    const socket = await right.network.bindDatagrams({ host: rightHost, port: 0 }, () => {});
    after(() => socket.close());
    await expect(right.network.bindDatagrams(socket.local, () => {})).rejects.toBeInstanceOf(InputError);
    const elsewhere = right.network.listen({ host: "198.51.100.7", port: 0 }, () => {});
    await expect(elsewhere).rejects.toThrow(/no such address/);
  });
}

function claimDatagrams(claim: Claim): void {
  claim("datagrams arrive whole, with an address that answers", async ({ left, right, rightHost }, after) => {
    const answers: string[] = [];
    const there = await right.network.bindDatagrams({ host: rightHost, port: 0 }, (bytes, from) => {
      expect(bytes.constructor).toBe(Uint8Array);
      there.send(from, concatBytes([utf8("re: "), bytes]));
    });
    after(() => there.close());
    const here = await left.network.bindDatagrams({ host: anyHost(rightHost), port: 0 }, (bytes) => {
      answers.push(String.fromCharCode(...bytes));
    });
    after(() => here.close());
    expect(here.local.port).toBeGreaterThan(0);
    expect(here.receiveBufferBytes).toBeGreaterThan(0);
    here.send(there.local, utf8("hello"));
    await poll(left, () => answers.length > 0);
    expect(answers).toEqual(["re: hello"]);
  });

  claim("a datagram to nobody, to no port or after close is lost without a word", async ({ left, rightHost }) => {
    const here = await left.network.bindDatagrams({ host: anyHost(rightHost), port: 0 }, () => {});
    here.send({ host: rightHost, port: 9 }, utf8("nobody"));
    here.send({ host: rightHost, port: 0 }, utf8("no port"));
    here.send({ host: rightHost, port: 70_000 }, utf8("no port"));
    here.close();
    here.close();
    here.send({ host: rightHost, port: 9 }, utf8("closed"));
    await wait(left, 20);
  });
}

function claimDisk(claim: Claim): void {
  claim("a store opened again has what was committed; nobody else opens it meanwhile", async ({ left, dataDir }) => {
    const store = await left.disk.openStore(dataDir);
    await store.commit(commitOf({ settings: [{ name: "colour", value: "green" }] }));
    await expect(left.disk.openStore(dataDir)).rejects.toThrow(/in use/);
    await expect(left.disk.openStore(dataDir)).rejects.toBeInstanceOf(InputError);
    await store.close();
    const again = await left.disk.openStore(dataDir);
    expect((await again.load()).settings.get("colour")).toBe("green");
    await again.close();
  });
}

function claimRaftDisk(claim: Claim): void {
  claim("a Raft state is nothing until it is created, and then there for one at a time", async ({ left, dataDir }) => {
    const identity = { cluster: "c", node: "n1", instance: "0".repeat(32) };
    const store = await left.disk.openRaftStore(dataDir);
    expect(await store.load()).toEqual({ kind: "nothing" });
    await store.create(identity, founded(["n1"], utf8("state")));
    await expect(left.disk.openRaftStore(dataDir)).rejects.toThrow(/in use/);
    await store.close();
    const again = await left.disk.openRaftStore(dataDir);
    expect(await again.load()).toMatchObject({ kind: "whole", identity, saved: founded(["n1"], utf8("state")) });
    await again.close();
  });
}

function claimLookups(claim: Claim): void {
  const limits = { timeoutMs: 10_000, signal: new AbortController().signal };

  claim("a name that nobody knows, and a file that isn't there, are failures that say why", async ({ left }) => {
    await expect(left.network.resolve("no-such-host.invalid", limits)).rejects.toThrow(/DNS/);
    await expect(left.disk.readText("no/such/file", 100)).rejects.toThrow("cannot read no/such/file");
  });
}

/** An address that `left` can bind: its own loopback, or whatever it has. */
const anyHost = (rightHost: string): string => (rightHost.startsWith("127.") ? rightHost : "0.0.0.0");
