import type { Config } from "../config/types.ts";
import type { NodeId, Region } from "../kernel/ids.ts";
import type { MetricSources } from "../observability/metrics.ts";
import type { PlaneApi } from "../plane/api.ts";
import type { ReplicaApi } from "../replication/api.ts";
import type { ShapedNetwork } from "../world/shaping.ts";
import type { World } from "../world/world.ts";

/** What the HTTP API is made of. It has no time, chance or timers but those of this World, so that the simulator can call
 *  it in-process. */
export interface HttpDeps {
  readonly config: Config;
  readonly replica: ReplicaApi;
  readonly world: Pick<World, "clock" | "timers" | "rng" | "sha256" | "log" | "secretBytes">;
  /** This node's seat in the control plane. */
  readonly plane: PlaneApi;
  /** Whom gossip knows of, this node included. Hearsay (I11): for display only. */
  members(): readonly MemberView[];
  /** The round trip between two members, as coordinates tell it. */
  estimateRttMs(from: string, to: string): number | null;
  /** Changes the gossip keys of all members, or asks for them. */
  gossipKeys(operation: "list" | "install" | "use" | "remove", key: Uint8Array): Promise<GossipKeyReport>;
  /** Null before gossip has started. */
  readonly gossipFigures: MetricSources["gossipFigures"];
  /** Who is asked for first members, and how that goes. */
  seedSources(): readonly SeedSourceState[];
  readonly events: MemberEvents;
  /** Only in dev mode: what this node's drivers let through. */
  readonly network?: Pick<ShapedNetwork, "apply" | "rules">;
  readonly version: string;
  /** How late the event loop was lately, in ms. */
  readonly loopDelayMs?: () => { readonly p50: number; readonly p99: number; readonly max: number };
}

/** What members did with their gossip keys. */
export interface GossipKeyReport {
  /** How many were asked, this node included; 0 when too many such questions are open. */
  readonly members: number;
  /** By member, who answered in time; keys in base64, for "list". */
  readonly answers: ReadonlyMap<
    string,
    { readonly ok: boolean; readonly message: string; readonly keys: readonly string[]; readonly primaryKey: string }
  >;
}

export interface SeedSourceState {
  /** As it is written in `cluster.seeds`. */
  readonly source: string;
  readonly state: "idle" | "asking" | "found" | "failed";
  /** Why it does not answer; null when it did. */
  readonly lastError: string | null;
  /** Its last good answer, `host:port`. */
  readonly addresses: readonly string[];
  /** Null while it is being asked. */
  readonly nextTryInMs: number | null;
  readonly answers: number;
  readonly failures: number;
}

export interface MemberView {
  readonly id: NodeId;
  readonly region: Region;
  readonly state: "alive" | "suspect" | "dead" | "left";
  readonly incarnation: number;
  /** `host:port`. */
  readonly gossipAddress: string;
  /** What the member says of itself: `client`, `peer`, `zone`, `version` and more. */
  readonly meta: ReadonlyMap<string, string>;
  readonly rttMs: number | null;
  /** From network coordinates; null for this node and for who never told one. */
  readonly estimatedRttMs: number | null;
  /** Wall ms of the last change of its state. */
  readonly sinceMs: number;
  /** Of our own latest probes, the share that it did not answer directly. */
  readonly directLoss: number | null;
  /** Who suspects it, or held it for dead, as far as gossip told. */
  readonly accusers: readonly string[];
}

/** What happened to it, and who said so. */
export interface MemberChange {
  readonly kind: string;
  readonly by?: string;
}

export interface MemberEvents {
  /** Calls on every change of a member until the returned function is called. */
  subscribe(listener: (member: MemberView, change: MemberChange) => void): () => void;
}
