import { createWriteStream } from "node:fs";
import { Writable } from "node:stream";
import { Command } from "commander";
import { contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { formatBytes, formatCount, formatRate, formatSpan } from "./format.ts";
import { unreachable } from "./http-client.ts";
import { Progress } from "./progress.ts";

export function exportCommand(): Command {
  const command = new Command("export")
    .description("write records as NDJSON, as `import` reads them")
    .argument("[bucket]", "all of them without")
    .option("--prefix <text>", "only keys that begin so")
    .option("--out <file>", "a file instead of standard output")
    .action(async (bucket: string | undefined, options: { out?: string; prefix?: string }, self: Command) => {
      const { out, client } = contextOf(self);
      const query = new URLSearchParams({
        ...(bucket === undefined ? {} : { bucket }),
        ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
      });
      const response = await client.request("GET", `/v1/export?${query}`, { timeoutMs: Number.POSITIVE_INFINITY });
      const progress = new Progress({
        total: 0,
        unit: "records",
        shown: process.stderr.isTTY && options.out !== undefined,
      });
      const target = options.out === undefined ? process.stdout : createWriteStream(options.out);
      try {
        const { bytes, lines } = await copy(response, target, (count) => progress.add(count, count));
        progress.stop();
        const summary = { bucket: bucket ?? null, records: lines, bytes, tookMs: progress.tookMs };
        if (out.json && options.out !== undefined) out.line(JSON.stringify(summary));
        else
          out.note(
            `${formatCount(lines)} records, ${formatBytes(bytes)} in ${formatSpan(progress.tookMs)} (${formatRate(lines, progress.tookMs)})`,
          );
      } catch (error) {
        throw error instanceof CliError ? error : unreachable(client.url, error);
      } finally {
        progress.stop();
        if (target !== process.stdout) target.end();
      }
    });
  return withExamples(
    command,
    ["to a file", "export cities --out cities.ndjson"],
    ["what one country has", "export cities --prefix FR/"],
  );
}

async function copy(
  response: Response,
  target: Writable,
  onLines: (count: number) => void,
): Promise<{ bytes: number; lines: number }> {
  let bytes = 0;
  let lines = 0;
  let lastByte = 10;
  if (!response.body) throw new CliError(EXIT.unavailable, "the node sent no records");
  const writer = Writable.toWeb(target).getWriter();
  for await (const chunk of response.body) {
    await writer.write(chunk);
    const before = lines;
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++;
    bytes += chunk.length;
    lastByte = chunk.at(-1) ?? lastByte;
    onLines(lines - before);
  }
  if (lastByte !== 10) throw new CliError(EXIT.unavailable, "the node's answer ends in the middle of a record");
  return { bytes, lines };
}
