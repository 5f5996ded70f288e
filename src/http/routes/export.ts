import { utf8 } from "../../kernel/bytes.ts";
import { type Api, baseHeaders } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import { recordLine } from "../records.ts";
import { checkBucket } from "../target.ts";

/** More: fewer reads of the store; less: less memory per export. */
const PAGE_ROWS = 500;
const PAGE_BYTES = 2 ** 20;

/** `GET /v1/export?bucket`: a line per record, a page of the store at a time, as fast as the client reads. Without a
 *  bucket all of them. Each page is as of its own moment: records written meanwhile may be in it or not. */
export async function exportRecords(api: Api, call: Call): Promise<Response> {
  const query = parseQuery(call.search);
  checkParameters(query, ["bucket", "prefix"]);
  const named = query.get("bucket");
  const prefix = query.get("prefix") ?? "";
  const buckets = named === undefined ? await allBuckets(api) : [checkBucket(named)];
  const pages = pagesOf(api, buckets, prefix);
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await pages.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await pages.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { ...baseHeaders(api, call), "content-type": "application/x-ndjson" } });
}

async function allBuckets(api: Api): Promise<string[]> {
  return (await api.replica.buckets()).map(({ bucket }) => bucket).filter((bucket) => !bucket.startsWith("$"));
}

async function* pagesOf(api: Api, buckets: readonly string[], prefix: string): AsyncGenerator<Uint8Array, undefined> {
  for (const bucket of buckets) {
    let after: string | null | undefined;
    while (after !== null) {
      const range = { bucket, prefix, limit: PAGE_ROWS, maxBytes: PAGE_BYTES };
      const { rows, next } = await api.replica.scan(after === undefined ? range : { ...range, after });
      const lines = rows.flatMap((row) => {
        const facts = api.factsOf(row, row);
        return facts ? [`${recordLine(row, facts)}\n`] : [];
      });
      if (lines.length > 0) yield utf8(lines.join(""));
      after = next;
    }
  }
  return undefined;
}
