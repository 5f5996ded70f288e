import { expect } from "vitest";
import { concatBytes, utf8 } from "../kernel/bytes.ts";
import type { Stream } from "./world.ts";
import { type Claim, poll, type WorldsUnderTest, wait } from "./world-claims.test-kit.ts";

export function claimStreams(claim: Claim): void {
  claim("a stream carries all bytes in order, both ways", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    near.stream.write(utf8("to the right, "));
    near.stream.write(utf8("in two writes"));
    far.stream.write(utf8("to the left"));
    await poll(worlds.left, () => text(near) === "to the left" && text(far) === "to the right, in two writes");
    expect(near.closed).toEqual([]);
  });

  claim("a paused reader slows the writer down, and then gets every byte", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    far.stream.pause(true);
    const chunks = Array.from({ length: 256 }, (_, i) => new Uint8Array(65_536).fill(i));
    for (const chunk of chunks) near.stream.write(chunk);
    await wait(worlds.left, 100);
    expect(near.stream.queuedBytes).toBeGreaterThan(0);
    const receivedWhilePaused = size(far);
    far.stream.pause(false);
    await poll(worlds.left, () => size(far) === 256 * 65_536);
    expect(receivedWhilePaused).toBe(0);
    expect(worlds.left.sha256(concatBytes(far.received))).toEqual(worlds.left.sha256(concatBytes(chunks)));
    await poll(worlds.left, () => near.drains > 0);
  });

  claim("a reader that pauses in the middle gets nothing more until it goes on", async (worlds, after) => {
    const accepted: Stream[] = [];
    const listener = await worlds.right.network.listen({ host: worlds.rightHost, port: 0 }, (s) => accepted.push(s));
    after(() => listener.close());
    const near = recorded(await worlds.left.network.connect(listener.local, 5_000));
    await poll(worlds.left, () => accepted.length === 1);
    const [far] = accepted as [Stream];
    let deliveries = 0;
    let bytesRead = 0;
    const onData = (bytes: Uint8Array): void => {
      deliveries++;
      bytesRead += bytes.length;
      far.pause(true);
    };
    far.open({ onData, onClose: () => {} });
    for (let i = 0; i < 8; i++) near.stream.write(new Uint8Array(65_536));
    await poll(worlds.left, () => deliveries > 0);
    await wait(worlds.left, 20);
    expect(deliveries).toBe(1);
    while (bytesRead < 8 * 65_536) {
      const before = deliveries;
      far.pause(false);
      await poll(worlds.left, () => deliveries > before);
    }
    near.stream.close();
    far.close();
  });

  claim("queuedBytes counts what was just written; the drain comes when it is zero", async (worlds, after) => {
    const { near } = await connected(worlds, after);
    near.stream.write(new Uint8Array(1_000));
    expect(near.stream.queuedBytes).toBe(1_000);
    await poll(worlds.left, () => near.drains === 1);
    expect(near.stream.queuedBytes).toBe(0);
  });

  claim("what comes before the stream is opened waits for it", async (worlds, after) => {
    const accepted: Stream[] = [];
    const listener = await worlds.right.network.listen({ host: worlds.rightHost, port: 0 }, (s) => accepted.push(s));
    after(() => listener.close());
    const near = recorded(await worlds.left.network.connect(listener.local, 5_000));
    near.stream.write(utf8("early"));
    await wait(worlds.left, 50);
    const far = recorded(accepted[0] as Stream);
    await poll(worlds.left, () => text(far) === "early");
    near.stream.close();
    await poll(worlds.left, () => far.closed.length === 1);
  });

  claim("received bytes are the receiver's own, and plain", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    const sent = utf8("mine");
    near.stream.write(sent);
    await poll(worlds.left, () => size(far) === 4);
    far.received[0]?.fill(0);
    expect(sent).toEqual(utf8("mine"));
    expect(far.received[0]?.constructor).toBe(Uint8Array);
  });
}

export function claimStreamEnds(claim: Claim): void {
  claim("each side hears of the end once, and why; what was written before it arrives", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    near.stream.write(utf8("last words"));
    near.stream.close();
    near.stream.close();
    near.stream.write(utf8("too late"));
    expect(near.closed).toEqual([]); // never from within the call
    await poll(worlds.left, () => near.closed.length > 0 && far.closed.length > 0);
    await wait(worlds.left, 20);
    expect(near.closed).toEqual(["closed here"]);
    expect(far.closed).toEqual(["closed by the other side"]);
    expect(text(far)).toBe("last words");
  });

  claim("nothing is delivered after close", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    near.stream.close();
    far.stream.write(utf8("anybody there?"));
    await poll(worlds.left, () => far.closed.length > 0);
    expect(size(near)).toBe(0);
  });

  claim("a refusal in words reaches a peer that is still sending", async (worlds, after) => {
    const { near, far } = await connected(worlds, after);
    for (let i = 0; i < 20; i++) near.stream.write(new Uint8Array(10_000));
    far.stream.pause(true);
    await wait(worlds.left, 20);
    far.stream.write(utf8("wrong cluster"));
    far.stream.close();
    await poll(worlds.left, () => near.closed.length > 0);
    expect(text(near)).toBe("wrong cluster");
  });

  claim("streams outlive their listener, whose port is free at once", async (worlds, after) => {
    const { near, far, listener } = await connected(worlds, after);
    await listener.close();
    const again = await worlds.right.network.listen(listener.local, () => {});
    after(() => again.close());
    near.stream.write(utf8("still here"));
    await poll(worlds.left, () => text(far) === "still here");
  });
}

interface Recorded {
  readonly stream: Stream;
  readonly received: Uint8Array[];
  readonly closed: string[];
  drains: number;
}

function recorded(stream: Stream): Recorded {
  const record: Recorded = { stream, received: [], closed: [], drains: 0 };
  stream.open({
    onData: (bytes) => record.received.push(bytes),
    onDrain: () => {
      record.drains++;
    },
    onClose: (reason) => record.closed.push(reason),
  });
  return record;
}

const size = (record: Recorded): number => record.received.reduce((total, bytes) => total + bytes.length, 0);
const text = (record: Recorded): string => String.fromCharCode(...concatBytes(record.received));

async function connected({ left, right, rightHost }: WorldsUnderTest, after: (cleanup: () => unknown) => void) {
  const accepted: Recorded[] = [];
  const listener = await right.network.listen({ host: rightHost, port: 0 }, (stream) =>
    accepted.push(recorded(stream)),
  );
  const near = recorded(await left.network.connect(listener.local, 5_000));
  await poll(left, () => accepted.length === 1);
  const far = accepted[0] as Recorded;
  after(() => {
    near.stream.close();
    far.stream.close();
    return listener.close();
  });
  return { near, far, listener };
}
