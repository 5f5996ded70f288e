import { toJson, type View } from "./json.ts";

/** Of each kind, at a node. More: more consoles at once; each costs a connection. */
export const MAX_STREAMS = 64;
/** Shorter than the idle times of proxies (60 s and more). */
export const HEARTBEAT_MS = 15_000;

export function eventText(name: string, view: View): string {
  return `event: ${name}\ndata: ${toJson(view)}\n\n`;
}
