import { z } from "zod";
import { bytes, count, MAX_PARTITIONS, text } from "../../peer/frames.ts";

// What peers tell and ask each other about data: bodies of requests and answers (src/peer/frames.ts).

export const entriesBody = z.object({ entries: z.array(bytes).max(4096) });
export const entriesReply = z.object({
  gaps: z.array(z.object({ partition: count, actor: text, from: count })).max(4096),
});

const partitionList = z.array(count).max(MAX_PARTITIONS);
export const syncMessage = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("start"), vectors: bytes, sums: bytes }),
  z.object({ kind: z.literal("same") }),
  z.object({ kind: z.literal("hashes"), hashes: bytes }),
  z.object({ kind: z.literal("want-vectors"), partitions: partitionList }),
  z.object({
    kind: z.literal("vectors"),
    items: z.array(z.object({ partition: count, vector: bytes, floor: bytes })).max(MAX_PARTITIONS),
  }),
  z.object({ kind: z.literal("want-sums"), partition: count, level: count.max(8), index: count.max(65_536) }),
  z.object({ kind: z.literal("sums"), partition: count, level: count.max(8), index: count.max(65_536), sums: bytes }),
]);

export const rangeBody = z.object({ partition: count, actor: text, from: count });
export const rangeReply = z.object({ entries: z.array(bytes).max(4096), more: z.boolean() });

const travellingRow = z.object({ bucket: text, key: text, body: bytes });
export type WireRow = z.infer<typeof travellingRow>;
export const rowsBody = z.object({ partition: count, leaves: z.array(count).max(1024) });
export const rowsReply = z.object({
  vector: bytes,
  /** Leaves whose rows add up and are all sent. Rows of other leaves are told as they are, damaged ones left out. */
  sound: z.array(count).max(1024),
  rows: z.array(travellingRow),
});

export const copyOpenBody = z.object({ partition: count });
export const copyOpenReply = z.object({ id: count, rows: count, vector: bytes, floor: bytes });
export const copyReadBody = z.object({ id: count, offset: count });
export const copyReadReply = z.object({ rows: z.array(travellingRow) });
export const copyCloseBody = z.object({ id: count });
export const vectorsReply = z.object({ vectors: z.array(bytes).max(MAX_PARTITIONS) });
export const anyBody = z.unknown();
