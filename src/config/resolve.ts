import { parse as parseToml, TomlError } from "smol-toml";
import { InputError } from "../kernel/assert.ts";
import { nearestName } from "./nearest.ts";
import type { Setting, SettingName, Values } from "./settings.ts";
import { environmentName, SETTING_NAMES, SETTINGS } from "./settings.ts";

/** Where settings come from, later ones win: what the platform tells, file, environment, flags. */
export interface Sources {
  readonly file?: { readonly path: string; readonly text: string };
  readonly environment: ReadonlyMap<string, string>;
  readonly flags: ReadonlyMap<SettingName, string>;
}

/** `from`: "default", the file's path, the variable's name, or the flag. */
export interface EffectiveSetting {
  readonly name: SettingName;
  readonly value: unknown;
  readonly shown: string;
  readonly from: string;
}

export interface Effective {
  readonly values: Values;
  readonly settings: readonly EffectiveSetting[];
}

interface Found {
  readonly raw: unknown;
  readonly from: string;
}

/** Merges the sources. Throws one InputError `bad-config` that lists every problem. */
export function resolveSettings(sources: Sources): Effective {
  const problems: string[] = [];
  const found = new Map<SettingName, Found>();
  readPlatform(sources.environment, found);
  if (sources.file) readFile(sources.file, found, problems);
  readEnvironment(sources.environment, found, problems);
  for (const [name, raw] of sources.flags) found.set(name, { raw, from: `--${name}` });

  const settings: EffectiveSetting[] = [];
  for (const name of SETTING_NAMES) {
    const setting: Setting<unknown> = SETTINGS[name] as Setting<unknown>;
    const { raw, from } = found.get(name) ?? { raw: setting.fallback, from: "default" };
    try {
      const value = raw === null ? null : setting.kind.parse(raw);
      const shown = value === null ? `(${setting.derived})` : setting.kind.show(value);
      settings.push({ name, value, shown, from });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(`${name} (${from}): ${error.message}`);
    }
  }
  if (problems.length > 0) throw badConfig(problems);
  const values = Object.fromEntries(settings.map(({ name, value }) => [name, value])) as unknown as Values;
  return { values, settings };
}

export function badConfig(problems: readonly string[]): InputError {
  return new InputError("bad-config", problems.join("\n"));
}

function isSetting(name: string): name is SettingName {
  return (SETTING_NAMES as readonly string[]).includes(name);
}

function readFile(file: { path: string; text: string }, found: Map<SettingName, Found>, problems: string[]): void {
  let document: Map<string, unknown>;
  try {
    document = new Map(Object.entries(parseToml(file.text)));
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    problems.push(`${file.path}:${error.line}:${error.column}: ${error.message.split("\n")[0]}`);
    return;
  }
  for (const [section, table] of document) {
    if (typeof table !== "object" || table === null || Array.isArray(table)) {
      problems.push(unknownName(file.path, section));
      continue;
    }
    for (const [key, raw] of Object.entries(table)) {
      const name = `${section}.${key}`;
      if (isSetting(name)) found.set(name, { raw, from: file.path });
      else problems.push(unknownName(file.path, name));
    }
  }
}

function unknownName(where: string, name: string): string {
  return `${where}: there is no setting ${name}; the nearest is ${nearestName(name, SETTING_NAMES)}`;
}

/** Where a pod finds the API of its cluster, as the kubelet tells every container; all else wins over it. */
function readPlatform(environment: ReadonlyMap<string, string>, found: Map<SettingName, Found>): void {
  const host = environment.get("KUBERNETES_SERVICE_HOST") ?? "";
  const port = environment.get("KUBERNETES_SERVICE_PORT") ?? "";
  if (host === "" || port === "") return;
  const raw = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  found.set("cluster.kubernetes_api", { raw, from: "KUBERNETES_SERVICE_HOST" });
}

/** Variables of ours that are no settings. */
const OTHER_VARIABLES = ["STARLING_NODE", "STARLING_CONFIG", "STARLING_CONFORMANCE", "STARLING_JOIN_TOKEN"];
// Kubernetes and Docker links set these for a service that is called "starling": not the user's doing.
const INJECTED = /^STARLING(_[A-Z0-9_]+)?_(SERVICE_(HOST|PORT)(_.*)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$/;

function readEnvironment(
  environment: ReadonlyMap<string, string>,
  found: Map<SettingName, Found>,
  problems: string[],
): void {
  const names = new Map(SETTING_NAMES.map((name) => [environmentName(name), name]));
  for (const [variable, raw] of environment) {
    if (!variable.startsWith("STARLING_") || OTHER_VARIABLES.includes(variable) || INJECTED.test(variable)) continue;
    const name = names.get(variable);
    if (name) found.set(name, { raw, from: variable });
    else
      problems.push(
        `environment: ${variable} is no setting; the nearest is ${nearestName(variable, [...names.keys()])}`,
      );
  }
}
