import { describe, expect, it } from "vitest";
import { apply, RECENT_MAX } from "../../src/control/apply.ts";
import { encodeState } from "../../src/control/codec.ts";
import { MAX } from "../../src/control/schemas.ts";
import { ownersOf, votersFor, votersWanted } from "../../src/control/state.ts";
import { toHex } from "../../src/kernel/bytes.ts";
import { Cluster, FOUNDING, hashOfText, instanceOf, MINUTE_MS, nodeNamed, START_MS } from "./cluster.ts";

const memberOf = (cluster: Cluster, id: string) => cluster.state.members.get(id);

describe("founding", () => {
  it("makes one voter of two founders, three of four, all of them owners", () => {
    expect(votersWanted(new Cluster("eu").state)).toEqual(["n1"]);
    expect(votersWanted(new Cluster("eu", "us").state)).toEqual(["n1"]);
    const four = new Cluster().found("eu", "us", "ap", "eu").state;
    expect(votersWanted(four)).toEqual(["n1", "n2", "n3"]);
    expect(four.members.get("n4")?.role).toBe("learner");
    expect([...four.members.values()].map(({ instance }) => instance)).toEqual([instanceOf("n1"), null, null, null]);
    expect(ownersOf(four)).toEqual(["n1", "n2", "n3", "n4"]);
    expect(four).toMatchObject({ version: 1, featureLevel: 1, ...FOUNDING });
  });

  it("is the same in whatever order the founders are named", () => {
    const founder = (id: string) => ({ ...nodeNamed(id), instance: id === "c" ? instanceOf("c") : null });
    const bytes = (...ids: string[]): string => {
      const cluster = new Cluster();
      cluster.ok("init", { ...FOUNDING, founders: ids.map(founder) });
      return toHex(encodeState(cluster.state));
    };
    expect(bytes("a", "b", "c", "d")).toBe(bytes("d", "b", "a", "c"));
  });

  it("lets who writes the group down vote, and the others who spread the votes best", () => {
    const voters = (founder: string, ...places: (readonly [region: string, zone: string, weight?: number])[]) => {
      const founders = places.map(([region, zone, weight = 100], i) => {
        const id = `n${i + 1}`;
        return { ...nodeNamed(id, region, zone), weight, instance: id === founder ? instanceOf(id) : null };
      });
      return votersWanted(new Cluster().ok("init", { ...FOUNDING, founders }).state);
    };
    const regions = ["eu", "eu", "us", "ap"].map((region) => [region, "a"] as const);
    expect(voters("n1", ...regions)).toEqual(["n1", "n3", "n4"]);
    expect(voters("n2", ...regions)).toEqual(["n2", "n3", "n4"]);
    expect(voters("n4", ...regions)).toEqual(["n1", "n3", "n4"]);
    expect(voters("n1", ["eu", "a"], ["eu", "a"], ["eu", "b"], ["eu", "a", 200])).toEqual(["n1", "n3", "n4"]);
    const crowded = ["eu", "eu", "eu", "eu", "us", "us", "ap"].map((region) => [region, "a"] as const);
    expect(voters("n3", ...crowded)).toEqual(["n1", "n3", "n5", "n6", "n7"]);
    expect(voters("n2", ["eu", "a"], ["us", "a"])).toEqual(["n2"]);
  });

  it("wants 1, 1, 3, 3, then as many voters as there may be", () => {
    expect([1, 2, 3, 4, 5, 9].map((nodes) => votersFor(nodes, 5))).toEqual([1, 1, 3, 3, 5, 5]);
    expect(votersFor(9, 3)).toBe(3);
  });
});

describe("joining", () => {
  it("uses the token up, and owns nothing before it is active", () => {
    const cluster = new Cluster("eu", "us", "ap").join(nodeNamed("n4"));
    expect(memberOf(cluster, "n4")).toMatchObject({
      state: "joining",
      actorsAfterMs: 0,
      joinedAtMs: START_MS + 2 * MINUTE_MS,
    });
    expect([...cluster.state.joinTokens.values()].map(({ usesLeft }) => usesLeft)).toEqual([0]);
    expect(ownersOf(cluster.state)).toEqual(["n1", "n2", "n3"]);
    cluster.ok("activate", { member: "n4" });
    expect(ownersOf(cluster.state)).toEqual(["n1", "n2", "n3", "n4"]);
  });

  it("makes a learner where voters are wanting, else a mere reader", () => {
    const cluster = new Cluster("eu").join(nodeNamed("n2")).join(nodeNamed("n3")).join(nodeNamed("n4"));
    expect(["n2", "n3", "n4"].map((id) => memberOf(cluster, id)?.role)).toEqual(["none", "learner", "learner"]);
    expect(memberOf(new Cluster("eu", "us", "ap").join(nodeNamed("n4")), "n4")?.role).toBe("none");
  });

  it("has no log before it claims one, and stays out of a group that may still have whoever had its id", () => {
    const fresh = new Cluster("eu").joinUnclaimed(nodeNamed("n2")).joinUnclaimed(nodeNamed("n3"));
    expect(fresh.memberOf("n3")).toMatchObject({ instance: null, role: "learner" });
    const replaced = new Cluster("eu", "us", "ap");
    replaced.joinUnclaimed(nodeNamed("n3", "ap"), { replace: { id: "n3", heardAtMs: START_MS } });
    expect(replaced.memberOf("n3")).toMatchObject({ instance: null, role: "none" });
    expect(replaced.claim("n3", 2).memberOf("n3")).toMatchObject({ instance: instanceOf("n3", 2), role: "none" });
    const back = new Cluster("eu", "us", "ap").ok("remove", { member: "n3", cluster: "birds" });
    back.joinUnclaimed(nodeNamed("n3", "ap"), { replace: { id: "n3", heardAtMs: START_MS } });
    expect(back.memberOf("n3")).toMatchObject({ instance: null, role: "none" });
  });

  it("with a token of one region, as often as it says, there", () => {
    const cluster = new Cluster("eu", "us", "ap");
    const tokenHash = hashOfText("pool");
    cluster.ok("token-create", {
      token: "pool",
      hash: tokenHash,
      uses: 2,
      region: "us",
      expiresAtMs: START_MS + 60 * MINUTE_MS,
    });
    const join = (id: string) =>
      cluster.try("join", { cluster: "birds", token: "pool", tokenHash, member: nodeNamed(id, "us"), replace: null });
    expect([join("a"), join("b"), join("c")].map((result) => result.ok || result.slug)).toEqual([
      true,
      true,
      "token-used",
    ]);
  });

  it("judges a token's time by the command's, whatever came between", () => {
    const cluster = new Cluster("eu", "us", "ap");
    const tokenHash = hashOfText("door");
    const expiresAtMs = START_MS + 2 * MINUTE_MS;
    cluster.ok("token-create", { token: "door", hash: tokenHash, uses: 1, region: null, expiresAtMs });
    const join = cluster.make("join", {
      cluster: "birds",
      token: "door",
      tokenHash,
      member: nodeNamed("n4"),
      replace: null,
    });
    for (let i = 0; i < 5; i++) cluster.ok("set-placement", { minOwners: 1 });
    expect(cluster.apply({ ...join, atMs: expiresAtMs - 1 })).toMatchObject({ ok: true });
  });

  it("takes a dead member's place, under its own id or another", () => {
    const cluster = new Cluster("eu", "us", "ap");
    cluster.join(nodeNamed("n4", "ap"), { replace: { id: "n3", heardAtMs: START_MS } });
    expect([...cluster.state.members.keys()]).toEqual(["n1", "n2", "n4"]);
    expect(cluster.state.removed.ids.get("n3")).toMatchObject({ how: "replaced", by: "ada" });
    expect(memberOf(cluster, "n4")).toMatchObject({ role: "learner", state: "joining" });
    const { nowMs } = cluster;
    cluster.join(nodeNamed("n2", "us"), { replace: { id: "n2", heardAtMs: START_MS } });
    expect(memberOf(cluster, "n2")).toMatchObject({ state: "joining", actorsAfterMs: nowMs + MINUTE_MS });
    expect(cluster.state.removed.ids.has("n2")).toBe(false);
  });

  it("of a former member's id closes the runs that it had before", () => {
    const cluster = new Cluster("eu", "us", "ap");
    const removedAtMs = cluster.nowMs;
    cluster.ok("remove", { member: "n3", cluster: "birds" });
    cluster.join(nodeNamed("n3", "ap"), { replace: { id: "n3", heardAtMs: cluster.nowMs } });
    expect(memberOf(cluster, "n3")).toMatchObject({ actorsAfterMs: removedAtMs });
  });

  it("forgets the longest gone of too many, and closes the early runs of all ids then", () => {
    const cluster = new Cluster("eu", "us", "ap");
    const goneAtMs: number[] = [];
    for (let i = 0; i <= MAX.removed; i++) {
      cluster.join(nodeNamed(`m${i}`));
      goneAtMs.push(cluster.nowMs);
      cluster.ok("leave", { member: `m${i}`, cluster: "birds" });
    }
    const { removed } = cluster.state;
    expect([removed.ids.size, removed.ids.has("m0"), removed.ids.has("m1")]).toEqual([MAX.removed, false, true]);
    expect(removed.floorMs).toBe(goneAtMs[0]);
    cluster.join(nodeNamed("m0"));
    expect(memberOf(cluster, "m0")).toMatchObject({ actorsAfterMs: goneAtMs[0] });
  });
});

describe("going", () => {
  const four = (): Cluster => new Cluster("eu", "us", "ap", "eu");

  it("by drain: owns nothing more, can come back, and leaves", () => {
    const cluster = four().ok("drain", { member: "n4" });
    expect(memberOf(cluster, "n4")).toMatchObject({ state: "draining", afterDrain: "leave" });
    expect(ownersOf(cluster.state)).toEqual(["n1", "n2", "n3"]);
    cluster.ok("drain-cancel", { member: "n4" });
    expect(memberOf(cluster, "n4")).toMatchObject({ state: "active", afterDrain: null });
    cluster.ok("drain", { member: "n4" }).ok("leave", { member: "n4", cluster: "birds" });
    expect(cluster.state.removed.ids.get("n4")).toMatchObject({ how: "left" });
    expect(cluster.state.members.has("n4")).toBe(false);
  });

  it("by decommission is told from leaving, also when it drained already", () => {
    const cluster = four().ok("drain", { member: "n4" }).ok("decommission", { member: "n4", cluster: "birds" });
    expect(memberOf(cluster, "n4")).toMatchObject({ state: "draining", afterDrain: "remove" });
    cluster.ok("leave", { member: "n4", cluster: "birds" });
    expect(cluster.state.removed.ids.get("n4")).toMatchObject({ how: "decommissioned" });
  });

  it("in maintenance it owns what it owned; twice is once", () => {
    const cluster = four().ok("maintenance", { member: "n4", on: true });
    const { state } = cluster;
    expect(ownersOf(state)).toContain("n4");
    cluster.ok("maintenance", { member: "n4", on: true });
    expect(cluster.state).toBe(state);
    cluster.ok("maintenance", { member: "n4", on: false });
    expect(memberOf(cluster, "n4")).toMatchObject({ state: "active" });
  });

  it("by force needs no copies, only that somebody stays", () => {
    const cluster = new Cluster("eu", "us").ok("remove", { member: "n2", cluster: "birds" });
    expect(cluster.state.removed.ids.get("n2")).toMatchObject({ how: "removed", by: "ada", version: 3 });
  });

  it("follows the placement's own number of copies when it has one", () => {
    const cluster = new Cluster("eu", "us", "ap").ok("set-placement", { minOwners: 2 }).ok("drain", { member: "n3" });
    expect(cluster.try("drain", { member: "n2" })).toMatchObject({ slug: "too-few-copies" });
  });
});

describe("roles", () => {
  it("a vote is given away in one step", () => {
    const cluster = new Cluster("eu", "us", "ap", "eu").ok("promote", { member: "n4", to: "voter", instead: "n2" });
    expect(votersWanted(cluster.state)).toEqual(["n1", "n3", "n4"]);
    expect(memberOf(cluster, "n2")).toMatchObject({ role: "none" });
    cluster.ok("promote", { member: "n2", to: "learner", instead: null }).ok("demote", { member: "n4", to: "learner" });
    expect([memberOf(cluster, "n2")?.role, memberOf(cluster, "n4")?.role]).toEqual(["learner", "learner"]);
  });

  it("a vote is given away also where there are more voters than there may be by now", () => {
    const cluster = new Cluster("eu", "us", "ap", "eu", "us").join(nodeNamed("n6"));
    cluster.ok("set-autopilot", { settings: { ...cluster.state.autopilot, votersMax: 3 } });
    cluster.ok("promote", { member: "n6", to: "voter", instead: "n1" });
    expect(votersWanted(cluster.state)).toEqual(["n2", "n3", "n4", "n5", "n6"]);
  });

  it("a member's first log leaves it its role, and so does the same again; another one costs it", () => {
    const cluster = new Cluster().found("eu", "us", "ap").claim("n2");
    expect(cluster.memberOf("n2")).toMatchObject({ instance: instanceOf("n2"), role: "voter" });
    expect(cluster.claim("n2").memberOf("n2")).toMatchObject({ instance: instanceOf("n2"), role: "voter" });
    const weight = 7;
    const { addresses, protocol, zone } = cluster.memberOf("n2");
    cluster.ok("update-member", { member: "n2", addresses, protocol, weight, zone, instance: instanceOf("n2", 2) });
    expect(cluster.memberOf("n2")).toMatchObject({ instance: instanceOf("n2", 2), role: "none", weight });
    // With the log that it had before it would come back no sooner.
    expect(cluster.claim("n2").memberOf("n2")).toMatchObject({ instance: instanceOf("n2"), role: "none" });
  });

  it("a higher incarnation names its voters, and the others vote no more", () => {
    const cluster = new Cluster("eu", "us", "ap", "eu");
    const instance = instanceOf("n4", 2);
    cluster.ok("raise-incarnation", { incarnation: 4, voters: ["n4", "n1"], member: "n4", instance });
    expect(votersWanted(cluster.state)).toEqual(["n1", "n4"]);
    // Whoever else shall vote claims its log first.
    expect([...cluster.state.members.values()].map((one) => one.instance)).toEqual([null, null, null, instance]);
    expect(cluster.state.cluster).toMatchObject({ id: "cluster-0001", incarnation: 4 });
  });

  it("the feature level rises when all members know it", () => {
    const cluster = new Cluster("eu");
    const { addresses, instance, zone } = cluster.memberOf("n1");
    const protocol = { min: 1, max: 2 };
    cluster.ok("update-member", { member: "n1", addresses, protocol, weight: 50, zone, instance: instance ?? "" });
    cluster.ok("finalize", { featureLevel: 2 });
    expect(cluster.state.featureLevel).toBe(2);
    expect(memberOf(cluster, "n1")).toMatchObject({ weight: 50 });
  });
});

describe("settings", () => {
  it("keep a bucket's last policies, who set them and why", () => {
    const cluster = new Cluster("eu");
    const shows = ["lww", "siblings", "fww", "max", "min", "longest", "union"] as const;
    for (const show of shows) cluster.ok("set-policy", { bucket: "b", policy: { show } }, { reason: `for ${show}` });
    cluster.ok("set-policy", { bucket: "b", policy: null }, { ifVersion: 8 });
    const policy = cluster.state.policies.get("b");
    expect(policy).toMatchObject({ version: 9, policy: null, by: "ada", reason: null });
    expect(policy?.history.map(({ version, reason }) => [version, reason])).toEqual([
      [8, "for union"],
      [7, "for longest"],
      [6, "for min"],
      [5, "for max"],
      [4, "for fww"],
    ]);
  });

  it("of a bucket back at the default make room for another's", () => {
    const cluster = new Cluster("eu");
    for (let i = 0; i < MAX.policies; i++) cluster.ok("set-policy", { bucket: `b${i}`, policy: { show: "max" } });
    cluster.ok("set-policy", { bucket: "b7", policy: null }).ok("set-policy", { bucket: "c", policy: { show: "min" } });
    expect([cluster.state.policies.size, cluster.state.policies.has("b7")]).toEqual([MAX.policies, false]);
  });

  it("of buckets and keys come and go, also of a bucket called __proto__", () => {
    const cluster = new Cluster("eu");
    const settings = { type: "counter", requiresContext: true, quotaBytes: 5, historyMs: null } as const;
    cluster.ok("set-bucket", { bucket: "__proto__", settings }, { ifVersion: 0 });
    expect(cluster.state.buckets.get("__proto__")).toEqual({ bucket: "__proto__", version: 2, ...settings });
    cluster.ok("set-bucket", { bucket: "__proto__", settings: null }, { ifVersion: 2 });
    const reference = { kind: "gossip", location: "/etc/keys/1", fingerprint: hashOfText("key") } as const;
    cluster.ok("set-key", { key: "g1", reference });
    expect([cluster.state.buckets.size, cluster.state.keys.get("g1")]).toEqual([0, { key: "g1", ...reference }]);
    expect(cluster.ok("set-key", { key: "g1", reference: null }).state.keys.size).toBe(0);
  });

  it("of autopilot and roles are as they were set", () => {
    const settings = { on: false, deadAfterMs: 5000, stabiliseMs: 1, votersMax: 3 } as const;
    const cluster = new Cluster("eu").ok("set-autopilot", { settings });
    expect(cluster.state.autopilot).toEqual(settings);
    const grants = [{ verb: "read", bucketPrefix: "app." } as const];
    cluster.ok("set-role", { role: "reader", grants });
    const expiresAtMs = cluster.nowMs + MINUTE_MS;
    cluster.ok("api-token-create", {
      token: "key1",
      hash: hashOfText("s"),
      label: "ci",
      roles: ["reader"],
      expiresAtMs,
    });
    expect(cluster.state.apiTokens.get("key1")).toMatchObject({ roles: ["reader"], expiresAtMs, by: "ada" });
    cluster.ok("api-token-revoke", { token: "key1" }).ok("set-role", { role: "reader", grants: null });
    expect([cluster.state.roles.size, cluster.state.apiTokens.size]).toEqual([0, 0]);
  });

  it("forget tokens that have expired when the next one is made", () => {
    const cluster = new Cluster("eu").join(nodeNamed("n2"));
    const [old] = cluster.state.joinTokens.keys();
    const atMs = cluster.nowMs + 61 * MINUTE_MS;
    cluster.ok(
      "token-create",
      { token: "late", hash: hashOfText("l"), uses: 1, region: null, expiresAtMs: atMs + 1 },
      { atMs },
    );
    expect([...cluster.state.joinTokens.keys()]).toEqual(["late"]);
    expect(old).not.toBe("late");
    expect(cluster.ok("token-revoke", { token: "late" }).state.joinTokens.size).toBe(0);
  });
});

describe("a command that is in the log twice", () => {
  it("is applied once, and answered alike", () => {
    const cluster = new Cluster("eu");
    const command = cluster.make("set-placement", { minOwners: 3 });
    const first = cluster.apply(command);
    cluster.ok("set-placement", { minOwners: 1 });
    expect(cluster.apply(command)).toEqual(first);
    expect(cluster.state.placement.minOwners).toBe(1);
  });

  it("is refused twice when it was refused once, though it would do by then", () => {
    const cluster = new Cluster("eu", "us", "ap");
    const command = cluster.make("drain", { member: "n3" });
    expect(cluster.apply(command)).toMatchObject({ slug: "too-few-copies" });
    cluster.ok("set-placement", { minOwners: 1 });
    expect(cluster.apply(command)).toMatchObject({ slug: "too-few-copies" });
    expect(cluster.state.members.get("n3")).toMatchObject({ state: "active" });
  });

  it("is not applied again when it is no longer remembered", () => {
    const cluster = new Cluster("eu");
    const command = cluster.make("set-placement", { minOwners: 3 });
    cluster.apply(command);
    for (let i = 0; i < RECENT_MAX; i++) cluster.ok("set-placement", { minOwners: 1 });
    expect(cluster.control.recent.entries.some(({ id }) => id === command.id)).toBe(false);
    expect(cluster.apply(command)).toMatchObject({ slug: "too-old" });
    expect(cluster.state.placement.minOwners).toBe(1);
  });

  it("never bars who knows the latest state, however much was refused or changed nothing", () => {
    const cluster = new Cluster("eu");
    for (let i = 0; i < RECENT_MAX; i++) cluster.try("drain", { member: "nobody" });
    for (let i = 0; i <= RECENT_MAX; i++) cluster.ok("maintenance", { member: "n1", on: false });
    expect(cluster.state.version).toBe(1);
    expect(cluster.control.recent.entries).toHaveLength(RECENT_MAX);
    cluster.ok("set-placement", { minOwners: 2 });
  });

  it("must come after what was applied", () => {
    const cluster = new Cluster("eu");
    const command = cluster.make("set-placement", { minOwners: 3 });
    expect(() => apply(cluster.control, 1, command)).toThrow("in the order of the log");
  });
});
