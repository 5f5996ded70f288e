import { createSocket } from "node:dgram";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { encodeFrame, FRAME, FrameReader, parseBody, refuseBody } from "../../src/peer/frames.ts";
import { json, RealCluster, until } from "./cluster.ts";

describe("hostile bytes on the peer and gossip ports", () => {
  let cluster: RealCluster;
  let digest = "";
  beforeAll(async () => {
    cluster = await RealCluster.make(["eu"]);
    const { url } = await cluster.start("eu");
    for (let i = 0; i < 50; i++) await fetch(`${url}/v1/kv/safe/k${i}`, json("PUT", i));
    digest = (await cluster.digests())[0]?.digest ?? "";
  }, 60_000);
  afterAll(() => cluster.stopAll());

  function open(port: number): Promise<Socket> {
    return new Promise((resolve, reject) => {
      const socket = connect(port, "127.0.0.1", () => resolve(socket));
      socket.once("error", reject);
    });
  }

  /** What came back until the other side closed. */
  async function talk(port: number, bytes: Uint8Array): Promise<Buffer> {
    const socket = await open(port);
    const parts: Buffer[] = [];
    socket.on("error", () => {}); // a reset is one way of closing
    socket.on("data", (part) => parts.push(part));
    socket.write(bytes);
    await new Promise((resolve) => socket.once("close", resolve));
    return Buffer.concat(parts);
  }

  function rssMib(): number {
    const status = readFileSync(`/proc/${cluster.node("eu").process?.pid}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  async function stillServes(): Promise<void> {
    expect((await fetch(`${cluster.node("eu").url}/v1/kv/safe/k7`)).status).toBe(200);
    expect((await cluster.digests())[0]?.digest).toBe(digest);
  }

  const hello = (more: object): Uint8Array =>
    encodeFrame(FRAME.hello, {
      cluster: "e2e",
      proof: new Uint8Array(16),
      node: "us",
      region: "us",
      traffic: "delta",
      partitionBits: 6,
      protocol: { min: 1, max: 1 },
      epoch: 0,
      features: [],
      ...more,
    });

  function refusal(bytes: Buffer): string {
    const [frame] = new FrameReader().push(bytes);
    expect(frame?.type).toBe(FRAME.refuse);
    return parseBody(refuseBody, frame?.body).reason;
  }

  it("a peer of another cluster is refused at its first frame, with the reason on both sides", async () => {
    const reason = refusal(await talk(cluster.node("eu").ports.peer, hello({ cluster: "another" })));
    expect(reason).toMatch(/belongs to cluster e2e, not to another/);
    await until("the reason in the log", async () => cluster.log("eu").includes(reason), 5_000);
    await stillServes();
  });

  it("a peer with another salt is refused at its first frame, with the reason on both sides", async () => {
    const reason = refusal(await talk(cluster.node("eu").ports.peer, hello({})));
    expect(reason).toMatch(/salt differs/);
    await until("the reason in the log", async () => cluster.log("eu").includes("salt differs"), 5_000);
    await stillServes();
  });

  it("garbage on the peer port closes the link with a reason in the log", async () => {
    const bytes = await talk(cluster.node("eu").ports.peer, Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    expect(refusal(bytes)).toMatch(/the limit is/);
    await stillServes();
  });

  it("a giant length on the peer port is refused before anything is allocated for it", async () => {
    const before = rssMib();
    for (let i = 0; i < 50; i++)
      await talk(cluster.node("eu").ports.peer, Uint8Array.of(0x7f, 0xff, 0xff, 0xff, 1, 2, 3));
    expect(rssMib() - before).toBeLessThan(100);
    await stillServes();
  });

  it("half-open links on the peer port are closed in time, and bounded", { timeout: 60_000 }, async () => {
    const sockets = await Promise.all(Array.from({ length: 300 }, () => open(cluster.node("eu").ports.peer)));
    let closed = 0;
    for (const socket of sockets) {
      socket.on("error", () => {}); // a reset is one way of closing
      socket.on("close", () => closed++);
      socket.resume();
    }
    await until("all 300 are closed", async () => closed === 300, 30_000);
    await stillServes();
  });

  it("a flood of garbage on the gossip port changes nothing and memory stays flat", { timeout: 60_000 }, async () => {
    const socket = createSocket("udp4");
    const { gossip } = cluster.node("eu").ports;
    const before = rssMib();
    for (let i = 0; i < 20_000; i++) {
      const packet = Buffer.alloc(1 + (i % 1_400), i % 256);
      packet[0] = i % 256;
      await new Promise((resolve) => socket.send(packet, gossip, "127.0.0.1", resolve));
    }
    socket.close();
    await stillServes();
    expect(rssMib() - before).toBeLessThan(100);
  });

  it("garbage and half-open streams on the gossip port are closed in time", { timeout: 60_000 }, async () => {
    const { gossip } = cluster.node("eu").ports;
    await Promise.all([
      talk(gossip, Buffer.from("nonsense")),
      talk(gossip, Buffer.alloc(3)),
      talk(gossip, Buffer.from([6, 0x83, 0xff])),
    ]);
    await stillServes();
  });
});
