import { describe, expect, it } from "vitest";
import { BroadcastQueue } from "../../gossip/swim/broadcasts.ts";
import { encodeMessage, type Suspect } from "../../gossip/wire/messages.ts";

function suspect(node: string, incarnation = 1): Suspect {
  return { type: "suspect", node, incarnation, from: "x" };
}

const SIZE = encodeMessage(suspect("a")).length;

describe("broadcast queue (item 14)", () => {
  it("newer news about a member replaces older news, so that it is never longer than one per member", () => {
    const queue = new BroadcastQueue();
    for (let incarnation = 0; incarnation < 100; incarnation++) queue.put("a", suspect("a", incarnation));
    expect(queue.size).toBe(1);
    expect(queue.take(1000, 2, 4)).toEqual([suspect("a", 99)]);
  });

  it("what was sent least goes first", () => {
    const queue = new BroadcastQueue();
    queue.put("a", suspect("a"));
    queue.take(1000, 2, 4);
    queue.put("b", suspect("b"));
    const room = SIZE + 2;
    expect(queue.take(room, 2, 4)).toEqual([suspect("b")]);
    expect(queue.take(room, 2, 4)).toEqual([suspect("a")]);
    expect(queue.take(room, 2, 4)).toEqual([suspect("b")]);
  });

  it("news is forgotten after its number of transmissions, and renewed news starts to count anew", () => {
    const queue = new BroadcastQueue();
    queue.put("a", suspect("a"));
    for (let i = 0; i < 3; i++) expect(queue.take(1000, 2, 4)).toHaveLength(1);
    queue.put("a", suspect("a", 2));
    for (let i = 0; i < 4; i++) expect(queue.take(1000, 2, 4)).toEqual([suspect("a", 2)]);
    expect(queue.take(1000, 2, 4)).toEqual([]);
    expect(queue.size).toBe(0);
  });

  it("a packet is filled to its room and not over it, with what fits behind what doesn't", () => {
    const queue = new BroadcastQueue();
    queue.put("long", suspect("a name that is much too long for the room that is left here"));
    for (const name of "abc") queue.put(name, suspect(name));
    expect(queue.take(2 * (SIZE + 2) + 1, 2, 4)).toEqual([suspect("a"), suspect("b")]);
  });

  it("behind nine that don't fit nobody looks any further", () => {
    const long = (n: number) => suspect(`a name that is much too long for the room that is left here ${n}`);
    for (const misfits of [8, 9]) {
      const queue = new BroadcastQueue();
      for (let n = 0; n < misfits; n++) queue.put(`long${n}`, long(n));
      queue.put("a", suspect("a"));
      expect(queue.take(SIZE + 2, 2, 4)).toEqual(misfits === 8 ? [suspect("a")] : []);
    }
  });

  it("one message goes once into one packet", () => {
    const queue = new BroadcastQueue();
    queue.put("a", suspect("a"));
    expect(queue.take(100_000, 2, 4)).toEqual([suspect("a")]);
  });
});
