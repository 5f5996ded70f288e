import { Command } from "commander";
import { statusCommand } from "./cluster-commands.ts";
import { contextOf, withExamples } from "./context.ts";
import { formatBytes } from "./format.ts";
import { initCommand, joinCommand } from "./join-commands.ts";
import { decommissionCommand, drainCommand, leaveCommand, removeCommand } from "./leaving-commands.ts";
import { type NodeView, roleText } from "./nodes.ts";
import { type Output, stateText } from "./output.ts";
import { policyCommand } from "./policy-command.ts";
import { type Recover, recoverCommand } from "./recover-command.ts";
import { tokenCommand } from "./token-command.ts";
import { writeHeaders } from "./write-options.ts";

/** What a cluster agrees on, and who does. */
export function controlCommands(recover: Recover): Command[] {
  return [
    initCommand(),
    joinCommand("join"),
    leaveCommand("leave"),
    drainCommand("drain"),
    decommissionCommand("decommission"),
    maintenanceCommand("maintenance"),
    clusterCommand(recover),
    recoverCommand("recover", recover),
    policyCommand(),
    tokenCommand(),
  ];
}

function clusterCommand(recover: Recover): Command {
  return new Command("cluster")
    .description("the cluster: its Raft group, and who comes and goes")
    .addCommand(statusCommand("cluster status"))
    .addCommand(peersCommand())
    .addCommand(leaderCommand())
    .addCommand(consensusCommand())
    .addCommand(snapshotCommand())
    .addCommand(joinCommand("cluster join"))
    .addCommand(leaveCommand("cluster leave"))
    .addCommand(drainCommand("cluster drain"))
    .addCommand(decommissionCommand("cluster decommission"))
    .addCommand(removeCommand("cluster remove"))
    .addCommand(maintenanceCommand("cluster maintenance"))
    .addCommand(recoverCommand("cluster recover", recover));
}

function peersCommand(): Command {
  const command = new Command("peers")
    .description("the other members: what was agreed about them, and what gossip says")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<{ nodes: readonly NodeView[] }>("/cluster/peers");
      out.result(answer, () =>
        out.table(
          ["node", "region", "member", "role", "gossip", "client", "rtt"],
          answer.nodes.map((node) => [
            node.id,
            node.region,
            node.memberState,
            roleText(node),
            stateText(out, node.state),
            node.addresses.client,
            node.rttMs === null ? "" : `${node.rttMs.toFixed(1)} ms`,
          ]),
        ),
      );
    });
  return withExamples(command, ["as us sees them", "cluster peers --node http://127.0.0.1:7011"]);
}

interface LeaderAnswer {
  readonly leader: string;
  readonly term: number;
  readonly region: string | null;
  readonly client: string | null;
}

function leaderCommand(): Command {
  const command = new Command("leader")
    .description("who leads the Raft group, as the node knows; exit code 3 when it knows of none")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<LeaderAnswer>("/cluster/leader");
      out.result(answer, () =>
        out.table(["leader", "term", "region", "client"], [[answer.leader, answer.term, answer.region, answer.client]]),
      );
    });
  return withExamples(command, ["in a script", "cluster leader --json"]);
}

interface Times {
  readonly count: number;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

interface ConsensusAnswer {
  readonly node: string;
  readonly state: string;
  readonly reason: string | null;
  readonly role: string;
  readonly term: number;
  readonly leader: string | null;
  readonly voters: readonly string[];
  readonly learners: readonly string[];
  readonly indexes: {
    readonly last: number;
    readonly committed: number;
    readonly applied: number;
    readonly snapshot: number;
  };
  readonly followers: readonly { readonly node: string; readonly state: string; readonly lagEntries: number }[];
  readonly links: readonly {
    readonly node: string;
    readonly isUp: boolean;
    readonly rttMs: number | null;
    readonly reason: string | null;
  }[];
  readonly figures: {
    readonly terms: number;
    readonly leaders: number;
    readonly proposalMs: Times;
    readonly saveMs: Times;
  };
  readonly autopilot: { readonly on: boolean; readonly advice: string | null } | null;
  readonly config: { readonly version: number | null; readonly hash: string | null };
}

function consensusCommand(): Command {
  const command = new Command("consensus")
    .description("Raft as one node sees it: role, group, indexes, lag, links, times, autopilot")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<ConsensusAnswer>("/cluster/consensus");
      out.result(answer, () => showConsensus(out, answer));
    });
  return withExamples(
    command,
    ["of the node asked", "cluster consensus"],
    ["what a follower knows", "cluster consensus --node http://127.0.0.1:7011"],
  );
}

function showConsensus(out: Output, answer: ConsensusAnswer): void {
  const { indexes, figures, autopilot, config } = answer;
  out.table(
    ["node", "role", "term", "leader", "voters", "learners", "last", "committed", "applied", "snapshot", "config"],
    [
      [
        answer.node,
        answer.state === "running" ? answer.role : `${answer.state}: ${answer.reason ?? ""}`,
        answer.term,
        answer.leader,
        answer.voters.join(" "),
        answer.learners.join(" "),
        indexes.last,
        indexes.committed,
        indexes.applied,
        indexes.snapshot,
        config.version,
      ],
    ],
  );
  out.line();
  const lag = new Map(answer.followers.map((follower) => [follower.node, follower]));
  out.table(
    ["peer", "link", "rtt", "follows", "behind by"],
    answer.links.map(({ node, isUp, rttMs, reason }) => [
      node,
      isUp ? stateText(out, "up") : out.color.yellow(reason ?? "down"),
      rttMs === null ? "" : `${rttMs.toFixed(1)} ms`,
      lag.get(node)?.state ?? "",
      lag.get(node)?.lagEntries ?? "",
    ]),
  );
  out.line();
  const times = ({ count, p50Ms, p99Ms }: Times): string =>
    p50Ms === null || p99Ms === null ? "none yet" : `${count}, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`;
  out.line(`proposals of this node: ${times(figures.proposalMs)}; durable writes: ${times(figures.saveMs)}`);
  out.line(`since its start: ${figures.terms} terms began, ${figures.leaders} leaders seen`);
  if (autopilot)
    out.line(`autopilot is ${autopilot.on ? "on" : "off"}${autopilot.advice ? `: ${autopilot.advice}` : ""}`);
}

function snapshotCommand(): Command {
  const command = new Command("snapshot")
    .description("save a node's agreed state in the place of its Raft log, now")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.json<{ node: string; index: number; bytes: number; isNew: boolean }>(
        "POST",
        "/cluster/snapshot",
      );
      out.result(answer, () =>
        out.line(
          answer.isNew
            ? `${answer.node}: up to entry ${answer.index}, ${formatBytes(answer.bytes)}`
            : `${answer.node}: nothing new since the one at entry ${answer.index}`,
        ),
      );
    });
  return withExamples(command, ["before a backup", "cluster snapshot"]);
}

function maintenanceCommand(line: string): Command {
  const command = new Command("maintenance").description(
    "take a node out of traffic for a while; it keeps what it owns",
  );
  for (const [name, method, about] of [
    ["on", "PUT", "it takes no traffic from now on"],
    ["off", "DELETE", "back to work"],
  ] as const) {
    const one = new Command(name)
      .description(about)
      .argument("<node>", "a member's id")
      .option("--reason <text>", "kept with the change")
      .action(async (node: string, options: { reason?: string }, self: Command) => {
        const { out, client } = contextOf(self);
        const path = `/cluster/nodes/${encodeURIComponent(node)}/maintenance`;
        const headers = writeHeaders(options);
        const answer = await client.json<{ state: string; version: number }>(method, path, undefined, { headers });
        out.result(answer, () => out.line(`${node} is ${answer.state} (version ${answer.version})`));
      });
    command.addCommand(withExamples(one, ["of the node ap", `${line} ${name} ap --reason "new disk"`]));
  }
  return command;
}
