import { describe, expect, it } from "vitest";
import { RECENT_MAX } from "../../src/control/apply.ts";
import {
  COMMAND_BYTES_MAX,
  canonicalJson,
  decodeCommand,
  decodeControl,
  decodeState,
  encodeCommand,
  encodeControl,
  encodeState,
  SNAPSHOT_BYTES_MAX,
  STATE_BYTES_MAX,
} from "../../src/control/codec.ts";
import { MAX } from "../../src/control/schemas.ts";
import type { ControlState } from "../../src/control/state.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import { Cluster, FOUNDING, foundersOf, hashOfText, instanceOf, nodeNamed } from "./cluster.ts";

const drain = (): Record<string, unknown> => {
  const cluster = new Cluster("eu");
  return JSON.parse(fromUtf8(encodeCommand(cluster.make("drain", { member: "n1" }))));
};
const bytesOf = (value: object): Uint8Array => utf8(canonicalJson(value as never));

const without = (field: string): object => Object.fromEntries(Object.entries(drain()).filter(([key]) => key !== field));

describe("a command's bytes", () => {
  it("are JSON with its keys in order", () => {
    expect(fromUtf8(bytesOf(drain()))).toBe(
      '{"atMs":1060000,"basis":1,"by":"ada","id":"command-2","ifVersion":null,"kind":"drain","level":1,"member":"n1","reason":null}',
    );
  });

  it.each([
    ["are no UTF-8", new Uint8Array([0xff, 0xfe]), "not-utf8"],
    ["are no JSON", utf8("{"), "bad-command"],
    ["are no object", utf8("[]"), "bad-command"],
    [
      "have their keys in another order",
      utf8(JSON.stringify(Object.fromEntries(Object.entries(drain()).reverse()))),
      "bad-command",
    ],
    ["have spaces", utf8(` ${fromUtf8(bytesOf(drain()))}`), "bad-command"],
    ["have a key twice", utf8(fromUtf8(bytesOf(drain())).replace('"by"', '"basis":1,"by"')), "bad-command"],
    ["have a field that nobody knows", bytesOf({ ...drain(), zeal: 1 }), "bad-command"],
    ["have __proto__ in them", utf8(fromUtf8(bytesOf(drain())).replace("{", '{"__proto__":{},')), "bad-command"],
    ["lack a field", bytesOf(without("atMs")), "bad-command"],
    ["are of a kind that nobody knows", bytesOf({ ...drain(), kind: "dance" }), "bad-command"],
    ["name a member that can't be", bytesOf({ ...drain(), member: "N 1" }), "bad-command"],
    ["have half a pair of surrogates", utf8(fromUtf8(bytesOf(drain())).replace('"ada"', '"\\ud800"')), "bad-command"],
    ["have a fraction", utf8(fromUtf8(bytesOf(drain())).replace("1060000", "1060000.0")), "bad-command"],
    ["are too many", new Uint8Array(COMMAND_BYTES_MAX + 1).fill(32), "bad-command"],
    ["are of a later level", bytesOf({ ...drain(), kind: "dance", level: 2 }), "unknown-level"],
    ["make a later level final", bytesOf({ ...drain(), kind: "finalize", featureLevel: 2 }), "unknown-level"],
  ])("are refused when they %s", (_, bytes, slug) => {
    expect(() => decodeCommand(bytes)).toThrow(expect.objectContaining({ name: "InputError", slug }));
  });

  it("of a later level tell the operator to upgrade", () => {
    expect(() => decodeCommand(bytesOf({ ...drain(), level: 7 }))).toThrow(
      "this command is of feature level 7, this version knows 1: upgrade this node",
    );
  });
});

/** Everything at its longest. */
function fullest(): Cluster {
  const cluster = new Cluster("eu", "us", "ap");
  const by = "€".repeat(128);
  const reason = "€".repeat(256);
  const hash = hashOfText("secret");
  const expiresAtMs = cluster.nowMs + 1e9;
  const long = (i: number): string => `${i}`.padStart(4, "0").padEnd(32, "x");
  const envelope = { by, reason, atMs: cluster.nowMs };
  const member = (i: number) => ({
    ...nodeNamed(long(i), "r".repeat(32), "€".repeat(32)),
    addresses: {
      client: `${"c".repeat(118)}${i}:10`.padStart(128, "c"),
      gossip: `${"c".repeat(118)}${i}:11`.padStart(128, "c"),
      peer: `${"c".repeat(118)}${i}:12`.padStart(128, "c"),
    },
  });
  const door = { token: "d".repeat(32), hash, uses: 1000, region: "r".repeat(32), expiresAtMs };
  cluster.ok("token-create", door, envelope);
  const pass = { cluster: "birds", token: door.token, tokenHash: hash, replace: null };
  for (let i = 0; i < MAX.removed; i++) {
    cluster.ok("join", { ...pass, member: member(i) }, envelope);
    cluster.ok("leave", { member: long(i), cluster: "birds" }, envelope);
  }
  for (let i = 3; i < MAX.members; i++) {
    const one = member(1000 + i);
    const { id, addresses, protocol, weight, zone } = one;
    cluster.ok("join", { ...pass, member: one }, envelope);
    cluster.ok("update-member", { member: id, addresses, protocol, weight, zone, instance: instanceOf(id) }, envelope);
  }
  const policy = { show: "region-order" as const, regions: Array.from({ length: 8 }, (_, i) => long(i)) };
  const bucketNamed = (i: number): string => `${i}`.padEnd(64, "b");
  for (let i = 0; i < MAX.policies * (1 + MAX.policyHistory); i++)
    cluster.ok("set-policy", { bucket: bucketNamed(i % MAX.policies), policy }, envelope);
  const settings = { type: "register" as const, requiresContext: false, quotaBytes: 2 ** 52, historyMs: 2 ** 52 };
  for (let i = 0; i < MAX.buckets; i++) cluster.ok("set-bucket", { bucket: bucketNamed(i), settings }, envelope);
  for (let i = 1; i < MAX.joinTokens; i++)
    cluster.ok("token-create", { ...door, token: `${i}`.padStart(32, "0") }, envelope);
  const grants = Array.from({ length: MAX.grantsOfRole }, (_, i) => ({
    verb: "operate" as const,
    bucketPrefix: `${i}`.padEnd(64, "b"),
  }));
  for (let i = 0; i < MAX.roles; i++) cluster.ok("set-role", { role: long(i), grants }, envelope);
  const roles = Array.from({ length: MAX.rolesOfToken }, (_, i) => long(i));
  for (let i = 0; i < MAX.apiTokens; i++)
    cluster.ok(
      "api-token-create",
      { token: `${i}`.padStart(32, "0"), hash, label: "€".repeat(64), roles, expiresAtMs },
      envelope,
    );
  const reference = { kind: "bucket" as const, location: "€".repeat(256), fingerprint: hash };
  for (let i = 0; i < MAX.keys; i++) cluster.ok("set-key", { key: long(i), reference }, envelope);
  // The longest answers are remembered, too.
  for (let i = 0; i < RECENT_MAX; i++)
    cluster.try(
      "leave",
      { member: long(1003), cluster: "x".repeat(32) },
      { ...envelope, id: `${i}`.padStart(64, "0") },
    );
  return cluster;
}

describe("the fullest state", () => {
  const cluster = fullest();
  const tables = (state: ControlState): number[] => [
    state.members.size,
    state.removed.ids.size,
    state.policies.size,
    state.buckets.size,
    state.joinTokens.size,
    state.roles.size,
    state.apiTokens.size,
    state.keys.size,
  ];

  it("has every table full, and fits what a peer and a snapshot may take", () => {
    const { members, removed, policies, buckets, joinTokens, roles, apiTokens, keys } = MAX;
    expect(tables(cluster.state)).toEqual([members, removed, policies, buckets, joinTokens, roles, apiTokens, keys]);
    expect(cluster.control.recent.entries).toHaveLength(RECENT_MAX);
    const { length } = encodeState(cluster.state);
    expect(length).toBeLessThan(STATE_BYTES_MAX);
    // Not by a wide margin: the bound is near what it bounds.
    expect(length).toBeGreaterThan(STATE_BYTES_MAX / 2);
    expect(encodeControl(cluster.control).length).toBeLessThan(SNAPSHOT_BYTES_MAX);
  });

  it("comes back from its bytes", () => {
    expect(decodeState(encodeState(cluster.state))).toEqual(cluster.state);
    expect(decodeControl(encodeControl(cluster.control))).toEqual(cluster.control);
  });

  it("was founded by a command far below what one may take", () => {
    const founders = [0, 1, 2, 3, 4].map((i) => nodeNamed(`${i}`.padEnd(32, "x")));
    const init = new Cluster().make("init", { ...FOUNDING, founders: foundersOf(...founders) });
    expect(encodeCommand(init).length).toBeLessThan(COMMAND_BYTES_MAX / 10);
  });
});

describe("a state's bytes", () => {
  const plain = (): Record<string, never> => JSON.parse(fromUtf8(encodeState(new Cluster("eu", "us").state)));
  const members = (): Record<string, unknown>[] => plain().members as never;

  it.each([
    ["are no JSON", utf8("{,}"), "bad-state"],
    ["are too many", new Uint8Array(STATE_BYTES_MAX + 1), "bad-state"],
    ["have a table out of order", bytesOf({ ...plain(), members: members().reverse() }), "bad-state"],
    ["have a member twice", bytesOf({ ...plain(), members: [...members(), members()[1]] }), "bad-state"],
    ["have a field that nobody knows", bytesOf({ ...plain(), zeal: 1 }), "bad-state"],
    ["have one in a member", bytesOf({ ...plain(), members: [{ ...members()[0], zeal: 1 }] }), "bad-state"],
    [
      "have a table that is too long",
      bytesOf({ ...plain(), keys: Array.from({ length: MAX.keys + 1 }, () => 1) }),
      "bad-state",
    ],
    ["are of a later level", bytesOf({ ...plain(), featureLevel: 2, zeal: 1 }), "unknown-level"],
  ])("are refused when they %s", (_, bytes, slug) => {
    expect(() => decodeState(bytes)).toThrow(expect.objectContaining({ name: "InputError", slug }));
  });

  it("in a snapshot are refused alike", () => {
    const snapshot = JSON.parse(fromUtf8(encodeControl(new Cluster("eu").control)));
    const refused = (value: object): unknown => {
      try {
        return decodeControl(bytesOf(value));
      } catch (error) {
        return (error as { slug?: string }).slug;
      }
    };
    expect(refused(snapshot)).toMatchObject({ state: { version: 1 } });
    expect(refused({ ...snapshot, more: 1 })).toBe("bad-state");
    expect(refused({ ...snapshot, state: { ...snapshot.state, featureLevel: 2 } })).toBe("unknown-level");
    expect(
      refused({ ...snapshot, recent: { entries: [{ id: "command-1", index: 1, result: { ok: 3 } }], floor: 0 } }),
    ).toBe("bad-state");
  });
});
