import { type ActorId, type NodeId, parseActorId } from "../kernel/ids.ts";
import { decodeLog, type LogColumns, unseal, unsealOrThrow } from "./sqlite-codec.ts";
import type { Connection } from "./sqlite-connection.ts";
import { READ_SQL } from "./sqlite-reads.ts";
import { COUNTERS, type Counters, type WriterState } from "./sqlite-writer.ts";
import type { StoreState, VectorEntry } from "./store.ts";
import { DamagedError } from "./store-errors.ts";

/** Actors and counters: what the writer must know before its first commit. Rejects with DamagedError. */
export async function loadWriterState(connection: Connection): Promise<WriterState> {
  const actorNames = new Map<number, ActorId>();
  const actorNumbers = new Map<ActorId, number>();
  for (const { id, name } of await connection.all<{ id: number; name: string }>("SELECT id, name FROM actors")) {
    // Vectors and log records have the actor's name under their checksum: a changed one shows there.
    actorNames.set(id, name as ActorId);
    actorNumbers.set(name as ActorId, id);
  }
  const counters = { lastPos: 0, lastJournalSeq: 0, logRecords: 0, logBytes: 0 };
  const stored = await connection.all<{ name: string; value: number; sealed: Buffer }>("SELECT * FROM counters");
  for (const { name, value, sealed } of stored) {
    unsealOrThrow(`counter ${name}`, sealed, [name, value]);
    for (const known of COUNTERS) if (name === known) counters[known] = value;
  }
  await checkHighWater(connection, counters);
  return { actorNames, actorNumbers, counters };
}

// A position used twice would make one record look like another to everything that remembers positions.
async function checkHighWater(connection: Connection, counters: Counters): Promise<void> {
  const { pos } = await connection.one<{ pos: number | null }>("SELECT max(pos) AS pos FROM log");
  const { seq } = await connection.one<{ seq: number | null }>("SELECT max(seq) AS seq FROM journal");
  if ((pos ?? 0) > counters.lastPos || (seq ?? 0) > counters.lastJournalSeq)
    throw new DamagedError("the log or journal is damaged: it has records above the highest position ever used");
}

/** All that a start needs in memory, from one transaction. Rejects with DamagedError. */
export async function loadState(connection: Connection, state: WriterState): Promise<StoreState> {
  await connection.run("BEGIN");
  try {
    return {
      settings: await loadSettings(connection),
      vectors: await loadVectors(connection, "vectors", state),
      floors: await loadVectors(connection, "floors", state),
      acks: await loadAcks(connection),
      ...(await loadSums(connection)),
      damaged: await loadDamaged(connection),
      awaiting: (await connection.all<LogColumns>(READ_SQL.awaiting)).map((columns) =>
        decodeLog(columns, state.actorNames.get(columns.actor)),
      ),
      lastPos: state.counters.lastPos,
      lastJournalSeq: state.counters.lastJournalSeq,
    };
  } finally {
    // Also after an error: left open, the transaction would show this connection the past for ever.
    await connection.run("COMMIT");
  }
}

async function loadSettings(connection: Connection): Promise<Map<string, string>> {
  const settings = new Map<string, string>();
  for (const { name, sealed } of await connection.all<{ name: Buffer; sealed: Buffer }>("SELECT * FROM settings")) {
    const body = unsealOrThrow(`setting ${name.toString("utf8")}`, sealed, [], name);
    settings.set(name.toString("utf8"), Buffer.from(body).toString("utf8"));
  }
  return settings;
}

async function loadVectors(
  connection: Connection,
  table: "vectors" | "floors",
  { actorNames }: WriterState,
): Promise<VectorEntry[]> {
  const rows = await connection.all<{ partition: number; actor: number; seq: number; sealed: Buffer }>(
    `SELECT partition, actor, seq, sealed FROM ${table}`,
  );
  return rows.map(({ partition, actor: number, seq, sealed }) => {
    const name = actorNames.get(number) ?? "";
    unsealOrThrow(`${table}: the entry of partition ${partition} and actor ${number}`, sealed, [partition, name, seq]);
    return { partition, actor: parseActorId(name), seq };
  });
}

async function loadAcks(connection: Connection): Promise<StoreState["acks"]> {
  const rows = await connection.all<{ peer: NodeId; partition: number; sealed: Buffer }>("SELECT * FROM acks");
  return rows.map(({ peer, partition, sealed }) => ({
    peer,
    partition,
    vector: unsealOrThrow(`the acknowledgement of ${peer} for partition ${partition}`, sealed, [peer, partition]),
  }));
}

// Unlike all else here they can be worked out again, from what their partition has: no reason to refuse a start.
async function loadSums(connection: Connection): Promise<Pick<StoreState, "sums" | "lostSums">> {
  const rows = await connection.all<{ partition: number; pos: number; sealed: Buffer }>("SELECT * FROM sums");
  const sums: StoreState["sums"][number][] = [];
  const lostSums: number[] = [];
  for (const { partition, pos, sealed } of rows) {
    const body = unseal(sealed, [partition, pos]);
    if (body) sums.push({ partition, pos, body });
    else lostSums.push(partition);
  }
  return { sums, lostSums };
}

async function loadDamaged(connection: Connection): Promise<StoreState["damaged"]> {
  const rows = await connection.all<{ partition: number; leaf: number; sealed: Buffer }>("SELECT * FROM damaged");
  return rows.map(({ partition, leaf, sealed }) => ({
    partition,
    leaf,
    vector: unsealOrThrow(`the mark of damaged leaf ${partition}/${leaf}`, sealed, [partition, leaf]),
  }));
}
