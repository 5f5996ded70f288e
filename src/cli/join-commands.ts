import { Command, Option } from "commander";
import { DEFAULT_NAME, type OwnCluster } from "../config/config.ts";
import { address as addressKind } from "../config/kinds.ts";
import type { Effective } from "../config/resolve.ts";
import type { Values } from "../config/settings.ts";
import { effectiveSettings, withSettings } from "./config-sources.ts";
import { outputOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { NodeClient } from "./http-client.ts";
import { keepOwnCluster, makeOwnCluster, mustBeFresh, ownClusterOf, readIfThere } from "./own-cluster.ts";
import { writeHeaders } from "./write-options.ts";

// What a data directory belongs to, said before its node first starts.

export function initCommand(): Command {
  const command = withSettings(new Command("init"))
    .description("found a cluster: the node of this data directory is its first member")
    .action((_options, self: Command) => {
      const out = outputOf(self);
      const effective = effectiveSettings(self);
      const { values } = effective;
      const dataDir = values["node.data_dir"];
      mustNameNoCluster(values, "there is nothing to make up");
      mustBeFresh(dataDir, "to found a cluster, take an empty data directory");
      const { id, name } = keepOwnCluster(dataDir, makeOwnCluster(values["cluster.name"] ?? DEFAULT_NAME));
      out.result({ cluster: { id, name }, dataDir }, () => {
        out.line(`${dataDir} is of a new cluster, ${name} (${id})`);
        out.note(`start its first node with: ${nodeLine(effective, self)}`);
      });
    });
  return withExamples(command, ["with its data in ./data", "init --node.data_dir data --cluster.name birds"]);
}

interface JoinOptions {
  readonly token?: string;
  readonly tokenFile?: string;
  readonly replace?: string;
  readonly reason?: string;
}

interface Welcome {
  readonly cluster: { readonly id: string; readonly name: string; readonly salt: string };
  readonly seeds: readonly string[];
  readonly version: number;
}

/** @param line as it stands after `starling` */
export function joinCommand(line: string): Command {
  const command = withSettings(new Command("join"))
    .description("let the node of this data directory into a cluster. Settings: as `starling node` takes them")
    .argument("<address>", "any member's client address: host:port, or a URL")
    .addOption(new Option("--token <token>", "made by `starling token create --join`").env("STARLING_JOIN_TOKEN"))
    .option("--token-file <file>", "where the token is, so that it stands in no list of processes")
    .option("--replace <node>", "take over the share of a dead member")
    .option("--reason <text>", "kept with the change")
    .action(async (address: string, options: JoinOptions, self: Command) => {
      const out = outputOf(self);
      const effective = effectiveSettings(self);
      const { values } = effective;
      const dataDir = values["node.data_dir"];
      mustNameNoCluster(values, "a member that lets the node in tells what belongs there");
      mustBeFresh(dataDir, "to join, take an empty data directory");
      const client = new NodeClient(address.includes("://") ? address : `http://${address}`);
      const asked = {
        token: tokenOf(options, self),
        node: nodeOf(values),
        ...(values["cluster.name"] !== null && { cluster: values["cluster.name"] }),
        ...(options.replace !== undefined && { replace: options.replace }),
      };
      const headers = writeHeaders(options);
      const answer = await client.json<Welcome>("POST", "/cluster/join", asked, { headers });
      const { id, name, seeds } = keepOwnCluster(dataDir, memberOf(answer, client.url));
      out.result({ cluster: { id, name }, seeds, dataDir, node: asked.node.id, version: answer.version }, () => {
        out.line(`${asked.node.id} may join ${name} (version ${answer.version}): ${dataDir} says so`);
        if (seeds.length === 0) out.note("nobody's gossip address was told: set cluster.seeds");
        out.note(`start it with: ${nodeLine(effective, self)}`);
      });
    });
  return withExamples(
    command,
    ["the token from a file", `${line} 10.0.0.1:7001 --token-file token --node.id us-1 --node.region us`],
    ["instead of one that is lost", `${line} 10.0.0.1:7001 --token-file token --node.id us-2 --replace us-1`],
  );
}

/** Settings that name a cluster and a file that does would be two truths. */
function mustNameNoCluster(values: Values, why: string): void {
  const named = (["cluster.id", "cluster.owners", "cluster.bootstrap_expect"] as const).find(
    (name) => values[name] !== null && !(name === "cluster.bootstrap_expect" && values[name] === 1),
  );
  if (named !== undefined)
    throw new CliError(
      EXIT.usage,
      `${named} is set, so the configuration says what cluster this is: ${why}; leave it out`,
    );
}

const TOKEN = /^[A-Za-z0-9_-]{4,32}\.[A-Za-z0-9_-]{1,128}$/;

function tokenOf({ token, tokenFile }: JoinOptions, self: Command): string {
  if (tokenFile !== undefined && self.getOptionValueSource("token") === "cli")
    throw new CliError(EXIT.usage, "--token and --token-file both give a token: leave one of them out");
  const text = tokenFile === undefined ? token : readIfThere(tokenFile);
  if (text === null) throw new CliError(EXIT.usage, `there is no file ${tokenFile}`);
  if (text === undefined)
    throw new CliError(
      EXIT.usage,
      "a join token is needed: --token, --token-file or STARLING_JOIN_TOKEN. `starling token create --join` on a member makes one",
    );
  // What it says stays out of the sentence: it may be a secret of another kind.
  if (!TOKEN.test(text.trim())) throw new CliError(EXIT.usage, "that is no join token: it looks like <id>.<secret>");
  return text.trim();
}

/** What it says of itself; where a port is chosen at the start, the node tells it then. */
function nodeOf(values: Values) {
  const at = (listener: "client" | "gossip" | "peer"): string | null => {
    const address = values[`${listener}.advertise`] ?? values[`${listener}.bind`];
    return address.port === 0 ? null : addressKind.show(address);
  };
  return {
    id: values["node.id"],
    region: values["node.region"],
    zone: values["node.zone"],
    addresses: { client: at("client"), gossip: at("gossip"), peer: at("peer") },
  };
}

function memberOf({ cluster, seeds }: Welcome, url: string): OwnCluster {
  try {
    return ownClusterOf(new Map(Object.entries({ ...cluster, role: "member", seeds })));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new CliError(
      EXIT.failed,
      `${url} answered something else than a node that lets another in (${why}): is it one?`,
    );
  }
}

/** The command that starts the node with the settings of this command line; secrets are left out. */
function nodeLine({ settings }: Effective, self: Command): string {
  const { config } = self.opts<{ config?: string }>();
  const given = settings.filter(({ name, from, shown }) => from === `--${name}` && !shown.includes("(secret)"));
  const parts = [
    ...(config === undefined ? [] : ["--config", config]),
    ...given.flatMap(({ name, shown }) => [`--${name}`, shown]),
  ];
  return ["starling", "node", ...parts.map(quoted)].join(" ");
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
