import { Command } from "commander";
import { configGetCommand } from "./config-get.ts";
import { effectiveSettings, withSettings } from "./config-sources.ts";
import { outputOf, withExamples } from "./context.ts";

export function configCommand(): Command {
  const check = withSettings(new Command("check"))
    .description("check a node's configuration and print every effective value with where it came from")
    .action((_options, command: Command) => {
      const out = outputOf(command);
      const { settings } = effectiveSettings(command);
      out.result(
        settings.map(({ name, shown, from }) => ({ name, value: shown, from })),
        () =>
          out.table(
            ["setting", "value", "from"],
            settings.map(({ name, shown, from }) => [name, shown, from === "default" ? out.color.dim(from) : from]),
          ),
      );
    });
  withExamples(
    check,
    ["a file, with one value changed", "config check --config starling.toml --gossip.bind 127.0.0.2:7946"],
    ["what the environment says", "config check --json"],
  );
  return new Command("config")
    .description("a node's configuration, and what its cluster agreed on")
    .addCommand(check)
    .addCommand(configGetCommand());
}
