import { makeConfig } from "../../src/config/config.ts";
import { resolveSettings, type Sources } from "../../src/config/resolve.ts";
import { environmentName, SETTING_NAMES, SETTINGS, type Setting } from "../../src/config/settings.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { pick } from "./mutate.ts";
import { claim, type Target, unlessRefused } from "./target.ts";
import { mutated, toJsonText, treeOf } from "./tree.ts";

const OWN = { id: "c-own", salt: new Uint8Array(16).fill(1), name: null, role: "founder", seeds: [] } as const;
const SALT = "00112233445566778899aabbccddeeff";
const TOML = [
  '[node]\nid = "eu-1"\nregion = "eu"\n[client]\nbind = "127.0.0.1:7001"\n[limits]\nvalue_bytes = "2MiB"\nsiblings = 8\n',
  `[cluster]\nid = "c"\nsalt = "${SALT}"\nseeds = ["127.0.0.1:1", "[::1]:2"]\nowners = [{ id = "n1", region = "local", peer = "h:1" }]\n`,
  '[replication]\nsync_interval = "1.5s"\nhistory = "24h"\n[log]\nlevel = "warn" # loud\n[dev]\nenabled = true\n',
  '[[cluster.owners]]\nid = "n1"\nregion = "local"\n[cluster]\nname = """\nmany\nlines"""\n[x]\na.b.c = 1979-05-27T07:32:00Z\n',
];
const ENVIRONMENT = [
  "STARLING_NODE_ID=us-1\nSTARLING_LIMITS_VALUE_BYTES=1KiB\nPATH=/bin\nSTARLING_PORT_7001_TCP_PORT=7001",
  `STARLING_CLUSTER_ID=c\nSTARLING_CLUSTER_SALT=${SALT}\nSTARLING_CLUSTER_OWNERS=n1/local@127.0.0.1:7003,b/b`,
  "STARLING_GOSSIP_BIND=0.0.0.0:1\nSTARLING_SECURITY_INSECURE=true\nSTARLING_CLOCK_MAX_DRIFT=500ms",
];
const VALUES = [
  "1ms",
  "0s",
  "99999999d",
  "1e3s",
  "64MiB",
  "-1",
  "h:65536",
  "[::1]:0",
  "a,b,,c",
  "n/r@x:1",
  "true",
  "lan",
];
const SPECIAL = treeOf({ a: ["127.0.0.1:1"], id: "n1", region: "eu", peer: "h:1", n: 5, s: "5s", b: false });

/** A known or nearly known setting, with a value of any type. */
function setting(rng: Rng): [string, string] {
  const name = pick(rng, SETTING_NAMES);
  const { fallback } = SETTINGS[name] as Setting<unknown>;
  return [rng.below(8) === 0 ? `${name}x` : name, rng.below(2) === 0 ? pick(rng, VALUES) : (fallback ?? "")];
}

/** JSON's scalars and arrays are TOML's, its objects nearly so. */
function tomlOf(rng: Rng): Uint8Array {
  const lines = Array.from({ length: 1 + rng.below(4) }, () => {
    const [name, value] = setting(rng);
    const text =
      rng.below(2) === 0 ? JSON.stringify(value) : toJsonText(mutated(rng, [SPECIAL])).replaceAll('":', '"=');
    return `${name} = ${text}`;
  });
  return utf8(lines.join("\n"));
}

function environmentOf(rng: Rng): Uint8Array {
  const lines = Array.from({ length: 1 + rng.below(4) }, () => {
    const [name, value] = setting(rng);
    return `${environmentName(name as (typeof SETTING_NAMES)[number])}=${value}`;
  });
  return utf8(lines.join("\n"));
}

function parse(sources: Sources): boolean {
  const effective = unlessRefused(() => resolveSettings(sources));
  if (!effective) return false;
  for (const { name, shown } of effective.settings) claim(typeof shown === "string", `can't show ${name}`);
  const config = unlessRefused(() => makeConfig(effective.values, OWN));
  if (!config) return false;
  claim(config.cluster.salt.length >= 16 && config.limits.siblings >= 2, "has limits out of their range");
  return true;
}

const NONE: Sources = { environment: new Map(), flags: new Map() };

function variables(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split("\n").map((line) => {
      const equals = line.indexOf("=");
      return equals < 0 ? [line, ""] : [line.slice(0, equals), line.slice(equals + 1)];
    }),
  );
}

/** Files and variables are read as Node.js reads them: what is no UTF-8 is replaced. */
const textOf = (input: Uint8Array): string => Buffer.from(input).toString("utf8");

export const CONFIG_TARGETS: readonly Target[] = [
  {
    name: "config-toml",
    seeds: () => TOML.map(utf8),
    structured: tomlOf,
    parse: (input) => parse({ ...NONE, file: { path: "node.toml", text: textOf(input) } }),
  },
  {
    name: "config-environment",
    seeds: () => ENVIRONMENT.map(utf8),
    structured: environmentOf,
    parse: (input) => parse({ ...NONE, environment: variables(textOf(input)) }),
  },
];
