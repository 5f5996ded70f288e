// The steps of a schedule. A step is a kind and three numbers; equal steps give equal runs, so a schedule shrinks by
// leaving steps out.

import { present } from "../../src/kernel/assert.ts";
import { faults } from "./partition-faults.ts";
import { leafOfKey } from "./partition-host.ts";
import type { World, WorldNode } from "./partition-world.ts";

/** What a step does: at `node`, with two numbers to draw by, and another node. */
export type StepOf = (world: World, node: WorldNode, b: number, c: number, other: WorldNode) => void;
export type Step = readonly [kind: string, a: number, b: number, c: number];

export function runStep(world: World, [kind, a, b, c]: Step): void {
  const node = world.node(a % world.nodes.length);
  if (!node.gone) present(steps[kind], `a step ${kind}`)(world, node, b, c, world.other(node, b));
}

const steps: Readonly<Record<string, StepOf>> = {
  ...faults,
  write: (world, node, b, c) => {
    if (world.isOwner(node)) world.commit(node, world.key(b), world.drawOps(c), "blind", "writes");
  },
  guestWrite: (world, node, b, c) => {
    if (!world.isOwner(node)) world.commit(node, world.key(b), world.drawOps(c), "blind", "as a guest writes");
  },
  /** A client writes at any owner what it saw elsewhere. */
  context: (world, node, b, c) => {
    const seen = world.client(c).seen.get(world.key(b)) ?? [];
    if (world.isOwner(node) && seen.length > 0)
      world.commit(node, world.key(b), world.drawOps(c), seen, "with context writes");
  },
  /** Asks owner after owner until a quorum has it. */
  quorumWrite: (world, node, b, c) => {
    const entry = world.isOwner(node)
      ? world.commit(node, world.key(b), world.drawOps(c), "blind", "at quorum writes")
      : null;
    const owners = world.ownersSeenBy(node);
    for (let i = 0; entry && i < owners.length && !world.oracle.quorum.has(entry); i++) {
      const peer = world.node(present(owners[(i + c) % owners.length], "an owner"));
      if (peer === node || !world.linked(node, peer)) continue;
      world.exchange(peer, node);
      world.exchange(node, peer);
    }
  },
  /** A read at one owner, in a session: it answers when it knows what the client has seen. */
  read: (world, node, b, c) => {
    const [key, client, { state, damaged }] = [world.key(b), world.client(c), node.disk];
    if (!world.isOwner(node) || damaged.has(leafOfKey(key)) || !state.vector.reaches(client.token)) return;
    world.answer(client, key, node.disk.row(key).cells, state.vector);
  },
  quorumRead: (world, node, b, c) => world.quorumRead(node, b, c),
  push: (world, node, _, c, to) => {
    const entries = node.disk.log.filter((e) => e.actor === node.actor).slice(-1 - (c % 3));
    if (entries.length > 0 && world.linked(node, to)) world.send(node, to, { type: "entries", entries });
  },
  ask: (world, node, _b, _c, to) => world.ask(node, to),
  digest: (world, node, _b, _c, to) => world.digest(node, to),
  exchange: (world, node, _, c, to) => world.exchange(node, to, c % 3 === 0),
  /** A copy is made now; it may arrive after anything. */
  fetchCopy: (world, node, _b, _c, to) => {
    if (world.linked(node, to)) world.sendCopy(to, node);
  },
  deliver: (world, _n, _b, c) => {
    const i = c % Math.max(1, world.inFlight.length);
    const message = world.inFlight[i];
    const from = message && world.node(message.from);
    if (!message || !from || !(from.gone || world.linked(from, world.node(message.to)))) return;
    world.inFlight.splice(i, 1);
    world.receive(message);
  },
};
