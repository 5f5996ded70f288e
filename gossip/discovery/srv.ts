import { fieldOf, textOf } from "./json.ts";
import { SEEDS_MAX } from "./machine.ts";
import { isHost, isPort } from "./notation.ts";

export interface SrvTarget {
  readonly name: string;
  readonly port: number;
}

/** Where the SRV records of a service lead, by priority (lower first), each place once. Records that lead nowhere are left
 *  out: a target of "." says that the service is not offered (RFC 2782). Weights mean nothing here, all are tried. */
export function srvTargets(records: readonly unknown[]): SrvTarget[] {
  const found: { readonly target: SrvTarget; readonly priority: number }[] = [];
  for (const record of records) {
    const name = textOf(fieldOf(record, "name")).replace(/\.$/, "").toLowerCase();
    const port = fieldOf(record, "port");
    const priority = fieldOf(record, "priority");
    if (isHost(name) && isPort(port) && typeof priority === "number") found.push({ target: { name, port }, priority });
  }
  found.sort((a, b) => a.priority - b.priority || compare(a.target, b.target));
  const unique = new Map(found.map(({ target }) => [`${target.name} ${target.port}`, target]));
  return [...unique.values()].slice(0, SEEDS_MAX);
}

/** Answers come in any order: of too many the same must be taken each time, or the list would change with every look. */
function compare(a: SrvTarget, b: SrvTarget): number {
  if (a.name !== b.name) return a.name < b.name ? -1 : 1;
  return a.port - b.port;
}
