import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { afterEach, describe, expect, test } from "vitest";
import { makeRealWorld } from "../../src/world/real.ts";
import type { Address, Log } from "../../src/world/world.ts";
import { wait } from "../../src/world/world-claims.test-kit.ts";

// What only the real World can do wrong.

const silentLog: Log = { info() {}, warn() {}, error() {}, debug() {}, child: () => silentLog };
const world = makeRealWorld({ log: silentLog });
let children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children) child.kill("SIGKILL");
  children = [];
});

/** A process that listens with room for one connection, and then is stopped: the kernel answers the first ones, nobody
 *  the next. */
async function stoppedListener(): Promise<Address> {
  const script = `require("net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, function () {
    require("fs").writeSync(1, String(this.address().port) + "\\n");
    process.kill(process.pid, "SIGSTOP");
  })`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return { host: "127.0.0.1", port: Number(line.toString()) };
}

describe("the real World's network", () => {
  test("a connect that nobody answers rejects after its time", async () => {
    const address = await stoppedListener();
    const attempts = await Promise.allSettled([1, 2, 3, 4].map(() => world.network.connect(address, 300)));
    const failed = attempts.filter((attempt) => attempt.status === "rejected").map(({ reason }) => String(reason));
    expect(failed.length).toBeGreaterThan(0);
    for (const reason of failed) expect(reason).toContain("no answer within 300 ms");
    for (const attempt of attempts) if (attempt.status === "fulfilled") attempt.value.close();
  });

  test("bytes to a process that doesn't read wait with us, and its death ends the stream", async () => {
    const stream = await world.network.connect(await stoppedListener(), 1_000);
    const ends: string[] = [];
    stream.open({ onData() {}, onClose: (reason) => ends.push(reason) });
    for (let i = 0; i < 400; i++) stream.write(new Uint8Array(65_536));
    await wait(world, 50);
    expect(stream.queuedBytes).toBeGreaterThan(0);
    children[0]?.kill("SIGKILL");
    while (ends.length === 0) await wait(world, 5);
    expect(ends).toEqual([expect.stringMatching(/^(closed by the other side|connection failed: E[A-Z]+)$/)]);
  });

  test("a host that is no address of ours is refused with what to do", async () => {
    for (const host of ["no-such-host.invalid", "192.0.2.1"]) {
      const bound = world.network.bindDatagrams({ host, port: 0 }, () => {});
      await expect(bound).rejects.toMatchObject({ name: "InputError", slug: "cannot-bind" });
    }
    await expect(world.network.connect({ host: "no-such-host.invalid", port: 1 }, 5_000)).rejects.toThrow(
      /cannot connect to no-such-host.invalid:1: E/,
    );
  });

  test("a timer of more than 24.8 days does not fire at once", async () => {
    let fired = false;
    const timer = world.timers.after(2 ** 31 + 1, () => {
      fired = true;
    });
    await wait(world, 20);
    timer.cancel();
    expect(fired).toBe(false);
  });

  test("two worlds draw different numbers", () => {
    expect(makeRealWorld({ log: silentLog }).rng.u32()).not.toBe(makeRealWorld({ log: silentLog }).rng.u32());
  });
});
