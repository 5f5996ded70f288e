import { apply, type Control } from "../../src/control/apply.ts";
import {
  decodeCommand,
  decodeControl,
  decodeState,
  encodeCommand,
  encodeControl,
  encodeState,
} from "../../src/control/codec.ts";
import { diff, replay } from "../../src/control/diff.ts";
import { viewOf } from "../../src/control/view.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { history, lived } from "../control/arbitraries.ts";
import { claim, type Target } from "./target.ts";
import { canonical, samples } from "./targets-crdt.ts";
import { mutated, type Tree, toJsonText, treeOf } from "./tree.ts";

let pool: ReturnType<typeof lived>[] | undefined;
/** Logs and what they make. */
function lives(): ReturnType<typeof lived>[] {
  pool ??= samples(history, 30).map(lived);
  return pool;
}

/** JSON that is wrong by structure, with its spaces and its order right. */
function jsonMutations(seeds: () => readonly Uint8Array[]): (rng: Rng) => Uint8Array {
  let trees: readonly Tree[] | undefined;
  return (rng) => {
    trees ??= seeds().map((bytes) => treeOf(JSON.parse(fromUtf8(bytes))));
    return utf8(toJsonText(mutated(rng, trees)).slice(0, 100_000));
  };
}

function target(name: string, seeds: () => Uint8Array[], one: Target): Target {
  return { ...one, name, seeds, structured: jsonMutations(seeds) };
}

const commands = (): Uint8Array[] =>
  lives().flatMap(({ moments }) => moments.map(({ command }) => encodeCommand(command)));
const states = (): Uint8Array[] => lives().map(({ cluster }) => encodeState(cluster.state));
const snapshots = (): Uint8Array[] => lives().map(({ cluster }) => encodeControl(cluster.control));

/** Whatever it says, it is applied or refused. */
function applied(command: ReturnType<typeof decodeCommand>): void {
  for (const { cluster } of lives().slice(0, 4)) {
    const { control, result } = apply(cluster.control, cluster.index + 1, command);
    claim(result.ok || control.state === cluster.control.state, "was refused and changed something");
  }
}

function usable({ state }: Pick<Control, "state">): void {
  if (!state) return;
  const view = viewOf(state);
  claim(Object.keys(replay({}, diff({}, view))).length === Object.keys(view).length, "has no view");
}

/** Inputs of many kilobytes. */
const LONG = { inputsInTest: 5_000 };

export const CONTROL_TARGETS: readonly Target[] = [
  target("control-command", commands, canonical("", commands, decodeCommand, encodeCommand, applied)),
  {
    ...target(
      "control-state",
      states,
      canonical("", states, decodeState, encodeState, (state) => usable({ state })),
    ),
    ...LONG,
  },
  { ...target("control-snapshot", snapshots, canonical("", snapshots, decodeControl, encodeControl, usable)), ...LONG },
];
