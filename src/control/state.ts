import type { z } from "zod";
import { compareText } from "../kernel/bytes.ts";
import type {
  AccessRole,
  ApiToken,
  AutopilotSettings,
  Bucket,
  BucketPolicy,
  clusterSchema,
  JoinToken,
  KeyReference,
  Member,
  Removed,
} from "./schemas.ts";

/** What is agreed about the cluster: a value, never changed in place. All nodes that applied the same commands have the
 *  same one. Order in the tables means nothing; whoever walks one and decides sorts first (`sorted`). */
export interface ControlState {
  /** The Raft index of the last command that changed it. */
  readonly version: number;
  readonly cluster: Readonly<z.infer<typeof clusterSchema>>;
  /** Which founding all that follows came from: the instance of the log that it was written down in. A node that lost its
   *  data directory may found the cluster once more, with the same id and salt. */
  readonly founding: string;
  /** The keys are cut into 2^this partitions, for ever. */
  readonly partitionBits: number;
  readonly featureLevel: number;
  readonly members: ReadonlyMap<string, Readonly<Member>>;
  readonly removed: FormerMembers;
  readonly placement: Placement;
  readonly buckets: ReadonlyMap<string, Readonly<Bucket>>;
  readonly policies: ReadonlyMap<string, Readonly<BucketPolicy>>;
  readonly joinTokens: ReadonlyMap<string, Readonly<JoinToken>>;
  readonly roles: ReadonlyMap<string, Readonly<AccessRole>>;
  readonly apiTokens: ReadonlyMap<string, Readonly<ApiToken>>;
  readonly keys: ReadonlyMap<string, Readonly<KeyReference>>;
  readonly autopilot: Readonly<AutopilotSettings>;
}

/** They can't come back under an old actor: of an id that is remembered, runs up to its removal are closed; of one that is
 *  forgotten, runs up to `floorMs`. */
export interface FormerMembers {
  readonly ids: ReadonlyMap<string, Readonly<Removed>>;
  /** When the last of those was removed that are forgotten. */
  readonly floorMs: number;
}

/** Every active member owns all partitions. */
export interface Placement {
  readonly kind: "everywhere";
  /** How many owners must stay when one goes; null: three, or all when they are fewer. */
  readonly minOwners: number | null;
}

export const AUTOPILOT_DEFAULTS: AutopilotSettings = {
  on: true,
  deadAfterMs: 60_000,
  stabiliseMs: 10_000,
  votersMax: 5,
};

/** The feature levels that this version knows: of a later one it can read neither commands nor states. */
export const LEVEL_KNOWN = 1;

/** In order of their keys: the same on every node. */
export function sorted<V>(table: ReadonlyMap<string, V>): V[] {
  return [...table].sort(([a], [b]) => compareText(a, b)).map(([, value]) => value);
}

/** Who owns partitions, by the committed placement (I11: nobody else has a say). */
export function ownersOf({ members }: ControlState): string[] {
  return sorted(members)
    .filter(({ state }) => state === "active" || state === "maintenance")
    .map(({ id }) => id);
}

export function votersWanted({ members }: ControlState): string[] {
  return sorted(members)
    .filter(({ role }) => role === "voter")
    .map(({ id }) => id);
}

/** How many voters so many nodes should have: an odd number, and one of two (losing either of two would freeze the
 *  configuration). */
export function votersFor(nodes: number, votersMax: 3 | 5): number {
  if (nodes < 3) return 1;
  return nodes < 5 ? 3 : votersMax;
}
