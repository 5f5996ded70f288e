import { Command } from "commander";
import { positive } from "./arguments.ts";
import { type Context, contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { unreachable } from "./http-client.ts";
import { preview } from "./output.ts";

interface GetOptions {
  readonly watch?: boolean;
  readonly consistent?: boolean;
  readonly since?: string;
  readonly events?: string;
}

interface ConfigAnswer {
  readonly version: number;
  readonly hash: string | null;
  readonly config: unknown;
}

interface Change {
  readonly path: readonly string[];
  readonly before?: unknown;
  readonly after?: unknown;
}

interface VersionData {
  readonly version: number;
  readonly kind: string;
  readonly by: string;
  readonly at: string;
  readonly reason: string | null;
  readonly changes: readonly Change[];
}

const EVENTS_MAX = 1_000_000;

/** `starling config get`: what the cluster agreed on. */
export function configGetCommand(): Command {
  const command = new Command("get")
    .description("what the cluster agreed on, as JSON and without secrets; with --watch every change of it")
    .option("--consistent", "ask the leader: no older than anything acknowledged before")
    .option("--watch", "each version as it comes, until Ctrl-C")
    .option("--since <version>", "with --watch: begin after this version")
    .option("--events <count>", "with --watch: end after so many")
    .action(async (options: GetOptions, self: Command) => {
      const context = contextOf(self);
      if (options.watch) return watch(context, options);
      if (options.since !== undefined || options.events !== undefined)
        throw new CliError(EXIT.usage, "--since and --events go with --watch");
      const query = options.consistent ? "?consistent" : "";
      const answer = await context.client.get<ConfigAnswer>(`/v1/config${query}`);
      context.out.result(answer, () => context.out.line(JSON.stringify(answer.config, null, 2)));
      if (!context.out.json) context.out.note(`version ${answer.version}, hash ${answer.hash ?? "unknown"}`);
    });
  return withExamples(
    command,
    ["who are the members", "config get --json | jq .config.members"],
    ["each change from now on", "config get --watch"],
    ["all after version 12, a line of JSON each", "config get --watch --since 12 --json"],
  );
}

async function watch(context: Context, { since, events, consistent }: GetOptions): Promise<void> {
  if (consistent) throw new CliError(EXIT.usage, "--watch follows one node: leave --consistent out");
  let left = events === undefined ? Number.POSITIVE_INFINITY : positive(events, "--events", EVENTS_MAX);
  const after = since === undefined ? "" : `&since=${encodeURIComponent(since)}`;
  const path = `/v1/config?watch${after}`;
  const { body } = await context.client.request("GET", path, { timeoutMs: Number.POSITIVE_INFINITY });
  if (!body) throw new CliError(EXIT.unavailable, `${context.client.url} sent no stream`);
  for await (const { name, data } of eventsOf(body, context.client.url)) {
    tell(context, name, data);
    left -= 1;
    if (left <= 0) return;
  }
  throw new CliError(
    EXIT.unreachable,
    `${context.client.url} ended the stream: go on with --since and the last version`,
  );
}

interface ServerEvent {
  readonly name: string;
  readonly data: string;
}

/** Of a stream as our nodes write it: one `data` line in each event. */
async function* eventsOf(body: ReadableStream<Uint8Array>, url: string): AsyncGenerator<ServerEvent> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw unreachable(url, error);
      });
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const parts = text.split("\n\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const fields = new Map(
          part.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
        );
        const [name, data] = [fields.get("event"), fields.get("data")];
        if (name !== undefined && data !== undefined) yield { name, data };
      }
    }
  } finally {
    await reader.cancel().catch(() => undefined); // it may be over already
  }
}

function tell({ out }: Context, name: string, data: string): void {
  if (out.json) {
    out.line(`{"event":${JSON.stringify(name)},"data":${data}}`);
    return;
  }
  const { version, kind, by, at, reason, changes } = JSON.parse(data) as VersionData;
  if (name === "reset") {
    out.line(`${version}  everything anew: see \`starling config get\``);
    return;
  }
  out.line(`${version}  ${at}  ${kind} by ${preview(by)}${reason === null ? "" : `: ${preview(reason)}`}`);
  for (const { path, before, after } of changes)
    out.line(`    ${path.map((part) => preview(part)).join(".")}: ${shown(before)} → ${shown(after)}`);
}

function shown(value: unknown): string {
  return value === undefined ? "nothing" : preview(JSON.stringify(value), 100);
}
