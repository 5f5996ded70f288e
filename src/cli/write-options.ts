import { type Command, Option } from "commander";

/** What any write may say besides its value. */
export interface WriteOptions {
  readonly context?: string;
  readonly reason?: string;
  readonly session?: string;
}

export function withWriteOptions(command: Command): Command {
  return command
    .addOption(new Option("--context <token>", "replace exactly what that reader saw; the rest stays beside it"))
    .addOption(new Option("--reason <text>", "kept with the write"))
    .addOption(new Option("--session <token>", "after what this session has seen"));
}

export function writeHeaders({ context, reason, session }: WriteOptions): Record<string, string> {
  return {
    ...(context === undefined ? {} : { "starling-context": context }),
    // Headers carry bytes: UTF-8, as the API reads it.
    ...(reason === undefined ? {} : { "starling-reason": Buffer.from(reason).toString("latin1") }),
    ...(session === undefined ? {} : { "starling-session": session }),
  };
}
