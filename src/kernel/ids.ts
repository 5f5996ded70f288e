import { InputError } from "./assert.ts";

declare const brand: unique symbol;
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A node's name in its cluster: `[a-z0-9-]{1,32}`. */
export type NodeId = Branded<string, "NodeId">;
/** One run of one node's process: `node@start.random`, start in base 36 ms, random in 8 hex digits (data.md, Actors). */
export type ActorId = Branded<string, "ActorId">;
/** A region's name: `[a-z0-9-]{1,32}`. */
export type Region = Branded<string, "Region">;

/** Of a node or a region. */
export const NAME: RegExp = /^[a-z0-9](?:[a-z0-9-]{0,31})$/;
const ACTOR = /^([a-z0-9][a-z0-9-]{0,31})@([0-9a-z]{1,11})\.([0-9a-f]{8})$/;

export function parseNodeId(text: string): NodeId {
  if (!NAME.test(text))
    throw new InputError("bad-node-id", `node id ${JSON.stringify(text)} must match ${NAME.source}`);
  return text as NodeId;
}

export function parseRegion(text: string): Region {
  if (!NAME.test(text)) throw new InputError("bad-region", `region ${JSON.stringify(text)} must match ${NAME.source}`);
  return text as Region;
}

export function parseActorId(text: string): ActorId {
  if (!ACTOR.test(text)) throw new InputError("bad-actor", "an actor id looks like node@start.random");
  return text as ActorId;
}

/** @param startMs wall ms of the run's start, at least one above the last persisted start @param random 32 bits */
export function makeActorId(node: NodeId, startMs: number, random: number): ActorId {
  return `${node}@${Math.floor(startMs).toString(36)}.${(random >>> 0).toString(16).padStart(8, "0")}` as ActorId;
}

export function nodeOfActor(actor: ActorId): NodeId {
  return actor.slice(0, actor.indexOf("@")) as NodeId;
}

/** The run's start in wall ms. */
export function startOfActor(actor: ActorId): number {
  return Number.parseInt(actor.slice(actor.indexOf("@") + 1, actor.indexOf(".")), 36);
}
