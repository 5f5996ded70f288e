import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { positive } from "./arguments.ts";
import { type Context, contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatBytes, formatCount, shortId } from "./format.ts";
import { keyPath } from "./http-client.ts";
import { kvOpsCommands } from "./kv-ops.ts";
import { preview } from "./output.ts";
import { type WriteOptions, withWriteOptions, writeHeaders } from "./write-options.ts";

export function kvCommand(): Command {
  const kv = new Command("kv").description("read and write records");
  for (const make of [getCommand, putCommand, deleteCommand, listCommand, bucketsCommand]) kv.addCommand(make());
  for (const command of kvOpsCommands()) kv.addCommand(command);
  return withExamples(
    kv,
    ["write and read", "kv put demo greeting 'hello' && starling kv get demo greeting"],
    ["all values of a record that has a conflict", "kv get demo greeting --siblings"],
    ["count", "kv incr demo visits 3"],
    ["page through keys", "kv ls cities --prefix FR/ --limit 20"],
  );
}

function getCommand(): Command {
  const command = new Command("get")
    .description("the shown value: a register's bytes as they are, other types as JSON; --json gives the whole record")
    .argument("<bucket>")
    .argument("<key>")
    .option("--siblings", "all concurrent values, with who wrote them where and when")
    .action(async (bucket: string, key: string, options: { siblings?: boolean }, self: Command) => {
      const { out, client } = contextOf(self);
      if (out.json) {
        out.result(await client.get(keyPath("/v1/kv", bucket, key, { view: "record" })), () => {});
        return;
      }
      if (options.siblings) {
        showSiblings(contextOf(self), await client.get<RecordView>(keyPath("/v1/kv", bucket, key, { view: "record" })));
        return;
      }
      const response = await client.request("GET", keyPath("/v1/kv", bucket, key));
      const bytes = new Uint8Array(await response.arrayBuffer());
      // A terminal gets text only: a stored value could hold escape sequences.
      if (out.terminal)
        out.line(
          response.headers.get("content-type")?.startsWith("text/") || isJson(response)
            ? multiline(bytes)
            : `(${formatBytes(bytes.length)} of ${response.headers.get("content-type")}; write them to a file with >)`,
        );
      else out.bytes(bytes);
      const conflict = response.headers.get("starling-conflict");
      if (conflict !== null)
        out.note(out.color.yellow(`other values stand beside this one: starling conflicts show ${conflict}`));
    });
  return withExamples(
    command,
    ["a value", "kv get demo greeting"],
    ["everything known of it", "kv get demo greeting --json"],
  );
}

function isJson(response: Response): boolean {
  return /^application\/(?:[\w.-]+\+)?json/.test(response.headers.get("content-type") ?? "");
}

function multiline(bytes: Uint8Array): string {
  const lines = new TextDecoder().decode(bytes).split("\n");
  return lines.map((line) => preview(line, Number.POSITIVE_INFINITY)).join("\n");
}

/** `?view=record`, as far as it is shown here. */
interface RecordView {
  readonly type: string;
  readonly shown: unknown;
  readonly conflict: string | null;
  readonly siblings: readonly SiblingView[];
}

export interface SiblingView {
  readonly path?: readonly string[];
  readonly type: string;
  readonly value: unknown;
  readonly dots: readonly DotView[];
}

export interface DotView {
  readonly dot: string;
  readonly node: string;
  readonly region: string | null;
  readonly author: string;
  readonly reason?: string;
  readonly time: string;
}

export function valueText(value: unknown): string {
  return preview(typeof value === "string" ? value : (JSON.stringify(value) ?? "–"));
}

function showSiblings({ out }: Context, record: RecordView): void {
  out.table(
    ["field", "value", "node", "author", "time", "dot"],
    record.siblings.map(({ path, value, dots }) => [
      path?.join(".") || "–",
      valueText(value),
      [...new Set(dots.map(({ node }) => node))].join(", "),
      [...new Set(dots.map(({ author }) => author))].join(", "),
      dots[0]?.time,
      dots.length === 1 ? dots[0]?.dot : `${dots.length} dots`,
    ]),
  );
  if (record.conflict !== null) out.note(`conflict ${record.conflict}`);
}

interface PutOptions extends WriteOptions {
  readonly file?: string;
  readonly type: string;
}

function putCommand(): Command {
  const command = withWriteOptions(new Command("put"))
    .description("assign a register; the value is an argument, a file, or standard input")
    .argument("<bucket>")
    .argument("<key>")
    .argument("[value]", "- reads standard input")
    .option("--file <file>", "take the value from a file")
    .addOption(new Option("--type <content-type>", "kept with the value").default("text/plain; charset=utf-8"))
    .action(async (bucket: string, key: string, value: string | undefined, options: PutOptions, self: Command) => {
      const { out, client } = contextOf(self);
      const body = valueBytes(value, options.file);
      const headers = { "content-type": options.type, ...writeHeaders(options) };
      tellWritten({ out, client }, await client.request("PUT", keyPath("/v1/kv", bucket, key), { body, headers }));
    });
  return withExamples(
    command,
    ["text", "kv put demo greeting 'hello'"],
    ["JSON from a file", "kv put demo settings --file settings.json --type application/json"],
    [
      "replace exactly what was read",
      "kv put demo greeting 'bye' --context \"$(starling kv get demo greeting --json | jq -r .context)\"",
    ],
  );
}

function valueBytes(value: string | undefined, file: string | undefined): Uint8Array {
  if (value !== undefined && file !== undefined) throw new CliError(EXIT.usage, "give a value or --file, not both");
  if (value !== undefined && value !== "-") return new TextEncoder().encode(value);
  if (file === undefined && value === undefined && process.stdin.isTTY)
    throw new CliError(EXIT.usage, "no value: give it as the last argument, with --file, or on standard input");
  try {
    return readFileSync(file ?? 0);
  } catch (error) {
    throw new CliError(
      EXIT.failed,
      `cannot read ${file ?? "standard input"}: ${error instanceof Error ? error.message : error}`,
    );
  }
}

/** What a write's answer says of itself. */
export function tellWritten({ out }: Context, response: Response): void {
  const header = (name: string): string | undefined => response.headers.get(name) ?? undefined;
  const facts = {
    node: header("starling-node"),
    durable: header("starling-durable"),
    etag: header("etag"),
    context: header("starling-context"),
    session: header("starling-session"),
    conflict: header("starling-conflict"),
  };
  out.result(facts, () => {
    out.note(`written at ${facts.node}; durable: ${facts.durable}`);
    if (facts.conflict !== undefined)
      out.note(out.color.yellow(`other values stand beside it: starling conflicts show ${facts.conflict}`));
  });
}

function deleteCommand(): Command {
  const command = withWriteOptions(new Command("del"))
    .description("delete a record; also succeeds when there is none")
    .argument("<bucket>")
    .argument("<key>")
    .action(async (bucket: string, key: string, options: WriteOptions, self: Command) => {
      const { out, client } = contextOf(self);
      const response = await client.request("DELETE", keyPath("/v1/kv", bucket, key), {
        headers: writeHeaders(options),
      });
      tellWritten({ out, client }, response);
    });
  return withExamples(command, ["with a reason that is kept", "kv del demo greeting --reason 'no longer needed'"]);
}

interface ListPage {
  readonly items: readonly {
    readonly key: string;
    readonly type: string;
    readonly sizeBytes: number;
    readonly conflict?: string;
    readonly value?: unknown;
  }[];
  readonly cursor?: string;
}

function listCommand(): Command {
  const command = new Command("ls")
    .description("keys of a bucket in order")
    .argument("<bucket>")
    .option("--prefix <text>", "only keys that begin so", "")
    .option("--limit <n>", "at most so many", "100")
    .option("--values", "with their values")
    .action(async (bucket: string, options: { prefix: string; limit: string; values?: boolean }, self: Command) => {
      const { out, client } = contextOf(self);
      const limit = positive(options.limit, "--limit", 10_000_000);
      const items: ListPage["items"][number][] = [];
      let cursor: string | undefined;
      do {
        const query = new URLSearchParams({
          prefix: options.prefix,
          limit: String(Math.min(1000, limit - items.length)),
        });
        if (options.values) query.set("values", "true");
        if (cursor !== undefined) query.set("cursor", cursor);
        const page: ListPage = await client.get(`/v1/kv/${encodeURIComponent(bucket)}?${query}`);
        items.push(...page.items);
        cursor = page.cursor;
      } while (cursor !== undefined && items.length < limit);
      out.result({ bucket, items, more: cursor !== undefined }, () => {
        const value = options.values ? ["value"] : [];
        out.table(
          ["key", "type", "size", "conflict", ...value],
          items.map((item) => [
            item.key,
            item.type,
            formatBytes(item.sizeBytes),
            item.conflict === undefined ? "" : shortId(item.conflict),
            ...(options.values ? [valueText(item.value)] : []),
          ]),
        );
        if (cursor !== undefined) out.note(`there are more than ${formatCount(limit)}: raise --limit`);
      });
    });
  return withExamples(
    command,
    ["French places", "kv ls cities --prefix FR/"],
    ["keys and values for a machine", "kv ls demo --values --json"],
  );
}

function bucketsCommand(): Command {
  const command = new Command("buckets")
    .description("buckets and how many records each has")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<{ buckets: readonly { bucket: string; records: number }[] }>("/v1/kv");
      out.result(answer, () =>
        out.table(
          ["bucket", "records"],
          answer.buckets.map(({ bucket, records }) => [bucket, formatCount(records)]),
        ),
      );
    });
  return withExamples(command, ["what is here", "kv buckets"]);
}
