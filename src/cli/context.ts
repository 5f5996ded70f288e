import type { Command } from "commander";
import { NodeClient } from "./http-client.ts";
import { Output } from "./output.ts";

export const DEFAULT_NODE = "http://127.0.0.1:7001";

/** What every command that talks to a node gets. */
export interface Context {
  readonly out: Output;
  readonly client: NodeClient;
}

/** `--node` and `--json` stand before or after the command's name. */
export function contextOf(command: Command): Context {
  const { node } = command.optsWithGlobals<{ node?: string }>();
  return { out: outputOf(command), client: new NodeClient(node ?? DEFAULT_NODE) };
}

export function outputOf(command: Command): Output {
  return new Output({ json: command.optsWithGlobals<{ json?: boolean }>().json === true });
}

/** Adds a command's examples to its help. Each is `[what it does, the line after "starling "]`. */
export function withExamples(command: Command, ...examples: readonly (readonly [string, string])[]): Command {
  const lines = examples.map(([about, line]) => `  # ${about}\n  $ starling ${line}`);
  return command.addHelpText("after", `\nExamples:\n${lines.join("\n")}`);
}
