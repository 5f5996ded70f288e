import fc from "fast-check";
import type { Command, Kind } from "../../src/control/commands.ts";
import type { Policy } from "../../src/control/schemas.ts";
import type { ControlState } from "../../src/control/state.ts";
import {
  Cluster,
  type Fields,
  FOUNDING,
  foundersOf,
  hashOfText,
  instanceOf,
  MINUTE_MS,
  nodeNamed,
  START_MS,
} from "./cluster.ts";

// Commands from small pools, so that they meet: most are refused, many are not.

const REGIONS = ["eu", "us", "ap"] as const;
const TOKENS = ["tok0", "tok1", "tok2"] as const;
const secretOf = (token: string): string => hashOfText(`${token} secret`);

const id = fc.constantFrom("n1", "n2", "n3", "n4", "n5", "n6");
const node = fc
  .record({ id, region: fc.constantFrom(...REGIONS), zone: fc.constantFrom("a", "b", "") })
  .map((one) => nodeNamed(one.id, one.region, one.zone));
const cluster = fc.constantFrom("birds", "birds", "birds", "birds", "bees");
const token = fc.constantFrom(...TOKENS);
const bucket = fc.constantFrom("cart", "users", "__proto__", "a.b");
const role = fc.constantFrom("reader", "ops");
const expiresAtMs = fc.integer({ min: 0, max: 200 }).map((minutes) => START_MS + minutes * MINUTE_MS);
const policy = fc.constantFrom<Policy>(
  { show: "lww" },
  { show: "siblings" },
  { show: "region-order", regions: ["eu"] },
);

const of = <K extends Kind>(
  kind: K,
  fields: { [F in keyof Fields<K>]: fc.Arbitrary<Fields<K>[F]> },
): fc.Arbitrary<Choice> =>
  fc.record(fields as Record<string, fc.Arbitrary<unknown>>).map((some) => ({ kind, fields: some }));

interface Choice {
  readonly kind: Kind;
  readonly fields: Record<string, unknown>;
}

const orNull = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(some, { nil: null, freq: 2 });
const tokenUse = fc.record({ token, isRight: fc.integer({ min: 0, max: 9 }).map((n) => n > 0) });

const join: fc.Arbitrary<Choice> = fc
  .record({ cluster, use: tokenUse, member: node, replace: orNull(fc.record({ id, heardAtMs: fc.constant(0) })) })
  .map(({ use, ...rest }) => ({
    kind: "join",
    fields: { ...rest, token: use.token, tokenHash: use.isRight ? secretOf(use.token) : hashOfText("wrong") },
  }));
const tokenCreate: fc.Arbitrary<Choice> = fc
  .record({ token, uses: fc.integer({ min: 1, max: 3 }), region: orNull(fc.constantFrom(...REGIONS)), expiresAtMs })
  .map((fields) => ({ kind: "token-create", fields: { ...fields, hash: secretOf(fields.token) } }));

const claim: fc.Arbitrary<Choice> = fc
  .record({
    member: node,
    life: fc.integer({ min: 1, max: 3 }),
    /** Now and then of a copied directory. */
    of: fc.option(id, { nil: null, freq: 5 }),
    protocol: fc.constantFrom({ min: 1, max: 1 }, { min: 1, max: 2 }),
    weight: fc.constantFrom(50, 100),
    zone: fc.constantFrom("", "a"),
  })
  .map(({ member: { id: member, addresses }, life, of: owner, ...rest }) => ({
    kind: "update-member",
    fields: { ...rest, member, addresses, instance: instanceOf(owner ?? member, life) },
  }));

const access: fc.Arbitrary<Choice>[] = [
  of("token-revoke", { token }),
  of("set-role", {
    role,
    grants: orNull(
      fc.array(fc.record({ verb: fc.constantFrom("read", "admin"), bucketPrefix: fc.constant("a.") }), {
        maxLength: 2,
      }),
    ),
  }),
  of("api-token-create", {
    token,
    hash: token.map(secretOf),
    label: fc.constantFrom("ci", "laptop of Zoë"),
    roles: fc.array(role, { minLength: 1, maxLength: 2 }),
    expiresAtMs,
  }),
  of("api-token-revoke", { token }),
];

const choice: fc.Arbitrary<Choice> = fc.oneof(
  { arbitrary: join, weight: 6 },
  { arbitrary: tokenCreate, weight: 4 },
  { arbitrary: of("activate", { member: id }), weight: 3 },
  { arbitrary: claim, weight: 6 },
  of("leave", { member: id, cluster }),
  of("drain", { member: id }),
  { arbitrary: of("drain-cancel", { member: id }), weight: 2 },
  of("maintenance", { member: id, on: fc.boolean() }),
  of("decommission", { member: id, cluster }),
  of("remove", { member: id, cluster }),
  of("raise-incarnation", {
    incarnation: fc.integer({ min: 1, max: 9 }),
    voters: fc.array(id, { minLength: 1, maxLength: 3 }),
    member: id,
    instance: fc.nat(20).map((life) => instanceOf("recovered", life)),
  }),
  of("promote", { member: id, to: fc.constantFrom("voter", "learner"), instead: orNull(id) }),
  of("demote", { member: id, to: fc.constantFrom("learner", "none") }),
  of("set-policy", { bucket, policy: orNull(policy) }),
  of("set-bucket", {
    bucket,
    settings: orNull(
      fc.record({
        type: orNull(fc.constantFrom("counter", "set")),
        requiresContext: fc.boolean(),
        quotaBytes: orNull(fc.nat()),
        historyMs: fc.constant(null),
      }),
    ),
  }),
  of("set-placement", { minOwners: orNull(fc.integer({ min: 1, max: 3 })) }),
  of("set-autopilot", {
    settings: fc.record({
      on: fc.boolean(),
      deadAfterMs: fc.constantFrom(1000, 60_000),
      stabiliseMs: fc.constant(10_000),
      votersMax: fc.constantFrom(3, 5),
    }),
  }),
  of("set-key", {
    key: role,
    reference: orNull(
      fc.record({
        kind: fc.constantFrom("gossip", "ca"),
        location: fc.constantFrom("/keys/1", "kms: „ä“"),
        fingerprint: fc.constant(hashOfText("a key")),
      }),
    ),
  }),
  ...[1, 2, 3].flatMap(() => access),
);

/** `again`: the command that came so many before is in the log once more. `stale`: how far behind the proposer was. */
const step = fc.record({
  choice,
  again: fc.oneof({ arbitrary: fc.constant(null), weight: 6 }, fc.integer({ min: 1, max: 6 })),
  stale: fc.integer({ min: 0, max: 3 }),
  isConditional: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
  by: fc.constantFrom("ada", "brin", "autopilot"),
  reason: orNull(fc.constantFrom("because", "weil „es“ so ist")),
});
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

export interface History {
  readonly founders: readonly string[];
  readonly steps: readonly Step[];
}

export const history: fc.Arbitrary<History> = fc.record({
  founders: fc.array(fc.constantFrom(...REGIONS), { minLength: 1, maxLength: 5 }),
  steps: fc.array(step, { maxLength: 40, size: "max" }),
});

/** One command of a log, with the state before and after it. */
export interface Moment {
  readonly command: Command;
  readonly index: number;
  readonly before: ControlState | null;
  readonly after: ControlState | null;
  readonly result: ReturnType<Cluster["apply"]>;
}

/** The log that a history makes, and what applying it does. */
export function lived({ founders, steps }: History): { cluster: Cluster; moments: Moment[] } {
  const cluster = new Cluster();
  const moments: Moment[] = [];
  const apply = (command: Command): void => {
    const before = cluster.control.state;
    const result = cluster.apply(command);
    moments.push({ command, index: cluster.index, before, after: cluster.control.state, result });
  };
  const nodes = founders.map((region, i) => nodeNamed(`n${i + 1}`, region));
  apply(cluster.make("init", { ...FOUNDING, founders: foundersOf(...nodes) }));
  for (const {
    choice: { kind, fields },
    again,
    stale,
    isConditional,
    by,
    reason,
  } of steps) {
    const version = cluster.control.state?.version ?? 0;
    const earlier = again === null ? undefined : moments.at(-again)?.command;
    const basis = Math.max(0, version - stale);
    const ifVersion = isConditional ? version - (stale % 2) : null;
    apply(earlier ?? cluster.make(kind, fields as never, { basis, by, reason, ifVersion }));
  }
  return { cluster, moments };
}
