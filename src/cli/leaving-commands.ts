import { Command } from "commander";
import { parseDurationMs } from "../config/units.ts";
import { type Context, contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { writeHeaders } from "./write-options.ts";

interface Obstacle {
  readonly slug: string;
  readonly message: string;
}

interface DryRun {
  readonly possible: boolean;
  readonly obstacles: readonly Obstacle[];
}

interface Operation {
  readonly id?: string;
  readonly state?: "running" | "done" | "failed";
  readonly problems?: readonly string[];
  readonly version: number;
}

interface GoingOptions {
  readonly cluster?: string;
  readonly cancel?: boolean;
  readonly wait?: boolean;
  readonly timeout: string;
  readonly dryRun?: boolean;
  readonly reason?: string;
}

const POLL_MS = 500;

// Each stands under `starling cluster` too: `line` is how it was called.

export function drainCommand(line: string): Command {
  const command = going(new Command("drain"))
    .description("a member takes nothing new, hands over what only it has, and leaves")
    .option("--cancel", "it stays after all (of a decommission, too)")
    .action(async (node: string, options: GoingOptions, self: Command) => {
      const context = contextOf(self);
      if (options.cancel) await cancel(context, node, options);
      else await go(context, node, "drain", options);
    });
  return withExamples(
    command,
    ["what speaks against it", `${line} us-1 --dry-run`],
    ["and wait until it is gone", `${line} us-1 --wait`],
    ["it stays", `${line} us-1 --cancel`],
  );
}

export function decommissionCommand(line: string): Command {
  const command = going(new Command("decommission"))
    .description("a member hands over and is removed for good; `drain --cancel` stops it")
    .requiredOption("--cluster <name>", "the cluster's name, lest another one was asked")
    .action(async (node: string, options: GoingOptions, self: Command) =>
      go(contextOf(self), node, "decommission", options),
    );
  return withExamples(command, ["and wait until it is gone", `${line} us-1 --cluster birds --wait`]);
}

export function leaveCommand(line: string): Command {
  const command = new Command("leave")
    .description("a member hands over and leaves; one that owns nothing yet leaves at once")
    .argument("<node>", "a member's id")
    .requiredOption("--cluster <name>", "the cluster's name, lest another one was asked")
    .option("--reason <text>", "kept with the change")
    .action(async (node: string, options: { cluster: string; reason?: string }, self: Command) => {
      const { out, client } = contextOf(self);
      const headers = writeHeaders(options);
      const asked = { node, cluster: options.cluster };
      const answer = await client.json<Operation | { state: "left"; version: number }>(
        "POST",
        "/cluster/leave",
        asked,
        { headers },
      );
      out.result(answer, () =>
        out.line(
          answer.state === "left"
            ? `${node} left (version ${answer.version})`
            : handsOver(node, answer.version, client.url),
        ),
      );
    });
  return withExamples(command, ["the node us-1", `${line} us-1 --cluster birds`]);
}

interface Removal {
  readonly mayBeLost: { readonly sentence: string };
  readonly version: number;
}

export function removeCommand(line: string): Command {
  const command = new Command("remove")
    .description("remove a member that is lost for good; says what may be lost with it")
    .argument("<node>", "a member's id")
    .requiredOption("--cluster <name>", "the cluster's name, lest another one was asked")
    .option("--dry-run", "only say what speaks against it and what may be lost")
    .option("--even-alive", "though gossip holds it for alive")
    .option("--reason <text>", "kept with the change")
    .action(async (node: string, options: GoingOptions & { evenAlive?: boolean }, self: Command) => {
      const { out, client } = contextOf(self);
      const { cluster } = options;
      const flags = [...(options.dryRun ? ["dryRun"] : []), ...(options.evenAlive ? ["evenAlive"] : [])];
      const path = `${pathOf(node)}/remove?${flags.join("&")}`;
      const answer = await client.json<Removal & DryRun>("POST", path, { cluster }, { headers: writeHeaders(options) });
      out.result(answer, () => {
        if (!options.dryRun) out.line(`${node} is removed (version ${answer.version})`);
        else dryText({ out, client }, node, answer);
        out.line(answer.mayBeLost.sentence);
      });
      if (options.dryRun) mustBePossible(node, answer);
    });
  return withExamples(
    command,
    ["what would be lost", `${line} us-1 --cluster birds --dry-run`],
    ["a machine that burned", `${line} us-1 --cluster birds --reason "fire"`],
  );
}

// ---- what they have in common

function going(command: Command): Command {
  return command
    .argument("<node>", "a member's id")
    .option("--dry-run", "only say what speaks against it; exit code 1 if something does")
    .option("--wait", "until it is gone")
    .option("--timeout <duration>", "how long to wait", "10m")
    .option("--reason <text>", "kept with the change");
}

async function go(context: Context, node: string, way: "drain" | "decommission", options: GoingOptions): Promise<void> {
  const { out, client } = context;
  const { cluster, dryRun, wait } = options;
  const timeoutMs = parseDurationMs(options.timeout);
  const headers = writeHeaders(options);
  const asked = { ...(cluster !== undefined && { cluster }) };
  const path = `${pathOf(node)}/${way}`;
  if (dryRun) {
    const answer = await client.json<DryRun & { outcome: string }>("POST", `${path}?dryRun`, asked, { headers });
    out.result(answer, () => {
      dryText(context, node, answer);
      out.line(answer.outcome);
    });
    return mustBePossible(node, answer);
  }
  const begun = await client.json<Operation>("POST", path, asked, { headers });
  const ended = wait ? await waitUntilGone(context, node, begun, timeoutMs) : begun;
  out.result(ended, () =>
    out.line(wait ? `${node} has handed over and is no member any more` : handsOver(node, begun.version, client.url)),
  );
}

async function cancel({ out, client }: Context, node: string, options: GoingOptions): Promise<void> {
  const headers = writeHeaders(options);
  const answer = await client.json<{ state: string; version: number }>("DELETE", `${pathOf(node)}/drain`, undefined, {
    headers,
  });
  out.result(answer, () => out.line(`${node} stays: it is ${answer.state} (version ${answer.version})`));
}

function pathOf(node: string): string {
  return `/cluster/nodes/${encodeURIComponent(node)}`;
}

function handsOver(node: string, version: number, url: string): string {
  return `${node} hands over, and goes when it has (version ${version}): GET ${url}/v1/operations/drain-${node}`;
}

async function waitUntilGone(
  { client }: Context,
  node: string,
  begun: Operation,
  timeoutMs: number,
): Promise<Operation> {
  const endMs = performance.now() + timeoutMs;
  for (let operation = begun; ; ) {
    if (operation.state === "done") return operation;
    if (operation.state === "failed")
      throw new CliError(EXIT.failed, operation.problems?.join("; ") ?? `${node} did not hand over`);
    if (performance.now() > endMs)
      throw new CliError(
        EXIT.failed,
        `${node} has not handed over yet; it goes on, \`starling drain ${node} --cancel\` stops it`,
      );
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      operation = await client.get<Operation>(`/v1/operations/drain-${encodeURIComponent(node)}`);
    } catch (error) {
      throw error instanceof CliError ? whyNotKnown(error, node) : error;
    }
  }
}

function whyNotKnown(error: CliError, node: string): CliError {
  if (error.exitCode === EXIT.notFound) return new CliError(EXIT.failed, `${node} stays: somebody cancelled its drain`);
  if (error.exitCode !== EXIT.unreachable) return error;
  return new CliError(
    error.exitCode,
    `${error.message}. If it is ${node} itself, it may be gone by now: ask another member with --node`,
  );
}

function dryText({ out }: Context, node: string, { possible, obstacles }: DryRun): void {
  if (possible) out.line(out.color.green(`nothing speaks against it that ${node} goes`));
  else
    out.table(
      ["obstacle", "what to do"],
      obstacles.map(({ slug, message }) => [slug, message]),
    );
}

function mustBePossible(node: string, { possible }: DryRun): void {
  if (!possible) throw new CliError(EXIT.failed, `${node} may not go now`);
}
