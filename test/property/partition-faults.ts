// What goes wrong in the world: links, processes, disks; and what operators do: configurations, force removal, closing.

import { CLOSED } from "../../crdt/index.ts";
import { poolVerdict } from "../../crdt/partition.ts";
import { present } from "../../src/kernel/assert.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { nodeOfActor } from "../../src/kernel/ids.ts";
import { leafOfKey, PartitionHost } from "./partition-host.ts";
import type { StepOf } from "./partition-steps.ts";
import type { World, WorldNode } from "./partition-world.ts";

// ---- processes and disks

function notReady(node: WorldNode): void {
  node.ready = false;
  node.levelledWith = new Set();
}

function restart(world: World, node: WorldNode): void {
  node.actor = world.newActor(node.name);
  node.disk = node.disk.clone(); // without what was in memory only
  node.reads = [];
  world.story.push(`${node.name} restarts as ${node.actor}`);
}

/** A schedule never spoils the last sound copy of a leaf: no rule could heal that. */
function soundElsewhere(world: World, node: WorldNode, leaf?: number): boolean {
  const others = world.nodes.filter((n) => n !== node && !n.gone);
  if (leaf === undefined) return !others.some((n) => n.disk.damaged.size > 0);
  const holdsAll = (n: WorldNode): boolean =>
    n.disk.soundLeaf(leaf) && n.disk.state.vector.reaches(node.disk.state.vector);
  const isKept = others.some((n) => world.config.new.includes(n.id) && holdsAll(n));
  return isKept && !others.some((n) => n.disk.damaged.has(leaf));
}

function destroyRow(world: World, node: WorldNode, key: string): boolean {
  if (!node.disk.rows.has(key) || !soundElsewhere(world, node, leafOfKey(key))) return false;
  world.oracle.whileDestroying(world.nodes, node, world.owners, () => node.disk.loseRow(key));
  return true;
}

const restore: StepOf = (world, node, b, c) => {
  const saved = node.backups[b % Math.max(1, node.backups.length)];
  if (!saved || !soundElsewhere(world, node)) return;
  world.oracle.whileDestroying(world.nodes, node, world.owners, () => {
    node.disk = saved.disk.clone();
    node.config = saved.config;
    if (c % 3 === 0) node.disk.forgetLog();
    restart(world, node);
    notReady(node);
  });
  world.story.push(`  from a backup${c % 3 === 0 ? " without its log" : ""}`);
};

// ---- configurations

/** One configuration after the other: who was no owner in between isn't ready, and its old acknowledgements are void. */
export function learnUpTo(world: World, node: WorldNode, version: number): void {
  while (node.config < version) {
    const before = world.ownersSeenBy(node);
    node.config += 1;
    if (world.isOwner(node) && !before.includes(node.id)) notReady(node);
    for (const id of before) if (!world.ownersSeenBy(node).includes(id)) node.disk.acks.delete(id);
  }
}

function learn(world: World, node: WorldNode): void {
  learnUpTo(world, node, world.configs.length - 1);
  if (!world.isOwner(node) && node.disk.state.vector.size === 0) return;
  for (const [actor, verdict] of world.closed) node.disk.close(actor, verdict);
}

function commitConfig(world: World, old: readonly number[], next: readonly number[]): void {
  world.configs.push({ old, new: next });
  world.story.push(`configuration ${world.configs.length - 1}: ${old.join("")} → ${next.join("")}`);
}

const isJoint = (world: World): boolean => world.config.old.join() !== world.config.new.join();

const change: StepOf = (world, node, b, c, to) => {
  if (isJoint(world) || to.gone) return;
  const now = world.config.new;
  if (now.includes(node.id) && !now.includes(to.id))
    commitConfig(
      world,
      now,
      now.map((id) => (id === node.id ? to.id : id)),
    );
  else if (!now.includes(node.id)) commitConfig(world, now, [...now, node.id]);
  else if (now.length > 2)
    commitConfig(
      world,
      now,
      now.filter((id) => id !== node.id),
    );
  if (c % 2) for (const n of world.nodes) if (!n.gone) learn(world, n);
  if (c % 4 !== 1) return; // else a move in a hurry: whoever is new asks one owner, and that should be it
  const source = world.node(present(now[b % now.length], "an owner"));
  for (const id of world.config.new) if (!now.includes(id)) world.exchange(world.node(id), source);
  finish(world);
};

/** A joint configuration ends when the new ones are ready and every old one runs under it. */
function finish(world: World): void {
  if (!isJoint(world)) return;
  const { old, new: next } = world.config;
  const last = world.configs.length - 1;
  const added = next.filter((id) => !old.includes(id)).map((id) => world.node(id));
  const caughtUp = added.every((n) => n.ready && n.config === last);
  if (caughtUp && old.every((id) => world.node(id).gone || world.node(id).config === last))
    commitConfig(world, next, next);
}

/** A guest or a removed owner forgets. */
function drop(world: World, node: WorldNode, handsOffFirst: boolean): void {
  if (world.isOwner(node)) return;
  const owners = world.ownersSeenBy(node);
  if (handsOffFirst) for (const id of owners) world.exchange(node, world.node(id));
  if (world.isOwner(node) || node.disk.state.vector.size === 0 || !node.disk.mayDrop(world.ownersSeenBy(node))) return;
  for (const entry of node.disk.log) world.oracle.forgotten(world.nodes, entry, node, world.ownersSeenBy(node).length);
  world.oracle.remember(node);
  node.disk = new PartitionHost();
  node.actor = world.newActor(node.name);
  world.story.push(`${node.name} drops the partition and is ${node.actor} now`);
}

// ---- closing

/** The node's earlier runs are over; all of them, if the node is. */
function close(world: World, node: WorldNode): void {
  const known = new Set(world.oracle.writes.map((entry) => entry.actor));
  for (const actor of known)
    if (nodeOfActor(actor) === node.name && (node.gone || actor !== node.actor)) closeActor(world, actor);
}

/** Every member, guests too, says what it holds of it. */
function closeActor(world: World, actor: ActorId): void {
  const members = world.nodes.filter((n) => !n.gone);
  if (members.some((n) => n.disk.state.vector.seq(actor) === CLOSED) && world.closed.has(actor)) return;
  const verdict = poolVerdict(members.map((n) => n.disk.holdings(actor)));
  world.closed.set(actor, verdict);
  for (const n of members) if (world.isOwner(n) || n.disk.state.vector.size > 0) n.disk.close(actor, verdict);
  world.story.push(`actor ${actor} is closed at ${verdict.upTo}, then ${verdict.later.length} entries`);
}

/** Force removal of a node that won't come back. */
const remove: StepOf = (world, node) => {
  const left = world.config.new.filter((id) => id !== node.id);
  if (world.nodes.some((n) => n.gone) || left.length < 2 || !soundElsewhere(world, node)) return;
  const destroy = (): void => {
    node.gone = true;
  };
  world.oracle.whileDestroying(world.nodes, node, world.owners, destroy, (actor) => nodeOfActor(actor) === node.name);
  world.story.push(`${node.name} is dead for ever and removed by force`);
  commitConfig(
    world,
    world.config.old.filter((id) => id !== node.id),
    left,
  );
  close(world, node);
};

export const faults: Readonly<Record<string, StepOf>> = {
  lose: (world, _n, _b, c) => {
    world.inFlight.splice(c % Math.max(1, world.inFlight.length), 1);
  },
  duplicate: (world, _n, _b, c) => {
    const message = world.inFlight[c % Math.max(1, world.inFlight.length)];
    if (message) world.inFlight.push(message);
  },
  cut: (world, node, _b, _c, to) => {
    world.cutLinks.add(`${node.id}${to.id}`);
  },
  healLinks: (world) => world.cutLinks.clear(),
  restart,
  /** A backup is a copy: made beside sound rows only. */
  backup: (world, node) => {
    if (!node.disk.copy()) return;
    node.backups = [...node.backups.slice(-1), { disk: node.disk.clone(), config: node.config }];
    world.story.push(`a backup of ${node.name} is made`);
  },
  restore,
  cutLog: (world, node, b) => {
    if (!world.isOwner(node)) return;
    node.disk.scrub();
    const before = node.disk.log;
    node.disk.cutLog(node.id, world.ownersSeenBy(node), 1 + (b % 8));
    const left = new Set(node.disk.log);
    for (const entry of before) if (!left.has(entry)) world.oracle.forgotten(world.nodes, entry, node, 1);
    // Else nobody could help those behind its floor: neither this node, nor they it (model, finding 6).
    if (left.size < before.length && !node.disk.isSound()) world.oracle.violation("log cut beside damage", node.name);
    world.story.push(`${node.name} cuts ${before.length - left.size} entries of its log`);
  },
  damage: (world, node, b) => {
    if (!destroyRow(world, node, world.key(b))) return;
    node.disk.quarantine(leafOfKey(world.key(b)));
    world.story.push(`the row ${world.key(b)} of ${node.name} has a bad checksum`);
  },
  loseRow: (world, node, b) => {
    if (destroyRow(world, node, world.key(b))) world.story.push(`the row ${world.key(b)} of ${node.name} vanishes`);
  },
  scrub: (_, node) => node.disk.scrub(),
  learn,
  change,
  finish,
  drop: (world, node, _, c) => drop(world, node, c % 2 === 1),
  remove,
  close,
};

/** Faults stop, links heal; the cluster must become quiet. */
export function settle(world: World): void {
  world.story.push("--- faults stop");
  world.cutLinks.clear();
  const living = (): WorldNode[] => world.nodes.filter((n) => !n.gone);
  let before = "";
  let quiet = 0;
  for (let round = 0; round < 30 && quiet < 2; round++) {
    for (const n of living()) learn(world, n);
    for (const n of living()) n.disk.scrub();
    for (const aboutRows of [false, true])
      for (const a of living()) for (const b of living()) if (a !== b) world.exchange(a, b, aboutRows);
    finish(world);
    for (const n of world.nodes) {
      if (!n.gone) drop(world, n, false);
      if (quiet > 0) close(world, n); // of those that are gone, too: a disk may have gone back behind the verdict
    }
    const now = signature(world);
    quiet = now === before ? quiet + 1 : 0;
    before = now;
  }
  if (quiet < 2) world.oracle.violation("never quiet", "after 30 rounds");
}

function signature(world: World): string {
  const nodes = world.nodes.map(({ disk, config }) => {
    const rows = [...disk.rows].map(([key, row]) =>
      [key, [...row.cells.keys()].sort(), [...row.stubs.keys()].sort()].join("/"),
    );
    return [config, disk.state.vector.entries().join(";"), ...rows.sort(), ...disk.damaged.keys()].join(" ");
  });
  return `${world.configs.length}|${nodes.join("|")}`;
}
