import { addDigest, decodeEntry, encodeEntry, lastSeq } from "../../crdt/index.ts";
import { InternalError } from "../../src/kernel/assert.ts";
import { concatBytes, equalBytes, utf8 } from "../../src/kernel/bytes.ts";
import type { ActorId } from "../../src/kernel/ids.ts";
import { PartitionSums } from "../../src/replication/sums.ts";
import {
  checksum,
  decodeLog,
  decodeRow,
  encodeLog,
  LOG_OVERHEAD_BYTES,
  rowFields,
  SEAL_BYTES,
  unseal,
} from "../../src/storage/sqlite-codec.ts";
import type { LogRecord } from "../../src/storage/store.ts";
import { DamagedError } from "../../src/storage/store-errors.ts";
import { entry } from "../property/arbitraries.ts";
import { mutateBytes } from "./mutate.ts";
import { claim, MILLION_DOTS_MS, type Target, unlessRefused } from "./target.ts";
import { samples } from "./targets-crdt.ts";

const KEY = Buffer.from("key");
const ROW = { bucket: "b", slot: 7, conflict: 0 };
const BODIES = ["", "a body", "x".repeat(200)].map(utf8);

const sealRow = (body: Uint8Array): Uint8Array => column([checksum(rowFields(ROW), KEY, body), body]);

/** As `Batch` writes it: checksums take four bytes. */
function column(parts: readonly (Uint8Array | number)[]): Uint8Array {
  return concatBytes(parts.map((part) => (typeof part === "number" ? sealBytes(part) : part)));
}

function sealBytes(crc: number): Uint8Array {
  const seal = Buffer.alloc(SEAL_BYTES);
  seal.writeUInt32LE(crc);
  return seal;
}

function parseRow(input: Uint8Array): boolean {
  const { body } = decodeRow({ ...ROW, key: KEY, sealed: Buffer.from(input) });
  if (body === null) return false;
  claim(equalBytes(sealRow(body), input), "does not have the seal that its body gets");
  const moved = unseal(Buffer.from(input), rowFields({ ...ROW, slot: 8 }), KEY);
  claim(moved === null, "is as good at another slot");
  return true;
}

const ACTOR = "a@1.00000000" as ActorId;
const COLUMNS = { pos: 5, partition: 3, actor: 1, first: 2, last: 4, awaits: 0 };

function logRecord(body: Uint8Array): LogRecord {
  return {
    ...COLUMNS,
    actor: ACTOR,
    body,
    atMs: 1.7e12,
    slot: 9,
    digestDelta: new Uint8Array(16).fill(1),
    inventoryDelta: new Uint8Array(16).fill(2),
    recordDelta: -1,
    awaits: false,
  };
}

function parseLog(input: Uint8Array): boolean {
  let record: LogRecord;
  try {
    record = decodeLog({ ...COLUMNS, sealed: Buffer.from(input) }, ACTOR);
  } catch (error) {
    if (error instanceof DamagedError) return false;
    throw error;
  }
  const again = column(encodeLog(record));
  // A time of NaN has many spellings; the checksum was right all the same.
  if (!Number.isNaN(record.atMs)) claim(equalBytes(again, input), "is written differently");
  const read = unlessRefused(() => decodeEntry(record.body));
  if (read) claim(lastSeq(read) >= read.first, "has an entry without an end");
  return true;
}

/** What a faulty program could have sealed: the head and the body are noise, the checksum is right. */
function resealedLog(bytes: Uint8Array): Uint8Array {
  const record = logRecord(bytes.subarray(LOG_OVERHEAD_BYTES - SEAL_BYTES));
  const head = Buffer.alloc(LOG_OVERHEAD_BYTES - SEAL_BYTES);
  head.set(bytes.subarray(0, head.length));
  const fields = [record.pos, record.partition, record.first, record.last, 0, record.actor];
  return column([checksum(fields, head, record.body), head, record.body]);
}

const LEAVES = 16;

function sums(records: number): Uint8Array {
  const made = new PartitionSums(LEAVES);
  for (let i = 0; i < records; i++) made.add(i % LEAVES, new Uint8Array(16).fill(i + 1), new Uint8Array(16).fill(i), 1);
  return made.encode();
}

function parseSums(input: Uint8Array): boolean {
  let found: PartitionSums | undefined;
  try {
    found = unlessRefused(() => PartitionSums.decode(input, LEAVES));
  } catch (error) {
    // Behind a checksum that holds another layout is our own fault: the node stops (I13).
    if (error instanceof InternalError) return false;
    throw error;
  }
  if (!found) return false;
  claim(equalBytes(found.encode(), input), "has another encoding too");
  const total = new Uint32Array(4);
  for (let leaf = 0; leaf < LEAVES; leaf++) addDigest(total, 0, found.digestOf(leaf));
  claim(equalBytes(found.total(), new Uint8Array(total.buffer)), "has a total that is not the sum of its leaves");
  return true;
}

const logSeeds = (): Uint8Array[] => samples(entry, 20).map((one) => column(encodeLog(logRecord(encodeEntry(one)))));
let unsealed: Uint8Array[] | undefined;

export const STORAGE_TARGETS: readonly Target[] = [
  {
    name: "stored-row",
    seeds: () => BODIES.map(sealRow),
    structured: (rng) => sealRow(mutateBytes(rng, BODIES)),
    parse: parseRow,
  },
  {
    name: "stored-log",
    seeds: logSeeds,
    structured: (rng) => {
      unsealed ??= logSeeds().map((bytes) => bytes.slice(SEAL_BYTES));
      return resealedLog(mutateBytes(rng, unsealed));
    },
    parse: parseLog,
    inputMs: MILLION_DOTS_MS,
  },
  { name: "stored-sums", seeds: () => [sums(0), sums(5), sums(40)], parse: parseSums },
];
