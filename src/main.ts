import { writeSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { CliError, EXIT } from "./cli/exit.ts";
import { runProgram } from "./cli/program.ts";
import type { Recover } from "./cli/recover-command.ts";
import type { Config } from "./config/types.ts";
import type { Log } from "./world/world.ts";

const STOP_TIMEOUT_MS = 10_000;
const LOOP_WINDOW_MS = 60_000;

// The node's parts are loaded only here: every other command is a client, and should start at once.
/** Runs a node until SIGTERM, SIGINT or, when `starling dev` started it, the end of its supervisor. */
async function runNode(config: Config, warnings: readonly string[]): Promise<void> {
  const { makeLog } = await import("./observability/log.ts");
  const { makeRealWorld } = await import("./world/real.ts");
  const { startNode } = await import("./node.ts");
  const log = makeLog(config.log, { write: writeLogLine });
  stopOnDoubt(log, config.node.dataDir);
  for (const detail of warnings) log.warn("node.warning", { detail });
  const stopped = stopRequest(log);
  try {
    const node = await startNode(config, makeRealWorld({ log }), { loopDelayMs: watchLoop() });
    let failed: CliError | undefined;
    const failing = node.failed.then((why) => {
      failed = new CliError(EXIT.failed, withAdvice(why, config.node.dataDir));
      return failed;
    });
    // Who drained and left is done: exit code 0.
    const reason = await Promise.race([stopped, failing, node.gone]);
    log.info("node.stopping", { reason: reason instanceof CliError ? reason.message : reason });
    // Not cleared, but no reason to live on either: it fires only when something else keeps the process alive.
    setTimeout(() => {
      log.error("node.stop-overdue", { afterMs: STOP_TIMEOUT_MS });
      process.exit(EXIT.failed);
    }, STOP_TIMEOUT_MS).unref();
    await node.stop().catch((error: unknown) => {
      log.error("node.stop-failed", { error });
      // Why the storage failed says more than that the last save did.
      throw failed ?? error;
    });
    log.info("node.stopped");
    if (reason instanceof CliError) throw reason;
  } catch (error) {
    throw failure(error, log, config.node.dataDir);
  } finally {
    // The supervisor's channel would keep the process alive.
    if (process.connected) process.disconnect();
  }
}

const LOOK_MS = 1_000;
const SAY_AGAIN_MS = 30_000;

async function waitFor<T>(look: () => T | null, why: string, logged: Config["log"]): Promise<T | null> {
  const { makeLog } = await import("./observability/log.ts");
  const log = makeLog(logged, { write: writeLogLine });
  const stopped = stopRequest(log);
  let isStopped = false;
  void stopped.then(() => {
    isStopped = true;
  });
  let saidMs = Number.NEGATIVE_INFINITY;
  let found: T | null = null;
  try {
    for (;;) {
      found = look();
      if (found !== null || isStopped) return found;
      const nowMs = performance.now();
      if (nowMs - saidMs >= SAY_AGAIN_MS) {
        log.warn("node.waiting", { detail: why });
        saidMs = nowMs;
      }
      await Promise.race([stopped, new Promise((resolve) => setTimeout(resolve, LOOK_MS))]);
    }
  } finally {
    // The supervisor's channel would keep the process alive.
    if (found === null && process.connected) process.disconnect();
  }
}

/** `starling recover`: the node's process must not run. */
const recover: Recover = async (config, asked) => {
  const { makeLog } = await import("./observability/log.ts");
  const { makeRealWorld } = await import("./world/real.ts");
  const { recover: recoverNode } = await import("./plane/recovery.ts");
  const log = makeLog({ ...config.log, level: "warn" }, { write: (line) => process.stderr.write(line) });
  return recoverNode({ config, world: makeRealWorld({ log }), ...asked });
};

/** How late the event loop was, over the last minute or two. */
function watchLoop(): () => { p50: number; p99: number; max: number } {
  let last = monitorEventLoopDelay({ resolution: 10 });
  let before = last;
  last.enable();
  setInterval(() => {
    last.disable();
    before = last;
    last = monitorEventLoopDelay({ resolution: 10 });
    last.enable();
  }, LOOP_WINDOW_MS).unref();
  const ms = (nanoseconds: number): number => Math.max(0, nanoseconds / 1e6 - 10);
  return () => {
    // A window that has just begun knows too little.
    const shown = last.count > 100 ? last : before;
    return { p50: ms(shown.percentile(50)), p99: ms(shown.percentile(99)), max: ms(shown.max) };
  };
}

/** To standard output at once, so that no line is lost when the process dies; warnings also to the supervisor, if any. */
function writeLogLine(line: string): void {
  try {
    writeSync(1, line);
  } catch (error) {
    // A full pipe or a reader that went away must not take the database down with it.
    if (!(error instanceof Error && "code" in error && (error.code === "EPIPE" || error.code === "EAGAIN")))
      throw error;
  }
  if (process.connected && /^\{"level":"(warn|error)"/.test(line)) process.send?.(line.trimEnd());
}

let stopRequested: Promise<string> | null = null;

/** Resolves with why; the same for all who ask, since a second signal means "at once". */
function stopRequest(log: Log): Promise<string> {
  stopRequested ??= new Promise((resolve) => {
    let asked = false;
    const stop = (reason: string): void => {
      if (asked && reason !== "supervisor gone") {
        log.warn("node.stopped-at-once", { reason });
        process.exit(EXIT.failed);
      }
      asked = true;
      resolve(reason);
    };
    process.on("SIGTERM", () => stop("SIGTERM"));
    process.on("SIGINT", () => stop("SIGINT"));
    // It may be gone before we listen for its end: then there was a channel (`send`), and is none any more.
    if (process.send && !process.connected) stop("supervisor gone");
    else process.once("disconnect", () => stop("supervisor gone"));
  });
  return stopRequested;
}

/** An error that nobody caught means a state that nobody understands: stop before it spreads (I13). */
function stopOnDoubt(log: Log, dataDir: string): void {
  const stop = (error: unknown): void => {
    log.error("node.broken", { error });
    process.stderr.write(`starling: ${sentenceOf(error, dataDir)}\n`);
    process.exit(EXIT.failed);
  };
  process.on("uncaughtException", stop);
  process.on("unhandledRejection", stop);
}

const DAMAGE = /\bSQLITE_(?:CORRUPT|NOTADB)\b|\bdamaged on disk\b/;

/** A start would end the same way: say what to do instead. */
function withAdvice(reason: string, dataDir: string): string {
  return DAMAGE.test(reason) ? damageAdvice(reason, dataDir) : reason;
}

function damageAdvice(reason: string, dataDir: string): string {
  return (
    `the data in ${dataDir} is damaged (${reason}). To restore it from the peers, empty the data directory and start ` +
    "again; keep a copy of it first: a write that no peer has is nowhere else"
  );
}

/** What ends the process has its whole story in the log, and a sentence on standard error. */
function failure(error: unknown, log: Log, dataDir: string): CliError {
  if (error instanceof CliError) return error;
  log.error("node.failed", { error });
  return new CliError(EXIT.failed, sentenceOf(error, dataDir));
}

function sentenceOf(error: unknown, dataDir: string): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "DamagedError" || DAMAGE.test(error.message)) return damageAdvice(error.message, dataDir);
  const address = "address" in error && "port" in error ? ` (${error.address}:${error.port})` : "";
  if ("code" in error && error.code === "EADDRINUSE")
    return `the address is in use${address}: another node, or another program, listens there`;
  return error.message;
}

process.exitCode = await runProgram(process.argv, { main: fileURLToPath(import.meta.url), runNode, waitFor, recover });
