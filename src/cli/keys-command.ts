import { randomBytes } from "node:crypto";
import { Command } from "commander";
import { type Context, contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";

interface KeysAnswer {
  readonly key?: string;
  readonly complete: boolean;
  readonly members: number;
  readonly answered: number;
  readonly silent: readonly string[];
  readonly refused: readonly { readonly node: string; readonly reason: string }[];
  readonly keys: readonly { readonly key: string; readonly members: number; readonly using: number }[];
}

const KEY_BYTES = 32;

/** `starling keys`: the keys of gossip, as `serf keys`. */
export function keysCommand(): Command {
  const command = new Command("keys").description("keys of encrypted gossip: make, list, change them on all members");
  command.addCommand(generateCommand());
  command.addCommand(listCommand());
  command.addCommand(changeCommand("install", "give a key to all members; they read with it from now on"));
  command.addCommand(changeCommand("use", "encrypt with an installed key from now on"));
  command.addCommand(changeCommand("remove", "take a key that is not in use from all members"));
  return command;
}

function generateCommand(): Command {
  const command = new Command("generate")
    .description("print a new key; nothing is changed")
    .action((_options, self) => {
      const { out } = contextOf(self);
      const key = randomBytes(KEY_BYTES).toString("base64");
      out.result({ key }, () => out.line(key));
    });
  return withExamples(command, ["for the configuration of all nodes", "keys generate"]);
}

function listCommand(): Command {
  const command = new Command("list")
    .description("fingerprints of the keys that members hold")
    .action(async (_options, self: Command) => {
      const context = contextOf(self);
      show(context, await context.client.get<KeysAnswer>("/cluster/gossip/keys"));
    });
  return withExamples(command, ["who still has the old one", "keys list"]);
}

function changeCommand(operation: "install" | "use" | "remove", about: string): Command {
  const command = new Command(operation)
    .description(about)
    .argument("<key>", "base64, as `starling keys generate` prints it")
    .action(async (key: string, _options, self: Command) => {
      const context = contextOf(self);
      show(context, await context.client.json<KeysAnswer>("POST", "/cluster/gossip/keys", { operation, key }));
    });
  return withExamples(command, ["a rotation is install, use, remove", `keys ${operation} "$KEY"`]);
}

function show({ out }: Context, answer: KeysAnswer): void {
  const { complete, members, answered, silent, refused, keys, key } = answer;
  out.result(answer, () => {
    if (keys.length > 0)
      out.table(
        ["key", "members", "encrypt with it"],
        keys.map((row) => [row.key, `${row.members} of ${members}`, row.using]),
      );
    else if (key !== undefined) out.line(`key ${key}: done by ${answered - refused.length} of ${members} members`);
    for (const { node, reason } of refused) out.note(`${node} refused: ${reason}`);
    if (silent.length > 0) out.note(`no answer in time from ${silent.join(", ")}`);
  });
  if (!complete)
    throw new CliError(
      EXIT.failed,
      "not all members did it (above): repeat it when they are there; a repeat does no harm",
    );
}
