import { describe, expect, it } from "vitest";
import type { GossipHost } from "../../gossip/drivers/gossip-host.ts";
import { parseNodeId } from "../../src/kernel/ids.ts";
import { peerAddressOf } from "../../src/members.ts";

function gossipThatSays(meta: Record<string, string>, state = "alive"): GossipHost {
  const self = { meta: new Map([["region", "eu"]]) };
  return { self, member: () => ({ state, meta: new Map(Object.entries(meta)) }) } as unknown as GossipHost;
}

describe("where a node's peer port is", () => {
  const us = parseNodeId("us");

  it("is what it says for our region, or else for all", () => {
    const at = { host: "203.0.113.7", port: 7003 };
    expect(peerAddressOf(gossipThatSays({ peer: "10.0.0.1:1", "peer.eu": "203.0.113.7:7003" }), us)).toEqual(at);
    expect(peerAddressOf(gossipThatSays({ peer: "203.0.113.7:7003", "peer.ap": "10.0.0.1:1" }), us)).toEqual(at);
    expect(peerAddressOf(gossipThatSays({ peer: "203.0.113.7:7003" }, "left"), us)).toBeNull();
  });

  it("is hearsay: what is no address stops nobody", () => {
    expect(peerAddressOf(gossipThatSays({ peer: "x" }), us)).toBeNull();
    expect(peerAddressOf(gossipThatSays({ peer: "10.0.0.1:0" }), us)).toBeNull();
    expect(peerAddressOf(gossipThatSays({ peer: "10.0.0.1:1", "peer.eu": "x" }), us)).toEqual({
      host: "10.0.0.1",
      port: 1,
    });
  });
});
