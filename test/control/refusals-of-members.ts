import { RECENT_MAX } from "../../src/control/apply.ts";
import { MAX } from "../../src/control/schemas.ts";
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
import { type Case, DAY_MS, filled, four, HASH, refused, three, tokenFields, withToken } from "./refusal-case.ts";

const joining: Fields<"join"> = {
  cluster: "birds",
  token: "door",
  tokenHash: HASH,
  member: nodeNamed("new"),
  replace: null,
};

const asItIs = (id: string): Fields<"update-member"> => {
  const { addresses, protocol, weight, zone } = nodeNamed(id);
  return { member: id, addresses, protocol, weight, zone, instance: instanceOf(id) };
};
const raised = { incarnation: 2, voters: ["n1"], member: "n1", instance: instanceOf("n1", 2) };

export const ofTheFounding: readonly Case[] = [
  refused("no-cluster", "nothing was founded", /starling init/, () => new Cluster(), "drain", { member: "n1" }),
  refused("already-founded", "there is a cluster", /birds/, three, "init", {
    ...FOUNDING,
    founders: foundersOf(nodeNamed("x")),
  }),
  refused("node-exists", "a founder is named twice", /n1/, () => new Cluster(), "init", {
    ...FOUNDING,
    founders: foundersOf(nodeNamed("n1"), nodeNamed("n1")),
  }),
  refused("bad-founder", "nobody writes the group down", /0 founders/, () => new Cluster(), "init", {
    ...FOUNDING,
    founders: [{ ...nodeNamed("n1"), instance: null }],
  }),
  refused("bad-founder", "two write it down", /2 founders .* exactly one/, () => new Cluster(), "init", {
    ...FOUNDING,
    founders: [...foundersOf(nodeNamed("n1")), ...foundersOf(nodeNamed("n2"))],
  }),
  refused(
    "level-not-final",
    "it needs a level that isn't final",
    /finalize/,
    three,
    "drain",
    { member: "n1" },
    { level: 2 },
  ),
  refused(
    "version-mismatch",
    "the state has moved on",
    /version 3/,
    three,
    "set-placement",
    { minOwners: 1 },
    { ifVersion: 9 },
  ),
  refused(
    "version-mismatch",
    "the bucket's policy has moved on",
    /version 4/,
    () => three().ok("set-policy", { bucket: "b", policy: { show: "max" } }),
    "set-policy",
    { bucket: "b", policy: { show: "min" } },
    { ifVersion: 1 },
  ),
  refused(
    "too-old",
    "it was made before what is no longer remembered",
    /anew/,
    () => filled(three(), RECENT_MAX, "set-placement", () => ({ minOwners: 1 })),
    "drain",
    { member: "n1" },
    { basis: 0 },
  ),
];

export const ofJoining: readonly Case[] = [
  refused("wrong-cluster", "another cluster is named", /birds/, withToken, "join", { ...joining, cluster: "bees" }),
  refused("bad-token", "there is no such token", /token create/, three, "join", joining),
  refused("bad-token", "the secret is wrong", /token create/, withToken, "join", {
    ...joining,
    tokenHash: hashOfText("no"),
  }),
  refused("token-expired", "the token's time is over", /expired/, withToken, "join", joining, {
    atMs: START_MS + DAY_MS,
  }),
  refused("token-used", "the token is used up", /used up/, () => withToken().ok("join", joining), "join", {
    ...joining,
    member: nodeNamed("other"),
  }),
  refused(
    "token-region",
    "the token is for elsewhere",
    /region us/,
    () => withToken({ region: "us" }),
    "join",
    joining,
  ),
  refused("node-exists", "the id is a member's", /--replace n1/, withToken, "join", {
    ...joining,
    member: nodeNamed("n1"),
  }),
  refused(
    "node-removed",
    "the id was a member's",
    /another id/,
    () => withToken().ok("remove", { member: "n3", cluster: "birds" }),
    "join",
    { ...joining, member: nodeNamed("n3") },
  ),
  refused("unknown-node", "there is nobody to replace", /n9/, withToken, "join", {
    ...joining,
    replace: { id: "n9", heardAtMs: 0 },
  }),
  refused("node-lives", "whom it replaces was heard of", /drain/, withToken, "join", {
    ...joining,
    replace: { id: "n3", heardAtMs: START_MS + MINUTE_MS + 1 },
  }),
  refused(
    "last-voter",
    "whom it replaces is the only voter",
    /promote/,
    () => new Cluster("eu", "us").ok("token-create", tokenFields),
    "join",
    {
      ...joining,
      replace: { id: "n1", heardAtMs: 0 },
    },
  ),
  refused("address-taken", "an address is another's", /n2/, withToken, "join", {
    ...joining,
    member: { ...nodeNamed("new"), addresses: { ...nodeNamed("new").addresses, peer: nodeNamed("n2").addresses.peer } },
  }),
  refused("protocol-mismatch", "it doesn't speak the cluster's level", /2 to 3/, withToken, "join", {
    ...joining,
    member: { ...nodeNamed("new"), protocol: { min: 2, max: 3 } },
  }),
  {
    slug: "table-full",
    when: "there are as many members as there may be",
    says: /256 members/,
    cluster: () => {
      const uses = MAX.members;
      const full = withToken({ uses });
      for (let i = 3; i < MAX.members; i++)
        full.ok("join", { ...joining, member: nodeNamed(`m${i}`) }, { atMs: START_MS });
      return full;
    },
    run: (cluster) => cluster.try("join", joining, { atMs: START_MS }),
  },
  {
    slug: "table-full",
    when: "there are as many owners as there may be",
    says: /128 nodes that own data/,
    cluster: fullOfOwners,
    run: (cluster) => cluster.try("activate", { member: `m${MAX.owners}` }, { atMs: START_MS }),
  },
  {
    slug: "table-full",
    when: "another one owns in the place of who drained",
    says: /128 nodes that own data/,
    cluster: () =>
      fullOfOwners()
        .ok("drain", { member: "m5" })
        .ok("activate", { member: `m${MAX.owners}` }),
    run: (cluster) => cluster.try("drain-cancel", { member: "m5" }),
  },
];

/** And one that joins. */
function fullOfOwners(): Cluster {
  const full = withToken({ uses: MAX.members });
  for (let i = 3; i <= MAX.owners; i++) {
    full.ok("join", { ...joining, member: nodeNamed(`m${i}`) }, { atMs: START_MS });
    if (i < MAX.owners) full.ok("activate", { member: `m${i}` }, { atMs: START_MS });
  }
  return full;
}

export const ofLife: readonly Case[] = [
  refused("unknown-node", "it is no member", /n9/, four, "drain", { member: "n9" }),
  refused(
    "wrong-state",
    "it is active, and can't become it",
    /active/,
    () => three().ok("maintenance", { member: "n1", on: true }),
    "activate",
    { member: "n1" },
  ),
  refused("wrong-state", "a joining member drains", /leave/, () => withToken().ok("join", joining), "drain", {
    member: "new",
  }),
  refused("wrong-state", "no drain is to be cancelled", /no drain/, three, "drain-cancel", { member: "n1" }),
  refused(
    "wrong-state",
    "a draining member goes into maintenance",
    /draining/,
    () => four().ok("drain", { member: "n4" }),
    "maintenance",
    { member: "n4", on: true },
  ),
  refused("too-few-copies", "three are left, and three are wanted", /minOwners/, three, "drain", { member: "n1" }),
  refused("too-few-copies", "it is decommissioned", /2 copies/, three, "decommission", {
    member: "n1",
    cluster: "birds",
  }),
  refused("too-few-copies", "it leaves at once", /2 copies/, three, "leave", { member: "n1", cluster: "birds" }),
  refused("last-node", "it is the only one", /another one join/, () => new Cluster("eu"), "remove", {
    member: "n1",
    cluster: "birds",
  }),
  refused(
    "last-node",
    "the others go already",
    /last node/,
    () =>
      four()
        .ok("set-placement", { minOwners: 1 })
        .ok("drain", { member: "n2" })
        .ok("drain", { member: "n3" })
        .ok("drain", { member: "n4" }),
    "drain",
    { member: "n1" },
  ),
  refused("last-voter", "the only voter is removed", /promote/, () => new Cluster("eu", "us"), "remove", {
    member: "n1",
    cluster: "birds",
  }),
  refused("wrong-cluster", "another cluster's member is to leave", /birds/, four, "leave", {
    member: "n1",
    cluster: "bees",
  }),
  refused("wrong-cluster", "another cluster's member is removed", /birds/, four, "remove", {
    member: "n1",
    cluster: "bees",
  }),
  refused("wrong-cluster", "another cluster's member is decommissioned", /birds/, four, "decommission", {
    member: "n1",
    cluster: "bees",
  }),
  refused("address-taken", "a restarted node takes another's address", /n2/, three, "update-member", {
    ...asItIs("n1"),
    addresses: nodeNamed("n2").addresses,
  }),
  refused("protocol-mismatch", "a restarted node no longer speaks the level", /n1/, three, "update-member", {
    ...asItIs("n1"),
    protocol: { min: 2, max: 2 },
  }),
  refused("last-voter", "the only voter has another log", /recover/, () => new Cluster("eu", "us"), "update-member", {
    ...asItIs("n1"),
    instance: instanceOf("n1", 2),
  }),
  refused("instance-taken", "the log is another's", /n2 .* copied/, three, "update-member", {
    ...asItIs("n1"),
    instance: instanceOf("n2"),
  }),
  refused("protocol-mismatch", "not all know the new level", /upgrade n1, n2, n3/, three, "finalize", {
    featureLevel: 2,
  }),
  refused("bad-level", "the level would not rise", /never goes back/, three, "finalize", { featureLevel: 1 }),
  refused("bad-incarnation", "the incarnation would not rise", /higher/, three, "raise-incarnation", {
    ...raised,
    incarnation: 1,
  }),
  refused("bad-voters", "who recovers shall not vote", /n2 recovers/, three, "raise-incarnation", {
    ...raised,
    member: "n2",
  }),
  refused("instance-taken", "the new group's log is an old one", /n1 has/, three, "raise-incarnation", {
    ...raised,
    instance: instanceOf("n1"),
  }),
  refused("unknown-node", "a stranger shall vote", /n9/, three, "raise-incarnation", {
    ...raised,
    voters: ["n1", "n9"],
  }),
];
