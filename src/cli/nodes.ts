import { CliError, EXIT } from "./exit.ts";
import type { NodeClient } from "./http-client.ts";

/** A member or owner, as `GET /cluster/nodes` shows it. */
export interface NodeView {
  readonly id: string;
  readonly region: string | null;
  readonly zone: string | null;
  readonly state: "alive" | "suspect" | "dead" | "left" | "unknown";
  readonly self?: boolean;
  readonly owner: boolean;
  /** In the Raft group; and what the committed configuration says of it: null when it is no member there. */
  readonly role: "voter" | "learner" | "none";
  readonly leader?: boolean;
  readonly memberState: string | null;
  readonly addresses: { readonly client: string | null; readonly gossip: string | null; readonly peer: string | null };
  readonly incarnation: number | null;
  readonly since: string | null;
  readonly rttMs: number | null;
  readonly estimatedRttMs: number | null;
  /** How overdue the heartbeat of its link is; and why others are asked before it. Absent where there is no link. */
  readonly phi: number | null;
  readonly gray?: readonly ("silent" | "slow" | "lossy")[];
  /** Who suspects it, or held it for dead. */
  readonly accusers: readonly string[];
  readonly version: string | null;
  /** Entries that the node asked has still to send there, and lacks from there. Absent for itself. */
  readonly lag?: { readonly link: string; readonly to: number; readonly from: number };
}

export function roleText({ role, leader }: NodeView): string {
  return leader ? "leader" : role;
}

/** An owner that clients can be sent to. */
export interface ReachableNode {
  readonly id: string;
  readonly region: string;
  readonly url: string;
  readonly state: NodeView["state"];
}

export async function nodeViews(client: NodeClient): Promise<readonly NodeView[]> {
  return (await client.get<{ nodes: readonly NodeView[] }>("/cluster/nodes")).nodes;
}

/** Every owner, in the order of addresses. Throws when gossip has not told yet where clients reach one of them. */
export async function listOwners(client: NodeClient): Promise<ReachableNode[]> {
  const owners = (await nodeViews(client)).filter(({ owner }) => owner);
  const found = owners.map(({ id, region, state, addresses }) => {
    if (addresses.client === null)
      throw new CliError(EXIT.unavailable, `${client.url} has not heard yet where clients reach ${id}: is it running?`);
    return { id, region: region ?? "", url: `http://${addresses.client}`, state };
  });
  return found.sort((a, b) => a.url.localeCompare(b.url, "en", { numeric: true }));
}
