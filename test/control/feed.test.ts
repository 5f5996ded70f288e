import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { replay } from "../../src/control/diff.ts";
import { FEED_CHANGES_MAX, FEED_EVENTS_MAX, Feed } from "../../src/control/feed.ts";
import { type Tree, viewOf } from "../../src/control/view.ts";
import { history, lived } from "./arbitraries.ts";
import { Cluster, instanceOf, nodeNamed } from "./cluster.ts";

/** A feed that hears of every change of a cluster. */
class Watched {
  readonly cluster = new Cluster("eu", "us", "ap");
  readonly feed = new Feed(this.cluster.state);

  change(count = 1): this {
    for (let i = 0; i < count; i++) {
      const command = this.cluster.make("set-placement", { minOwners: 1 + (this.cluster.index % 3) }, { reason: "so" });
      this.cluster.apply(command);
      this.feed.push(this.cluster.state, command);
    }
    return this;
  }
}

const versions = (feed: Feed, since: number | null): number[] | "reset" => {
  const answer = feed.since(since);
  return answer.kind === "reset" ? "reset" : answer.events.map(({ version }) => version);
};

describe("the feed of versions", () => {
  it("tells who changed what, from what to what", () => {
    const { feed } = new Watched().change();
    expect(feed.since(3)).toEqual({
      kind: "events",
      events: [
        {
          version: 4,
          previous: 3,
          kind: "set-placement",
          by: "ada",
          atMs: 1_060_000,
          reason: "so",
          changes: [{ path: ["placement", "minOwners"], before: null, after: 1 }],
        },
      ],
    });
  });

  it("of a member that comes and goes tells all of it", () => {
    const { cluster, feed } = new Watched();
    const before = viewOf(cluster.state);
    for (const make of [
      () => cluster.make("promote", { member: "n1", to: "voter", instead: null }),
      () => cluster.make("remove", { member: "n3", cluster: "birds" }),
    ]) {
      const [{ state }, command] = [cluster, make()];
      cluster.apply(command);
      if (cluster.state !== state) feed.push(cluster.state, command);
    }
    const answer = feed.since(3);
    const paths = answer.kind === "events" && answer.events.flatMap(({ changes }) => changes.map(({ path }) => path));
    expect(paths).toEqual([
      ["members", "n3"],
      ["removed", "n3"],
    ]);
    expect((before.members as Tree).n3).toMatchObject({ region: "ap" });
  });

  it("begins anew for who names nothing, too old a version, or one that never was", () => {
    const { feed, cluster } = new Watched().change(FEED_EVENTS_MAX + 10);
    const oldest = cluster.state.version - FEED_EVENTS_MAX;
    expect([null, 1, oldest - 1].map((since) => versions(feed, since))).toEqual(["reset", "reset", "reset"]);
    expect(feed.since(null)).toEqual({ kind: "reset", version: cluster.state.version, view: viewOf(cluster.state) });
    expect(versions(feed, oldest)).toHaveLength(FEED_EVENTS_MAX);
    cluster.try("drain", { member: "nobody" });
    const after = cluster.make("set-placement", { minOwners: 1 });
    cluster.apply(after);
    feed.push(cluster.state, after);
    const { version } = cluster.state;
    expect([version - 1, version - 2].map((since) => versions(feed, since))).toEqual(["reset", [version]]);
  });

  it("tells nothing to who knows more than this node: it will hear when the node does", () => {
    const { feed, cluster } = new Watched().change(2);
    expect(versions(feed, cluster.state.version)).toEqual([]);
    expect(versions(feed, cluster.state.version + 5)).toEqual([]);
  });

  it("begins anew after a state that came whole: what was between is not known", () => {
    const { feed, cluster } = new Watched().change(2);
    const seen = cluster.state.version;
    for (let i = 0; i < 3; i++) cluster.ok("set-placement", { minOwners: 1 });
    feed.restart(cluster.state);
    expect([versions(feed, seen), versions(feed, cluster.state.version)]).toEqual(["reset", []]);
  });

  it("holds fewer versions when they change much, and always the last", () => {
    const { cluster, feed } = new Watched();
    for (let i = 0; i < 60; i++) {
      cluster.join(nodeNamed(`m${i}`));
      feed.restart(cluster.state);
    }
    const voters = (i: number): string[] => (i % 2 === 0 ? ["n1", "n2", "n3"] : ["m1", "m2", "m3"]);
    const raise = (i: number): void => {
      const command = cluster.make("raise-incarnation", {
        incarnation: i + 2,
        voters: voters(i),
        member: voters(i)[0] ?? "",
        instance: instanceOf("recovered", i),
      });
      cluster.apply(command);
      feed.push(cluster.state, command);
    };
    const start = cluster.state.version;
    raise(0);
    expect(versions(feed, start)).toEqual([start + 1]);
    for (let i = 1; i < FEED_EVENTS_MAX; i++) raise(i);
    const answer = feed.since(start);
    expect(answer.kind === "events" && answer.events.length).toBe(FEED_EVENTS_MAX);
    expect(FEED_CHANGES_MAX).toBeGreaterThan(FEED_EVENTS_MAX * 7);
  });

  it("every watcher has each version once, in order, across reconnects to nodes that are ahead or behind", () => {
    const hops = fc.array(fc.record({ node: fc.nat(2), heard: fc.nat(9) }), {
      minLength: 1,
      maxLength: 60,
      size: "max",
    });
    fc.assert(
      fc.property(history, fc.infiniteStream(fc.nat(2)), hops, (some, progress, reconnects) => {
        const { moments } = lived(some);
        const changes = moments.filter(({ before, after }) => after !== before);
        // Three nodes that apply the same log, each at its own pace; the last one is brought up by snapshots now and then.
        const nodes = [0, 1, 2].map(() => ({ feed: new Feed(null), at: 0 }));
        const step = (node: (typeof nodes)[number]): void => {
          const moment = changes[node.at];
          if (moment?.after) node.feed.push(moment.after, moment.command);
          if (moment) node.at += 1;
        };
        // It gets a snapshot instead of the versions between.
        const skip = (node: (typeof nodes)[number]): void => {
          node.at = Math.min(node.at + 3, changes.length);
          node.feed.restart(changes[node.at - 1]?.after ?? null);
        };
        let view: Tree = {};
        let version = 0;
        const order = changes.map(({ index }) => index);
        const connect = (feed: Feed, heard: number): void => {
          const answer = feed.since(version);
          if (answer.kind === "reset") {
            expect(answer.version).toBeGreaterThanOrEqual(version);
            ({ view, version } = answer);
            return;
          }
          for (const event of answer.events.slice(0, heard)) {
            expect(event.previous ?? 0).toBe(version);
            expect(order.indexOf(event.version)).toBe(order.indexOf(version) + 1);
            view = replay(view, event.changes);
            ({ version } = event);
          }
        };
        for (const { node, heard } of reconnects) {
          step(nodes[progress.next().value ?? 0] as (typeof nodes)[number]);
          const { feed } = nodes[node] as (typeof nodes)[number];
          if (heard === 0 && node === 2) skip(nodes[2] as (typeof nodes)[number]);
          if (feed.version >= version) connect(feed, heard);
          else expect(feed.since(version)).toEqual({ kind: "events", events: [] });
        }
        for (const node of nodes) while (node.at < changes.length) step(node);
        connect((nodes[0] as (typeof nodes)[number]).feed, Number.POSITIVE_INFINITY);
        expect(version).toBe(order.at(-1));
        expect(view).toEqual(viewOf(changes.at(-1)?.after as NonNullable<(typeof changes)[number]["after"]>));
      }),
      { numRuns: Number(process.env.LAW_RUNS ?? 80) },
    );
  });
});
