import type { Config } from "../config/types.ts";
import { goesOnAlone, type Saved } from "../consensus/core/core.ts";
import { unframe } from "../consensus/driver/proposals.ts";
import { encodeCommand, encodeControl, encodeState } from "../control/codec.ts";
import { ControlMachine } from "../control/machine.ts";
import { type ControlState, LEVEL_KNOWN } from "../control/state.ts";
import { InputError, present } from "../kernel/assert.ts";
import { toHex } from "../kernel/bytes.ts";
import type { RaftLoad, RaftStore } from "../storage/raft-store.ts";
import { commitOf, type Store } from "../storage/store.ts";
import type { World } from "../world/world.ts";
import { Keeper, keptEntry } from "./keeper.ts";
import { compareTags, tagOf } from "./neighbours.ts";

export interface RecoveryOptions {
  readonly config: Config;
  readonly world: Pick<World, "disk" | "clock" | "sha256" | "secretBytes" | "timers" | "log">;
  /** Who votes from now on, this node among them. The others come as soon as they run. */
  readonly voters: readonly string[];
  /** The cluster's name: who gives up a quorum should know whose. */
  readonly cluster: string;
}

export interface Recovered {
  readonly incarnation: number;
  readonly version: number;
  readonly voters: readonly string[];
  /** Members that have to be heard of again, and leave their old logs behind. */
  readonly others: readonly string[];
}

/** Gives up the lost quorum of a stopped node's group: it goes on alone, with everything in its log (what was not committed yet
 *  may have been acknowledged by the lost ones), under a higher incarnation by which the old voters are fenced off. Rejects with
 *  InputError, and has changed nothing, when there is nothing to go on from. */
export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const { config, world } = options;
  const { dataDir } = config.node;
  const store = await world.disk.openStore(dataDir);
  try {
    const { settings } = await store.load();
    const raft = await world.disk.openRaftStore(dataDir);
    try {
      return await recoverFrom(options, raft, store, settings);
    } finally {
      await raft.close();
    }
  } finally {
    await store.close();
  }
}

async function recoverFrom(
  { config, world, voters, cluster }: RecoveryOptions,
  store: RaftStore,
  data: Store,
  remembered: ReadonlyMap<string, string>,
): Promise<Recovered> {
  const self = config.node.id;
  const load = await store.load();
  mustBeOurs(load, config);
  const machine = newestOf(load, remembered, world);
  const before = machine.state;
  if (before === null)
    throw new InputError("no-cluster", "this data directory knows of no cluster: there is nothing to recover from");
  if (before.cluster.name !== cluster)
    throw new InputError("wrong-cluster", `this node belongs to cluster ${before.cluster.name}, not to ${cluster}`);
  if (!voters.includes(self))
    throw new InputError("bad-voters", `name ${self} itself among the voters: it alone has the configuration then`);
  const instance = toHex(world.secretBytes(16));
  const last = lastOf(load, before);
  const index = last.index + 1;
  const atMs = Math.max(0, Math.floor(world.clock.wallMs()));
  const bytes = encodeCommand({
    kind: "raise-incarnation",
    id: `recover-${instance}`,
    basis: before.version,
    level: Math.min(before.featureLevel, LEVEL_KNOWN),
    by: self,
    atMs,
    reason: "the quorum was lost",
    ifVersion: null,
    incarnation: before.cluster.incarnation + 1,
    voters: [...voters],
    member: self,
    instance,
  });
  const result = machine.apply({ index, bytes });
  if (!result.ok) throw new InputError(result.slug, result.message);
  const { state } = machine;
  const after = present(state, "it was changed");
  const identity = { cluster: config.cluster.id, node: self, instance };
  await store.replace(identity, goesOnAlone(self, last, machine.snapshot()));
  // What is kept with the data says whose log may take part. Should this fail: what is there can be recovered once more.
  await data.commit(commitOf({ settings: [keptEntry(encodeState(after))] }));
  return {
    incarnation: after.cluster.incarnation,
    version: after.version,
    voters: [...voters],
    others: [...after.members.keys()].filter((id) => id !== self).sort(),
  };
}

function mustBeOurs(load: RaftLoad, { cluster, node }: Config): void {
  if (load.kind !== "whole") return;
  const { identity } = load;
  if (identity.cluster !== cluster.id || identity.node !== node.id)
    throw new InputError("raft-identity", `this is the data directory of ${identity.node} of ${identity.cluster}`);
}

/** A machine that has applied the newest that is here: the whole log, or what others had told. */
function newestOf(
  load: RaftLoad,
  remembered: ReadonlyMap<string, string>,
  { sha256, timers, log }: Pick<World, "sha256" | "timers" | "log">,
): ControlMachine {
  const told = new ControlMachine(sha256);
  const notebook = { remembered, remember: () => Promise.resolve(false) };
  new Keeper(notebook, { timers, log }).restore((bytes) => told.adopt(bytes));
  const logged = new ControlMachine(sha256);
  if (load.kind === "whole") replay(logged, load.saved);
  const [ours, theirs] = [logged.state, told.state];
  if (theirs === null || (ours !== null && compareTags(tagOf(ours, ""), tagOf(theirs, "")) >= 0)) return logged;
  // Which commands came to it isn't known: none that was made before may be applied any more.
  logged.restore(encodeControl({ state: theirs, recent: { entries: [], floor: theirs.version } }));
  return logged;
}

function replay(machine: ControlMachine, { snapshot, entries }: Saved): void {
  if (snapshot) machine.restore(snapshot.data);
  for (const { index, payload } of entries)
    if (payload.kind === "command") machine.apply({ index, bytes: unframe(payload.data).data });
}

/** Whatever others saw, and this node didn't, has a lower version than all that follows: who watches from there on misses
 *  nothing. */
const VERSIONS_LEFT_OUT = 1_000_000;

/** After the end of the log and the newest version that was seen. */
function lastOf(load: RaftLoad, { version }: ControlState): { readonly index: number; readonly term: number } {
  const saved = load.kind === "whole" ? load.saved : null;
  const last = saved?.entries.at(-1) ?? saved?.snapshot;
  const index = Math.max(last?.index ?? 0, version) + VERSIONS_LEFT_OUT;
  return { index, term: Math.max(last?.term ?? 0, saved?.hardState.term ?? 0) };
}
