/** Who may import whom (architecture.md, rule 1). A file belongs to the longest name here that it is or lies under. It may
 *  import its own part and what is listed: a folder with all in it that is no part of its own, or one file; after `type`
 *  only types (a contract kit runs, so it may use more of them). */
export const ARROWS: Readonly<Record<string, readonly string[]>> = {
  "src/kernel": [],

  crdt: ["src/kernel"],

  "gossip/wire": ["src/kernel"],
  "gossip/swim": ["src/kernel", "gossip/wire"],
  "gossip/antientropy": ["src/kernel"],
  "gossip/discovery": ["src/kernel", "gossip/wire"],
  "gossip/index.ts": ["gossip/wire", "gossip/swim", "gossip/antientropy"],
  "gossip/drivers": ["src/kernel", "gossip/index.ts", "gossip/swim", "gossip/discovery", "src/world/world.ts"],

  // `starling/gossip`: the one driver with the real World in it.
  "gossip/drivers/pool.ts": [
    "src/kernel",
    "gossip/index.ts",
    "gossip/drivers",
    "src/world/world.ts",
    "src/world/real.ts",
  ],

  "src/conflicts": ["src/kernel", "crdt/index.ts"],

  "src/consensus/core": ["src/kernel"],
  "src/consensus/driver": [
    "src/kernel",
    "src/consensus/core",
    "src/peer",
    "type src/storage/raft-store.ts",
    "src/storage/store.ts",
    "src/storage/closing.ts",
    "src/storage/turns.ts",
    "src/world/world.ts",
  ],

  // Links between nodes: what travels on them is the business of who uses them.
  "src/peer": ["src/kernel", "src/world/world.ts"],

  "src/control": ["src/kernel", "type src/consensus/core"],

  "src/storage": ["src/kernel", "type crdt/index.ts", "src/consensus/core"],
  "src/world": ["src/kernel", "type src/consensus/core", "type src/storage/store.ts", "type src/storage/raft-store.ts"],
  "src/world/real.ts": ["src/kernel", "src/world", "src/storage/sqlite.ts", "src/storage/sqlite-raft.ts"],
  // Which constants of a profile go together, and how seeds are written, is said where it is understood.
  "src/config": ["src/kernel", "gossip/index.ts", "gossip/discovery/notation.ts", "src/world/world.ts"],

  "src/replication": [
    "src/kernel",
    "crdt/index.ts",
    "gossip/antientropy",
    "src/conflicts",
    "src/config/types.ts",
    "src/storage/store.ts",
    "src/peer",
    "src/world/world.ts",
  ],

  // Figures are pulled from whoever has them when somebody asks.
  "src/observability": [
    "src/kernel",
    "src/world/world.ts",
    "src/replication/api.ts",
    "type src/plane/api.ts",
    "type gossip/drivers/gossip-host.ts",
  ],

  // What the store answers (RowKey, journal records) comes through the replica unchanged.
  // A node's part in what the cluster agrees on.
  "src/plane": [
    "src/kernel",
    "type src/config/types.ts",
    "src/consensus/core/core.ts",
    "type src/consensus/core",
    "src/consensus/driver",
    "src/control",
    "src/peer/link.ts",
    "type src/peer",
    "type src/replication/owners.ts",
    "type src/replication/replica.ts",
    "type src/storage/raft-store.ts",
    "src/storage/store.ts",
    "src/world/world.ts",
  ],

  "src/http": [
    "src/kernel",
    "crdt/index.ts",
    "src/conflicts",
    "src/config/types.ts",
    "type src/storage/store.ts",
    "src/replication/api.ts",
    "type src/replication/owners.ts",
    // What may be asked of the control plane, and the state that it answers with.
    "src/plane/api.ts",
    "src/control",
    "src/observability",
    "src/world/world.ts",
    "src/world/shaping.ts",
  ],

  // Speaks HTTP like any client; reads configuration files, and the log lines of the nodes that `dev` starts.
  "src/cli": ["src/kernel", "src/config", "src/observability/log-line.ts"],

  // The wiring: node.ts knows everybody, members.ts joins gossip to what shows members, gossip-memory.ts to what keeps it.
  "src/gossip-memory.ts": ["src/kernel", "gossip/index.ts", "src/config", "src/world/world.ts"],
  "src/members.ts": [
    "src/kernel",
    "gossip/drivers",
    "gossip/index.ts",
    "src/config",
    "src/http/deps.ts",
    "src/plane/neighbours.ts",
    "src/world/world.ts",
  ],
  "src/node.ts": [
    "src/kernel",
    "crdt/index.ts",
    "gossip/drivers",
    "gossip/index.ts",
    "src/config",
    "src/conflicts",
    "src/storage/store.ts",
    "src/storage/closing.ts",
    "src/replication",
    "src/peer/link.ts",
    "type src/consensus/driver/settings.ts",
    "src/plane/plane.ts",
    "type src/control/schemas.ts",
    "src/observability",
    "src/http",
    "src/members.ts",
    "src/gossip-memory.ts",
    "src/world/world.ts",
    "src/world/shaping.ts",
  ],
  "src/main.ts": [
    "src/kernel",
    "src/cli",
    "src/config",
    "src/observability",
    "src/node.ts",
    "src/plane/recovery.ts",
    "src/world/world.ts",
    "src/world/real.ts",
  ],

  bench: ["crdt", "gossip", "src"],
  test: ["crdt", "gossip", "src", "bench", "vitest.config.ts"],
};

const isUnder = (path: string, name: string): boolean => path === name || path.startsWith(`${name}/`);

/** The part a file belongs to; null for files that are in none. */
export function partOf(path: string): string | null {
  const names = Object.keys(ARROWS).filter((name) => isUnder(path, name));
  return names.sort((a, b) => b.length - a.length)[0] ?? null;
}

/** May `from` import `to`? */
export function isAllowed(from: string, to: string, typeOnly: boolean): boolean {
  const part = partOf(from);
  const target = partOf(to);
  if (part === null || target === null) return false;
  if (part === target) return true;
  const typesWillDo = typeOnly || from.endsWith(".test-kit.ts");
  const listed = (ARROWS[part] ?? [])
    .filter((entry) => typesWillDo || !entry.startsWith("type "))
    .map((entry) => entry.replace("type ", ""))
    .filter((name) => isUnder(to, name));
  // A part inside a listed folder (the real World in the World's) is listed by its own name; tests and benches reach in.
  return part === "test" || part === "bench" ? listed.length > 0 : listed.some((name) => isUnder(name, target));
}
