import { Command } from "commander";
import { positive } from "./arguments.ts";
import { contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatCount } from "./format.ts";
import { keyPath, type NodeClient } from "./http-client.ts";
import type { DotView, SiblingView } from "./kv-command.ts";
import { valueText } from "./kv-command.ts";
import type { Output } from "./output.ts";

/** A conflict, as `GET /v1/conflicts` and `/v1/conflicts/{id}` show it. */
export interface ConflictView {
  readonly id: string;
  readonly bucket: string;
  readonly key: string;
  readonly state: string;
  readonly policy: { readonly name: string };
  readonly shown: unknown;
  readonly places: readonly PlaceView[];
  /** The id that was asked for, when the siblings have changed since. */
  readonly outdated?: string;
}

interface PlaceView {
  readonly path: readonly string[];
  readonly kind: "siblings" | "clash";
  /** The dot that shows. */
  readonly shown: string;
  readonly siblings: readonly SiblingView[];
}

export function conflictsCommand(): Command {
  const command = new Command("conflicts").description("values that stand side by side");
  for (const make of [listCommand, showCommand, resolveCommand]) command.addCommand(make());
  return withExamples(
    command,
    ["what is in conflict", "conflicts ls"],
    ["all sides of one", "conflicts show ID"],
    ["settle it", "conflicts resolve ID --choose DOT --reason 'asked the customer'"],
  );
}

function listCommand(): Command {
  const command = new Command("ls")
    .description("conflicts that this node sees, by bucket and key")
    .option("--bucket <bucket>", "only this bucket's")
    .option("--limit <n>", "at most so many", "100")
    .action(async (options: { bucket?: string; limit: string }, self: Command) => {
      const { out, client } = contextOf(self);
      const { conflicts, more } = await listConflicts(
        client,
        options.bucket,
        positive(options.limit, "--limit", 1_000_000),
      );
      out.result({ conflicts, more }, () => {
        out.table(
          ["id", "bucket", "key", "shown", "beside it"],
          conflicts.map(({ id, bucket, key, shown, places }) => [
            id,
            bucket,
            key,
            valueText(shown),
            valueText(hidden(places)),
          ]),
        );
        if (more) out.note("there are more: raise --limit");
      });
    });
  return withExamples(command, ["of one bucket", "conflicts ls --bucket demo"]);
}

export async function listConflicts(
  client: NodeClient,
  bucket: string | undefined,
  limit: number,
): Promise<{ conflicts: ConflictView[]; more: boolean }> {
  const conflicts: ConflictView[] = [];
  let cursor: string | undefined;
  do {
    const query = new URLSearchParams({ limit: String(Math.min(1000, limit - conflicts.length)) });
    if (bucket !== undefined) query.set("bucket", bucket);
    if (cursor !== undefined) query.set("cursor", cursor);
    const page: { conflicts: ConflictView[]; cursor?: string } = await client.get(`/v1/conflicts?${query}`);
    conflicts.push(...page.conflicts);
    cursor = page.cursor;
  } while (cursor !== undefined && conflicts.length < limit);
  return { conflicts, more: cursor !== undefined };
}

/** The values that don't show. */
function hidden(places: readonly PlaceView[]): unknown {
  const values = places.flatMap(({ siblings, shown }) =>
    siblings.filter(({ dots }) => !dots.some(({ dot }) => dot === shown)).map(({ value }) => value),
  );
  return values.length === 1 ? values[0] : values;
}

function showCommand(): Command {
  const command = new Command("show")
    .description("a conflict with all its values: who wrote them, where and when")
    .argument("<id>")
    .action(async (id: string, _options, self: Command) => {
      const { out, client } = contextOf(self);
      const conflict = await client.get<ConflictView>(`/v1/conflicts/${encodeURIComponent(id)}`);
      out.result(conflict, () => showConflict(out, conflict));
    });
  return withExamples(command, ["all sides", "conflicts show AbC…"]);
}

export function showConflict(out: Output, conflict: ConflictView): void {
  const { outdated, id, bucket, key, policy, places } = conflict;
  if (outdated !== undefined)
    out.note(out.color.yellow(`the values have changed since; the conflict's id is now ${id}`));
  out.line(`${bucket}/${key}  conflict ${id}  shown by policy ${policy.name}`);
  out.table(
    ["field", "value", "shows", "region", "author", "time", "dot"],
    places.flatMap(({ path, shown, siblings }) =>
      siblings.map(({ value, dots }) => [
        path.join(".") || "–",
        valueText(value),
        dots.some(({ dot }) => dot === shown) ? out.color.green("yes") : "",
        distinct(dots, ({ region, node }) => region ?? node),
        distinct(dots, ({ author }) => author),
        distinct(dots, ({ time }) => time),
        distinct(dots, ({ dot }) => dot),
      ]),
    ),
  );
}

function distinct(dots: readonly DotView[], of: (dot: DotView) => string): string {
  return [...new Set(dots.map(of))].join(", ");
}

interface ResolveOptions {
  readonly choose?: string[];
  readonly value?: string;
  readonly reason?: string;
  readonly dryRun?: boolean;
}

function resolveCommand(): Command {
  const command = new Command("resolve")
    .description("settle exactly the values of this id, by an ordinary write that has seen them")
    .argument("<id>")
    .option("--choose <dots...>", "the dot whose value stays; one per field in conflict")
    .option("--value <value>", "a new value instead: JSON, or else text")
    .option("--reason <text>", "kept with the write")
    .option("--dry-run", "show the result, change nothing")
    .action(async (id: string, options: ResolveOptions, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.json<{ settled: boolean; shown: unknown; bucket: string; key: string }>(
        "POST",
        `/v1/conflicts/${encodeURIComponent(id)}/resolve${options.dryRun ? "?dryRun=true" : ""}`,
        resolveBody(options),
      );
      out.result(answer, () => {
        const state = answer.settled ? out.color.green("settled") : out.color.yellow("still in conflict");
        out.line(
          `${answer.bucket}/${answer.key} ${options.dryRun ? "would be " : ""}${state}; it shows ${valueText(answer.shown)}`,
        );
      });
    });
  return withExamples(
    command,
    ["keep one side", "conflicts resolve ID --choose us@lx2k3f9a.01c0ffee:7 --reason 'the later order'"],
    ["write something else", "conflicts resolve ID --value 'both' --dry-run"],
  );
}

function resolveBody({ choose, value, reason }: ResolveOptions): Record<string, unknown> {
  if ((choose === undefined) === (value === undefined))
    throw new CliError(
      EXIT.usage,
      "say which value stays: --choose DOT (as `conflicts show` lists them) or --value VALUE",
    );
  const because = reason === undefined ? {} : { reason };
  return value === undefined ? { choose, ...because } : { value: parsed(value), ...because };
}

/** JSON as itself; other text as text. */
function parsed(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return { $b64: Buffer.from(value).toString("base64"), contentType: "text/plain; charset=utf-8" };
  }
}

export interface ExplainAnswer {
  readonly bucket: string;
  readonly key: string;
  readonly node: string;
  readonly partition: number;
  readonly policy: { readonly name: string };
  readonly shown: unknown;
  readonly type: string | null;
  readonly conflict: string | null;
  readonly dots: readonly (DotView & { path?: readonly string[]; value?: unknown; shown: boolean; why: string })[];
  readonly deletion: { readonly author: string; readonly node: string; readonly time: string } | null;
  readonly journal: readonly {
    readonly time: string;
    readonly event: string;
    readonly by?: { author: string; reason?: string };
  }[];
}

export function explainCommand(): Command {
  const command = new Command("explain")
    .description("why a key shows what it shows at this node: every live value, and what happened to the others")
    .argument("<bucket>")
    .argument("<key>")
    .action(async (bucket: string, key: string, _options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<ExplainAnswer>(keyPath("/v1/explain", bucket, key));
      out.result(answer, () => showExplanation(out, answer));
    });
  return withExamples(command, ["who wrote what", "explain demo greeting"]);
}

export function showExplanation(out: Output, answer: ExplainAnswer): void {
  const { bucket, key, type, shown, policy, partition, dots, deletion, journal } = answer;
  if (type === null)
    out.line(
      deletion
        ? `${bucket}/${key} was deleted by ${deletion.author} through ${deletion.node} at ${deletion.time}`
        : `${bucket}/${key} is unknown at ${answer.node}`,
    );
  else
    out.line(
      `${bucket}/${key} is a ${type} in partition ${partition}; policy ${policy.name} shows ${valueText(shown)}`,
    );
  if (answer.conflict !== null) out.line(`conflict ${answer.conflict}`);
  out.table(
    ["value", "shows", "region", "author", "time", "why", "dot"],
    dots.map((dot) => [
      `${dot.path ? `${dot.path.join(".")} = ` : ""}${valueText(dot.value)}`,
      dot.shown ? out.color.green("yes") : "",
      dot.region,
      dot.reason === undefined ? dot.author : `${dot.author} (${dot.reason})`,
      dot.time,
      dot.why,
      dot.dot,
    ]),
  );
  if (journal.length === 0) return;
  out.line(`history (${formatCount(journal.length)} last):`);
  for (const { time, event, by } of journal)
    out.line(`  ${time}  ${event}${by ? ` by ${by.author}${by.reason === undefined ? "" : `: ${by.reason}`}` : ""}`);
}
