import { Command } from "commander";
import { type Context, contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatBytes, formatCount, formatSpan, shortId } from "./format.ts";
import { type NodeView, roleText } from "./nodes.ts";
import { type Output, stateText } from "./output.ts";
import { Progress } from "./progress.ts";

export function clusterCommands(): Command[] {
  return [statusCommand("status"), healthCommand(), syncCommand(), repairCommand()];
}

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

interface StatusAnswer {
  readonly state: string;
  readonly cluster: { readonly id: string; readonly name: string };
  readonly node: string;
  readonly region: string;
  readonly version: string;
  readonly leader: string | null;
  readonly term: number;
  readonly config: { readonly version: number | null };
  readonly nodes: readonly NodeView[];
  readonly records: number;
  readonly digest: string;
  readonly converged: boolean;
  readonly checks: readonly Check[];
}

/** @param line as it stands after `starling` */
export function statusCommand(line: string): Command {
  const command = new Command("status")
    .description("the cluster as one node sees it")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const status = await client.get<StatusAnswer>("/cluster/status");
      out.result(status, () => {
        out.table(
          ["cluster", "node", "region", "state", "leader", "term", "config", "records", "digest", "converged"],
          [
            [
              `${status.cluster.name} (${shortId(status.cluster.id, 8)})`,
              status.node,
              status.region,
              stateText(out, status.state),
              status.leader ?? out.color.yellow("none"),
              status.term,
              status.config.version,
              formatCount(status.records),
              shortId(status.digest),
              status.converged ? out.color.green("yes") : out.color.yellow("no"),
            ],
          ],
        );
        out.line();
        memberTable(out, status.nodes);
        const failed = status.checks.filter(({ ok }) => !ok);
        if (failed.length > 0) out.line();
        for (const { name, detail } of failed) out.line(out.color.yellow(`${name}: ${detail}`));
      });
    });
  return withExamples(command, ["as us sees it", `${line} --node http://127.0.0.1:7011`]);
}

function memberTable(out: Output, nodes: readonly NodeView[]): void {
  out.table(
    ["node", "region", "state", "role", "client", "gossip", "peer", "link", "to send", "to come", "rtt"],
    nodes.map((node) => [
      node.self ? `${node.id} (asked)` : node.id,
      node.region,
      stateText(out, node.state),
      roleText(node),
      node.addresses.client,
      node.addresses.gossip,
      node.addresses.peer,
      node.lag ? stateText(out, node.lag.link) : "",
      node.lag ? formatCount(node.lag.to) : "",
      node.lag ? formatCount(node.lag.from) : "",
      node.rttMs === null ? "" : `${node.rttMs.toFixed(1)} ms`,
    ]),
  );
}

function healthCommand(): Command {
  const command = new Command("health")
    .description("named checks; exit code 1 when one fails")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const health = await client.json<{ state: string; checks: readonly Check[] }>(
        "GET",
        "/cluster/health",
        undefined,
        {
          allow: [503],
        },
      );
      out.result(health, () =>
        out.table(
          ["check", "ok", "detail"],
          health.checks.map(({ name, ok, detail }) => [
            name,
            ok ? out.color.green("yes") : out.color.red("no"),
            detail,
          ]),
        ),
      );
      if (health.state !== "healthy") throw new CliError(EXIT.failed, `the cluster is ${health.state}`);
    });
  return withExamples(command, ["in a script", "health --json >health.json || echo 'look at it'"]);
}

interface SyncAnswer {
  readonly digest: string;
  readonly records: number;
  readonly converged: boolean;
  readonly peers: readonly {
    readonly node: string;
    readonly link: string;
    readonly reason?: string;
    readonly lastSync: string | null;
    readonly differences: number;
    readonly sumDifferences: number;
    readonly lag: { readonly to: number; readonly from: number } | null;
    readonly sentBytes: number;
    readonly receivedBytes: number;
  }[];
}

function syncCommand(): Command {
  const command = new Command("sync")
    .description("compare with every reachable peer now, and show what differed")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.json<SyncAnswer>("POST", "/cluster/sync");
      out.result(answer, () => {
        out.table(
          ["peer", "link", "last sync", "partitions that differ", "to send", "to come", "sent", "received"],
          answer.peers.map((peer) => [
            peer.node,
            peer.reason === undefined ? stateText(out, peer.link) : `${stateText(out, peer.link)}: ${peer.reason}`,
            peer.lastSync,
            peer.differences + peer.sumDifferences,
            peer.lag?.to,
            peer.lag?.from,
            formatBytes(peer.sentBytes),
            formatBytes(peer.receivedBytes),
          ]),
        );
        out.line(`${formatCount(answer.records)} records, digest ${answer.digest}`);
      });
    });
  return withExamples(command, ["level now instead of at the next interval", "sync"]);
}

interface RepairAnswer {
  readonly id: string;
  readonly state: "running" | "done" | "failed";
  readonly started: string;
  readonly finished: string | null;
  readonly progress: { readonly done: number; readonly total: number };
  readonly damagedLeaves: number;
  readonly healedLeaves: number;
  readonly repairedRows: number;
  readonly problems: readonly string[];
}

const POLL_MS = 200;

function repairCommand(): Command {
  const command = new Command("repair")
    .description("check every row here and compare with all owners; heals what is damaged or lost")
    .option("--no-wait", "start it and return")
    .action(async (options: { wait: boolean }, self: Command) => {
      const context = contextOf(self);
      const { out, client } = context;
      let repair = await client.json<RepairAnswer>("POST", "/cluster/repair");
      if (options.wait) repair = await waitForRepair(context, repair);
      out.result(repair, () => {
        if (repair.state === "running") {
          out.line(`repair ${repair.id} is running: GET ${client.url}/v1/operations/${repair.id}`);
          return;
        }
        const tookMs = Date.parse(repair.finished ?? repair.started) - Date.parse(repair.started);
        out.line(
          `${repair.progress.done} of ${repair.progress.total} partitions in ${formatSpan(tookMs)}: ${repair.damagedLeaves} damaged leaves found, ${repair.healedLeaves} healed, ${formatCount(repair.repairedRows)} rows repaired`,
        );
        for (const problem of repair.problems) out.note(problem);
      });
      if (repair.state === "failed" || repair.problems.length > 0)
        throw new CliError(EXIT.failed, "the repair left problems (above)");
    });
  return withExamples(command, ["and watch it", "repair"], ["in the background", "repair --no-wait"]);
}

async function waitForRepair({ out, client }: Context, started: RepairAnswer): Promise<RepairAnswer> {
  const bar = { total: started.progress.total, unit: "partitions" as const, shown: !out.json && process.stderr.isTTY };
  const progress = new Progress(bar);
  try {
    let repair = started;
    let shown = 0;
    while (repair.state === "running") {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      repair = await client.get<RepairAnswer>(`/v1/operations/${started.id}`);
      progress.add(repair.progress.done - shown, repair.progress.done - shown);
      shown = repair.progress.done;
    }
    return repair;
  } finally {
    progress.stop();
  }
}
