import { assert } from "../kernel/assert.ts";
import { ACCESS_COMMANDS } from "./access.ts";
import type { Command, CommandOf, Kind } from "./commands.ts";
import { found, MEMBER_COMMANDS } from "./members.ts";
import { REFUSALS, Refusal, refuse, type Slug } from "./refusals.ts";
import { SETTING_COMMANDS } from "./settings.ts";
import type { ControlState } from "./state.ts";

/** What became of a command. `version` is the state's after it: the command's own index if it changed anything. */
export type Result = Applied | Refused;

export interface Applied {
  readonly ok: true;
  readonly version: number;
}

export interface Refused {
  readonly ok: false;
  readonly slug: Slug;
  /** An HTTP status that fits. */
  readonly status: number;
  /** What to do. */
  readonly message: string;
}

/** What the Raft log builds: the state that others read, and which commands were in the log lately. A snapshot has both;
 *  who pulls the state from a peer needs only that. */
export interface Control {
  /** Null before the cluster was founded. */
  readonly state: ControlState | null;
  readonly recent: Recent;
}

/** A command that was proposed twice, because its first answer was lost, is applied once: the second time it gets the
 *  first one's result, a refusal too. That holds without end: when a command that changed something is forgotten, what was
 *  made before it is no longer applied (`too-old`), for nobody knows whether it was. A forgotten refusal may be judged
 *  anew. */
export interface Recent {
  readonly entries: readonly RecentCommand[];
  /** Index of the last forgotten command that changed the state; never above the state's version. */
  readonly floor: number;
}

export interface RecentCommand {
  readonly id: string;
  readonly index: number;
  readonly result: Result;
}

export const RECENT_MAX = 512;

export const UNFOUNDED: Control = { state: null, recent: { entries: [], floor: 0 } };

type Handler<K extends Kind> = (state: ControlState, command: CommandOf<K>, version: number) => ControlState;

const HANDLERS: { readonly [K in Exclude<Kind, "init">]: Handler<K> } = {
  ...MEMBER_COMMANDS,
  ...SETTING_COMMANDS,
  ...ACCESS_COMMANDS,
};

/** The next state and what to answer: a function of its arguments alone. A refusal changes nothing that others can see.
 *  Nodes of two versions run side by side during an upgrade: what a command does to the state, and every bound it meets, may
 *  become another only from a feature level on. (Sentences may differ: they are in no state and no hash.)
 *  @param index of the command in the Raft log: above all earlier ones */
export function apply(control: Control, index: number, command: Command): { control: Control; result: Result } {
  const { state, recent } = control;
  assert(index > (state?.version ?? 0), "commands are applied in the order of the log");
  const known = recent.entries.find(({ id }) => id === command.id);
  if (known) return { control, result: known.result };
  const next = decided(control, index, command);
  const changed = "slug" in next ? state : next;
  const result: Result = "slug" in next ? refused(next) : { ok: true, version: next.version };
  return { control: { state: changed, recent: remembered(recent, { id: command.id, index, result }) }, result };
}

function refused({ slug, message }: Refusal): Refused {
  return { ok: false, slug, status: REFUSALS[slug], message };
}

function decided({ state, recent }: Control, index: number, command: Command): ControlState | Refusal {
  try {
    if (command.basis < recent.floor)
      refuse(
        "too-old",
        "too much has changed since this command was made to know whether it was applied: look, and ask anew",
      );
    if (state === null) return first(command, index);
    if (command.kind === "init")
      refuse("already-founded", `this is cluster ${state.cluster.name}: a node with data can't found another`);
    if (command.level > state.featureLevel)
      refuse("level-not-final", `this needs feature level ${command.level}: run \`starling upgrade finalize\` first`);
    mustBeVersion(state, command);
    const handler = HANDLERS[command.kind] as Handler<Kind>;
    const next = handler(state, command as CommandOf<Kind>, index);
    return next === state ? state : { ...next, version: index };
  } catch (error) {
    if (error instanceof Refusal) return error;
    throw error;
  }
}

function first(command: Command, index: number): ControlState {
  if (command.kind !== "init") refuse("no-cluster", "there is no cluster yet: run `starling init`, or join one");
  return { ...found(command), version: index };
}

function mustBeVersion(state: ControlState, command: Command): void {
  const version = versionFor(state, command);
  if (command.ifVersion !== null && command.ifVersion !== version)
    refuse("version-mismatch", `it is at version ${version}, not ${command.ifVersion}: read it again and decide anew`);
}

/** The version that `ifVersion` speaks of: 0 for what isn't there. */
export function versionFor(state: ControlState, command: Command): number {
  if (command.kind === "set-policy") return state.policies.get(command.bucket)?.version ?? 0;
  if (command.kind === "set-bucket") return state.buckets.get(command.bucket)?.version ?? 0;
  return state.version;
}

function remembered({ entries, floor }: Recent, entry: RecentCommand): Recent {
  if (entries.length < RECENT_MAX) return { entries: [...entries, entry], floor };
  const [oldest] = entries;
  assert(oldest !== undefined, "a full memory has an oldest entry");
  const { result, index } = oldest;
  const hasChanged = result.ok && result.version === index;
  return { entries: [...entries.slice(1), entry], floor: hasChanged ? index : floor };
}
