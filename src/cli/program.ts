import { Command, CommanderError, Option } from "commander";
import { InputError } from "../kernel/assert.ts";
import { clusterCommands } from "./cluster-commands.ts";
import { configCommand } from "./config-command.ts";
import { conflictsCommand, explainCommand } from "./conflict-commands.ts";
import { DEFAULT_NODE } from "./context.ts";
import { controlCommands } from "./control-commands.ts";
import { devCommand } from "./dev-command.ts";
import { CliError, EXIT } from "./exit.ts";
import { exportCommand } from "./export-command.ts";
import { importCommand } from "./import-command.ts";
import { keysCommand } from "./keys-command.ts";
import { kvCommand } from "./kv-command.ts";
import { memberCommands } from "./member-commands.ts";
import type { RunNode, WaitFor } from "./node-command.ts";
import { nodeCommand } from "./node-command.ts";
import type { Recover } from "./recover-command.ts";
import { tourCommand } from "./tour-command.ts";

export interface ProgramParts {
  /** The script that is running: `dev` starts its nodes with it. */
  readonly main: string;
  readonly runNode: RunNode;
  readonly waitFor: WaitFor;
  readonly recover: Recover;
}

const EXIT_CODES = `
Exit codes: 0 done · 1 failed, or a claim did not hold · 2 wrong arguments or configuration · 3 not found
            4 refused by the node · 5 nobody answers at the node's address · 6 the node can't do it now

Colour and tables on a terminal, tab-separated lines elsewhere, --json for machines.`;

export function makeProgram(parts: ProgramParts): Command {
  const program = new Command("starling");
  program
    .description("Starling: a gossip-first, eventually consistent database built from CRDTs")
    .addOption(new Option("--node <url>", "the node to talk to").env("STARLING_NODE").default(DEFAULT_NODE))
    .option("--json", "answers as JSON")
    .configureHelp({
      showGlobalOptions: true,
      // Only those of the whole program: a parent's own options are not its subcommands'.
      visibleGlobalOptions: () => [...program.options],
    })
    .showHelpAfterError("(--help shows what this command takes)")
    .exitOverride()
    .addHelpText("after", EXIT_CODES);
  program.addCommand(devCommand(parts.main));
  program.addCommand(nodeCommand(parts.runNode, parts.waitFor));
  program.addCommand(configCommand());
  program.addCommand(keysCommand());
  for (const command of [...clusterCommands(), ...memberCommands(), ...controlCommands(parts.recover)])
    program.addCommand(command);
  const clients = [kvCommand, importCommand, exportCommand, conflictsCommand, explainCommand, tourCommand];
  for (const make of clients) program.addCommand(make());
  for (const command of program.commands) inherit(command, program);
  return program;
}

/** `addCommand` doesn't pass settings on. */
function inherit(command: Command, from: Command): void {
  command.copyInheritedSettings(from);
  for (const child of command.commands) inherit(child, command);
}

/** Runs a command line; never throws. @returns the exit code */
export async function runProgram(argv: readonly string[], parts: ProgramParts): Promise<number> {
  try {
    await makeProgram(parts).parseAsync([...argv]);
    return EXIT.ok;
  } catch (error) {
    // Commander has said by itself what was wrong, or printed the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (error instanceof CliError) return tell(error.message, error.exitCode);
    if (error instanceof InputError) return tell(error.message, EXIT.usage);
    throw error;
  }
}

function tell(message: string, exitCode: number): number {
  for (const line of message.split("\n")) process.stderr.write(`starling: ${line}\n`);
  return exitCode;
}
