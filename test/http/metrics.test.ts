import { describe, expect, test } from "vitest";
import { RequestFigures } from "../../src/observability/request-figures.ts";
import { makeNode } from "./harness.ts";

describe("metrics", () => {
  test("requests are counted by route, never by path", async () => {
    const node = makeNode();
    for (const key of ["a", "b/c", "d"]) await node.call("PUT", `/v1/kv/b/${key}`, { body: "x" });
    await node.call("GET", "/v1/kv/b");
    await node.call("GET", "/some/scan?x=1");
    await node.call("BREW", "/v1/kv/b/a");
    await node.call("GET", "/cluster/nodes/us-1");
    const text = await (await node.call("GET", "/metrics")).text();
    expect(text).toContain('starling_http_requests_total{route="/v1/kv/{bucket}/{key}",method="PUT",status="204"} 3');
    expect(text).toContain('route="/v1/kv/{bucket}",method="GET",status="200"} 1');
    expect(text).toContain('route="other",method="GET",status="404"} 1');
    expect(text).toContain('route="/v1/kv/{bucket}/{key}",method="other",status="405"} 1');
    expect(text).toContain('route="/cluster/nodes/{id}",method="GET"');
    expect(text).not.toContain("scan");
  });

  test("of gossip tell every figure and every reason of a reject, of peers phi and why they are gray", async () => {
    const text = await (await makeNode().call("GET", "/metrics")).text();
    for (const line of [
      "gossip_awareness 2",
      "gossip_queued_news 1",
      "gossip_probes 10",
      "gossip_probe_timeouts 4",
      "gossip_probe_failures 3",
      "gossip_suspicions 5",
      "gossip_deaths 1",
      "gossip_refutations 6",
      "gossip_sent_packets 20",
      "gossip_received_packets 21",
      "gossip_sent_bytes 2000",
      "gossip_received_bytes 2100",
      "gossip_stalls 7",
      "gossip_stalled_ms 8000",
      "gossip_receive_buffer_bytes 212992",
      'gossip_rejected_packets{reason="bad-label"} 3',
      'peer_phi{peer="us-1"} 0.3',
      'peer_gray{peer="us-1",reason="slow"} 0',
    ])
      expect(text.split("\n")).toContain(`starling_${line}`);
  });

  test("of the control plane tell term, role, indexes, lag, elections, times, and whether autopilot is on", async () => {
    const node = makeNode();
    const lines = async (): Promise<string[]> => (await (await node.call("GET", "/metrics")).text()).split("\n");
    for (const line of [
      "raft_running 1",
      "raft_term 3",
      "raft_has_leader 1",
      'raft_role{role="leader"} 1',
      'raft_role{role="follower"} 0',
      "raft_commit_index 2",
      "raft_applied_index 1",
      "raft_snapshot_index 0",
      'raft_follower_lag_entries{follower="us-1"} 7',
      "raft_elections 4",
      "raft_leaders_seen 2",
      'raft_proposal_ms{quantile="p50"} 3',
      'raft_proposal_ms{quantile="p99"} 5',
      "raft_snapshots_taken 0",
      "raft_snapshot_bytes 0",
      "config_version 1",
      "autopilot_on 1",
    ])
      expect(await lines()).toContain(`starling_${line}`);
    node.plane.lead("us-1");
    const after = await lines();
    expect(after).toContain('starling_raft_role{role="follower"} 1');
    expect(after.filter((line) => line.startsWith("starling_raft_follower_lag_entries{"))).toEqual([]);
  });

  test("times are cumulative counts below each bound", () => {
    const figures = new RequestFigures();
    for (const seconds of [0.0005, 0.0006, 0.004, 9]) figures.note("/r", "GET", 200, seconds);
    figures.note("/r", "GET", 404, 0.2);
    const lines = figures.text().split("\n");
    const bucket = (le: string): string => `starling_http_request_seconds_bucket{route="/r",method="GET",le="${le}"}`;
    for (const [le, count] of Object.entries({ "0.0005": 1, "0.001": 2, "0.0025": 2, "0.005": 3, "5": 4, "+Inf": 5 }))
      expect(lines).toContain(`${bucket(le)} ${count}`);
    expect(lines).toContain('starling_http_request_seconds_count{route="/r",method="GET"} 5');
    expect(lines).toContain('starling_http_requests_total{route="/r",method="GET",status="404"} 1');
    expect(lines.find((line) => line.startsWith("starling_http_request_seconds_sum"))).toMatch(/ 9\.2051$/);
  });

  test("figures of replica, gossip and loop are there", async () => {
    const node = makeNode();
    await node.call("PUT", "/v1/kv/b/k", { body: "x" });
    const text = await (await node.call("GET", "/metrics")).text();
    for (const line of [
      'starling_build_info{node="eu-1",region="eu",version="0.1.0"} 1',
      "starling_records 1",
      "starling_ready 1",
      "starling_conflicts_open 0",
      'starling_members{state="alive"} 2',
      'starling_gossip_rejected_packets{reason="bad-label"} 3',
      "starling_gossip_receive_buffer_bytes 212992",
      'starling_peer_link_up{peer="us-1"} 1',
      'starling_event_loop_delay_ms{quantile="p99"} 2',
    ])
      expect(text).toContain(line);
  });

  test("two nodes in one process don't mix their figures", async () => {
    const [eu, us] = [makeNode(0), makeNode(1)];
    await eu.call("PUT", "/v1/kv/b/k", { body: "x" });
    expect(await (await us.call("GET", "/metrics")).text()).not.toContain('method="PUT"');
  });
});
