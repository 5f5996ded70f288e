import type { Profile } from "../../gossip/index.ts";
import type { NodeId, Region } from "../kernel/ids.ts";
import type { Address } from "../world/world.ts";

/** A node's effective configuration (api.md, Configuration): parsed, defaulted, checked. */
export interface Config {
  readonly node: { readonly id: NodeId; readonly region: Region; readonly zone: string; readonly dataDir: string };
  readonly client: { readonly bind: Address; readonly advertise: Address };
  readonly gossip: {
    readonly bind: Address;
    readonly advertise: Address;
    /** Where members of these regions reach it. */
    readonly advertiseTo: ReadonlyMap<Region, Address>;
    readonly profile: Profile;
    /** Mandatory off loopback: packets of another cluster are dropped before parsing. */
    readonly label: string;
    readonly compress: boolean;
    /** AES keys; the first one encrypts. None: gossip is not encrypted. */
    readonly keys: readonly Uint8Array[];
    readonly verifyIncoming: boolean;
    readonly verifyOutgoing: boolean;
  };
  readonly peer: {
    readonly bind: Address;
    readonly advertise: Address;
    readonly advertiseTo: ReadonlyMap<Region, Address>;
  };
  readonly cluster: ClusterConfig;
  readonly replication: {
    readonly syncIntervalMs: number;
    /** How long the log is kept (it is cut only where invariant I6 allows). */
    readonly historyMs: number;
    readonly logMaxBytes: number;
  };
  readonly clock: { readonly maxDriftMs: number };
  readonly limits: Limits;
  readonly log: { readonly level: "debug" | "info" | "warn" | "error" | "silent"; readonly format: "json" | "pretty" };
  /** Started by `starling dev`: PUT /v1/dev/network is offered. */
  readonly dev: boolean;
}

/** All nodes of a cluster must agree on its id and its salt. */
export interface ClusterConfig {
  readonly id: string;
  readonly name: string;
  /** Secret, 16 bytes or more: keys hash with it. */
  readonly salt: Uint8Array;
  /** Where first members are found (gossip/discovery/notation.ts). */
  readonly seeds: readonly string[];
  readonly lookups: {
    readonly dnsServer: Address | null;
    readonly consulToken: string;
    readonly kubernetesApi: Address;
    readonly kubernetesCredentials: string;
  };
  readonly start: ClusterStart;
  /** Every node that owned data at the founding; empty on one that joined, which is told by the others. `peer` is where to
   *  dial until gossip knows better. */
  readonly owners: readonly { readonly id: NodeId; readonly region: Region; readonly peer?: Address }[];
}

/** How a node comes to its cluster. Only a node that has no state of it yet asks. */
export type ClusterStart =
  /** It founds one by itself. */
  | { readonly kind: "alone" }
  /** The owners of the configuration found it together. */
  | { readonly kind: "owners" }
  /** So many nodes that gossip with each other found it together. */
  | { readonly kind: "expect"; readonly count: number }
  /** `starling join`: a member let it in. */
  | { readonly kind: "joined" };

export interface Limits {
  readonly keyBytes: number;
  readonly valueBytes: number;
  readonly rowBytes: number;
  readonly siblings: number;
  /** A request's body, except the streams of import. */
  readonly bodyBytes: number;
  /** One line of an import. */
  readonly lineBytes: number;
  readonly batchItems: number;
  readonly opsPerRequest: number;
  readonly headerBytes: number;
  readonly connections: number;
  readonly requestTimeoutMs: number;
  /** Writes that wait for a commit; one more is answered 503. */
  readonly queuedWrites: number;
  readonly cacheBytes: number;
}
