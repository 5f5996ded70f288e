import { expect, test } from "vitest";
import type { MemberView } from "../../src/http/deps.ts";
import { reachOf } from "../../src/http/routes/reach.ts";
import type { NodeId, Region } from "../../src/kernel/ids.ts";
import { makeNode, memberOf } from "./harness.ts";

function member(id: string, accusers: readonly string[] = [], state: MemberView["state"] = "alive"): MemberView {
  const region = id.slice(0, 2) as Region;
  return { ...memberOf(id as NodeId, region, 0), state: accusers.length > 0 ? "suspect" : state, accusers };
}

const stateOf = (members: readonly MemberView[], from: string, to: string) =>
  reachOf(members).find((one) => one.from === from && one.to === to)?.state;

test("a crash is told by its own region too; a cut only by the others", () => {
  const crashed = [member("eu1"), member("eu2", ["eu1", "us1"]), member("us1"), member("us2")];
  expect(stateOf(crashed, "eu", "eu")).toBe("partly");
  expect(stateOf(crashed, "us", "eu")).toBe("partly");
  expect(stateOf(crashed, "eu", "us")).toBe("reachable");
  expect(reachOf(crashed).map(({ from, to, accusers }) => [from, to, accusers])).toEqual([
    ["eu", "eu", ["eu1"]],
    ["eu", "us", []],
    ["us", "eu", ["us1"]],
    ["us", "us", []],
  ]);

  const cut = [member("eu1", ["us1"]), member("eu2", ["us2", "us1"]), member("us1"), member("us2"), member("ap1")];
  expect(stateOf(cut, "us", "eu")).toBe("unreachable");
  expect(stateOf(cut, "ap", "eu")).toBe("reachable");
  expect(reachOf(cut).find(({ from, to }) => from === "us" && to === "eu")).toEqual({
    from: "us",
    to: "eu",
    state: "unreachable",
    members: 2,
    accused: ["eu1", "eu2"],
    accusers: ["us1", "us2"],
  });
});

test("who left is looked for by nobody, and counts nowhere", () => {
  const members = [member("eu1"), member("us1", ["eu1"]), member("us2", [], "left")];
  expect(stateOf(members, "eu", "us")).toBe("unreachable");
});

test("GET /cluster/reach names the node that was asked", async () => {
  const node = makeNode();
  const answer = await node.json("GET", "/cluster/reach");
  expect(answer.node).toBe(node.replica.node);
  expect(answer.reach).toContainEqual(expect.objectContaining({ from: "eu", to: "us", state: "reachable" }));
  expect(await node.json("GET", "/cluster/reach?x=1")).toMatchObject({ status: 400 });
});

test("made-up regions don't make the answer grow without end", () => {
  const many = Array.from({ length: 500 }, (_, i) => ({ ...member(`eu${i}`), region: `r${i}` as Region }));
  const reaches = reachOf(many);
  expect(reaches.length).toBe(33 ** 2);
  expect(reaches.find(({ from, to }) => from === "other" && to === "other")).toMatchObject({ members: 468 });
});
