import type { Command } from "commander";
import { Option } from "commander";
import type { OwnCluster } from "../config/config.ts";
import { problemsOf } from "../config/config.ts";
import { badConfig, type Effective, resolveSettings, type Sources } from "../config/resolve.ts";
import type { Setting, SettingName } from "../config/settings.ts";
import { SETTING_NAMES, SETTINGS } from "../config/settings.ts";
import { CliError, EXIT } from "./exit.ts";
import { readIfThere } from "./own-cluster.ts";

export type { OwnCluster };

/** Adds `--config` and a flag for every setting, grouped by section. */
export function withSettings(command: Command): Command {
  command.addOption(new Option("--config <file>", "TOML file with settings").env("STARLING_CONFIG"));
  for (const name of SETTING_NAMES) {
    const { about, fallback, derived } = SETTINGS[name] as Setting<unknown>;
    const otherwise = fallback === null ? derived : fallback === "" ? "none" : fallback;
    const section = name.slice(0, name.indexOf("."));
    command.addOption(new Option(`--${name} <value>`, `${about} (${otherwise})`).helpGroup(`[${section}]`));
  }
  return command;
}

/** The settings of this command line, its environment and its file, checked. */
export function effectiveSettings(command: Command, environment: NodeJS.ProcessEnv = process.env): Effective {
  const options = new Map<string, unknown>(Object.entries(command.opts()));
  const path = options.get("config");
  const sources: Sources = {
    ...(typeof path === "string" ? { file: readConfigFile(path) } : {}),
    environment: new Map(
      Object.entries(environment).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
    ),
    flags: new Map(
      SETTING_NAMES.flatMap((name): [SettingName, string][] => {
        const value = options.get(name);
        return typeof value === "string" ? [[name, value]] : [];
      }),
    ),
  };
  const effective = resolveSettings(sources);
  const problems = problemsOf(effective.values);
  if (problems.length > 0) throw badConfig(problems);
  return effective;
}

function readConfigFile(path: string): { path: string; text: string } {
  const text = readIfThere(path);
  if (text === null) throw new CliError(EXIT.usage, `there is no configuration file ${path}`);
  return { path, text };
}
