import type { Kind } from "../../src/control/commands.ts";
import type { Slug } from "../../src/control/refusals.ts";
import { Cluster, type Envelope, type Fields, hashOfText, START_MS } from "./cluster.ts";

export interface Case {
  readonly slug: Slug;
  readonly when: string;
  readonly cluster: () => Cluster;
  readonly run: (cluster: Cluster) => ReturnType<Cluster["try"]>;
  /** What the sentence must name or advise. */
  readonly says: RegExp;
}

export function refused<K extends Kind>(
  slug: Slug,
  when: string,
  says: RegExp,
  cluster: () => Cluster,
  kind: K,
  fields: Fields<K>,
  envelope: Partial<Envelope> = {},
): Case {
  return { slug, when, says, cluster, run: (one) => one.try(kind, fields, envelope) };
}

export const three = (): Cluster => new Cluster("eu", "us", "ap");
export const four = (): Cluster => new Cluster("eu", "us", "ap", "eu");
export const DAY_MS = 86_400_000;
export const HASH = hashOfText("secret");
export const tokenFields = { token: "door", hash: HASH, uses: 1, region: null, expiresAtMs: START_MS + DAY_MS };
export const withToken = (more: Partial<Fields<"token-create">> = {}): Cluster =>
  three().ok("token-create", { ...tokenFields, ...more });

export function filled<K extends Kind>(
  cluster: Cluster,
  count: number,
  kind: K,
  fields: (i: number) => Fields<K>,
): Cluster {
  for (let i = 0; i < count; i++) cluster.ok(kind, fields(i), { atMs: START_MS });
  return cluster;
}
