import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseLogLine, prettyLine } from "../observability/log-line.ts";
import type { DevNode, DevPlan } from "./dev-plan.ts";
import { DEV_HOST, nodeToml, planPath } from "./dev-plan.ts";
import { CliError, EXIT } from "./exit.ts";
import { writeSecretFile } from "./own-cluster.ts";
import { checkPortsFree } from "./ports.ts";

/** What the supervisor tells of nodes between start and stop. `at` is the node's place in the plan. */
export interface DevListener {
  /** A line of its log, of level warn or error. While nodes start and stop, links go up and down: that is in the logs only. */
  onWarning(node: DevNode, at: number, line: string): void;
  /** It ended by itself. */
  onExit(node: DevNode, at: number, how: string): void;
}

export interface DevCluster {
  readonly plan: DevPlan;
  /** Resolves when all nodes have ended, in whatever way. */
  readonly gone: Promise<void>;
  /** SIGTERM to all, SIGKILL after 10 s. Resolves when none is left; says which had to be killed. */
  stop(): Promise<string[]>;
}

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const LOG_BYTES_MAX = 16 * 1024 ** 2;

interface Child {
  readonly node: DevNode;
  readonly running: ChildProcess;
  /** Where in the log its life begins. */
  readonly logStart: number;
  readonly exited: Promise<string>;
  gone: boolean;
}

/** Removes what a dev cluster has made in its directory, nothing else. */
export function removeDevData(plan: DevPlan): void {
  for (const { dataDir } of plan.nodes) rmSync(dataDir, { recursive: true, force: true });
  rmSync(planPath(plan.dataDir), { force: true });
}

/** Rejects when this directory's cluster runs already: two sets of processes on one set of files would ruin it. */
export async function checkNotRunning(plan: DevPlan): Promise<void> {
  const answers = await Promise.all(plan.nodes.map(({ url }) => clusterIdAt(url)));
  const at = answers.indexOf(plan.clusterId);
  const node = plan.nodes[at];
  if (node)
    throw new CliError(
      EXIT.failed,
      `this dev cluster runs already (${node.id} answers at ${node.url}): stop it where it was started (Ctrl-C), or use another directory and other ports: starling dev --data DIR --ports 7101`,
    );
}

async function clusterIdAt(url: string): Promise<string | null> {
  try {
    const response = await fetch(`${url}/cluster/status`, { signal: AbortSignal.timeout(1000) });
    const status = (await response.json()) as { cluster?: { id?: string } };
    return status.cluster?.id ?? null;
  } catch {
    return null; // nobody, or somebody else: the check of ports says so
  }
}

/** Starts the three nodes; resolves when all are ready. Rejects, with none left running, when one doesn't get there or
 *  `cancelled` aborts. @param main the script that `starling` runs */
export async function startDevCluster(
  plan: DevPlan,
  main: string,
  listener: DevListener,
  cancelled: AbortSignal,
): Promise<DevCluster> {
  await checkPortsFree(
    plan.nodes.flatMap((node) => [
      { host: DEV_HOST, port: node.clientPort, udp: false, what: `${node.id}'s client port` },
      { host: DEV_HOST, port: node.gossipPort, udp: true, what: `${node.id}'s gossip port` },
      { host: DEV_HOST, port: node.peerPort, udp: false, what: `${node.id}'s peer port` },
    ]),
    "Stop what holds it, or take other ports: starling dev --ports 7101",
  );
  const children: Child[] = [];
  let ready = false;
  for (const [at, node] of plan.nodes.entries()) {
    const child = startChild(plan, node, main);
    child.running.on("message", (line) => ready && listener.onWarning(node, at, String(line)));
    void child.exited.then((how) => ready && listener.onExit(node, at, how));
    children.push(child);
  }
  const stop = async (): Promise<string[]> => {
    ready = false; // from here on, exits are what we asked for
    return stopAll(children);
  };
  try {
    await Promise.all(children.map((child) => waitUntilReady(child, cancelled)));
  } catch (error) {
    await stop();
    throw error;
  }
  ready = true;
  return { plan, gone: Promise.all(children.map(({ exited }) => exited)).then(() => undefined), stop };
}

function startChild(plan: DevPlan, node: DevNode, main: string): Child {
  mkdirSync(node.dataDir, { recursive: true });
  const configPath = join(node.dataDir, "node.toml");
  writeSecretFile(configPath, nodeToml(plan, node));
  const { log, logStart } = openLog(node);
  // A process group of its own, so that Ctrl-C reaches only the supervisor, which then stops all in order. The IPC
  // channel closes when the supervisor dies in any way, and a node whose channel closes stops (main.ts).
  const running = spawn(process.execPath, [main, "node", "--config", configPath], {
    stdio: ["ignore", log, log, "ipc"],
    detached: true,
    env: childEnvironment(),
  });
  closeSync(log);
  const exited = new Promise<string>((resolve) => {
    running.once("exit", (code, signal) => resolve(signal ? `killed by ${signal}` : `exit code ${code}`));
    running.once("error", (error) => resolve(error.message));
  });
  const child: Child = { node, running, logStart, exited, gone: false };
  void exited.then(() => {
    child.gone = true;
  });
  return child;
}

/** Settings in the environment are for one node; here they would give three nodes the same port. The log's level may be
 *  the same for all. */
function childEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("STARLING_") || name === "STARLING_LOG_LEVEL"),
  );
}

function logPath(node: DevNode): string {
  return join(node.dataDir, "node.log");
}

/** Appends; the log of before is kept once when it has grown long. */
function openLog(node: DevNode): { log: number; logStart: number } {
  const path = logPath(node);
  const bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
  const isLong = bytes > LOG_BYTES_MAX;
  if (isLong) renameSync(path, `${path}.1`);
  return { log: openSync(path, "a", 0o600), logStart: isLong ? 0 : bytes };
}

async function waitUntilReady(child: Child, cancelled: AbortSignal): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  while (Date.now() < deadline) {
    if (cancelled.aborted) throw new CliError(EXIT.failed, "stopped before it was ready");
    if (child.gone)
      throw new CliError(
        EXIT.failed,
        `${child.node.id} did not start (${await child.exited}). The end of ${logPath(child.node)}:\n${logEnd(child)}`,
      );
    if (await isReady(child.node)) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new CliError(EXIT.failed, `${child.node.id} was not ready within 60 s: see ${logPath(child.node)}`);
}

async function isReady({ url }: DevNode): Promise<boolean> {
  try {
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.status === 200;
  } catch {
    return false; // not listening yet
  }
}

function logEnd({ node, logStart }: Child): string {
  const lines = readFileSync(logPath(node)).subarray(logStart).toString().trimEnd().split("\n").slice(-8);
  return lines.map((line) => `  ${(parseLogLine(line) ? prettyLine(line) : line).trimEnd()}`).join("\n");
}

async function stopAll(children: readonly Child[]): Promise<string[]> {
  const killed: string[] = [];
  for (const { running: child, gone } of children) if (!gone) child.kill("SIGTERM");
  await Promise.all(
    children.map(async ({ node, running: child, exited }) => {
      const timer = setTimeout(() => {
        killed.push(node.id);
        child.kill("SIGKILL");
      }, STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    }),
  );
  return killed;
}
