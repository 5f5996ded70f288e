import { afterAll, describe, expect, it } from "vitest";
import { MODEL_NAMES, MUTANTS } from "./mutants.ts";
import { ofTheGossip } from "./of-the-gossip.ts";
import { ofTheRaft } from "./of-the-raft.ts";
import { NOT_EXPRESSIBLE } from "./of-the-rules.ts";
import { MutantRunner } from "./runner.ts";

// A share of the planted bugs, each looked for by who is expected to find it. All of them: npm run mutants.
const SAMPLE = [
  "vector-after-repair",
  "body-without-senders-vector",
  "cut-unacknowledged",
  "stub-dropped-early",
  "lost-without-log",
  "copy-taken-unjudged",
  "restart-keeps-actor",
  "close-without-buffers",
  "apply-removes-nothing",
  "apply-leaves-no-stub",
  "apply-awaits-nothing",
  "judge-ignores-what-is-awaited",
  "adopt-drops-nothing",
  "adopt-ignores-their-stubs",
  "dots-touching-accepted",
  "reset-by-actor-only",
  "answers-before-commit",
  "cuts-without-a-floor",
  "sessions-wait-for-nothing",
  "item-1-own-plus-one",
  "item-13-buddy-not-told",
  "item-19-strangers-like-members",
  "driver-promises-before-the-write",
  "driver-takes-anothers-entry",
  "driver-misses-no-write",
  "control-retry-applied-again",
  "control-forgets-without-a-floor",
  "control-token-never-used-up",
  "control-old-runs-come-back",
  "control-copies-not-counted",
  "control-keeps-what-it-does-not-know",
  "control-skips-what-it-cannot-read",
  "control-shows-hashes",
  "control-feed-goes-on-after-a-snapshot",
  "control-gossip-buries-voters",
  "control-changes-at-the-price-of-the-quorum",
  "control-leader-stays",
  "plane-any-log-takes-part",
  "plane-removed-voter-falls-silent",
  "plane-takes-what-is-no-command",
];

describe("planted bugs", () => {
  const runner = new MutantRunner(60_000);
  afterAll(() => runner.close());

  it("are found by nobody in the code as it is", { timeout: 300_000 }, async () => {
    const asItIs = { name: "the code as it is", patches: [], finder: { laws: "counter" } } as const;
    expect(await runner.run(asItIs, false)).toMatchObject({ found: false });
  });

  it.each(SAMPLE)("are found: %s", { timeout: 300_000 }, async (name) => {
    const mutant = MUTANTS.find((m) => m.name === name);
    expect(mutant && (await runner.run(mutant, false))).toMatchObject({ mutant: name, found: true });
  });

  it.each(ofTheRaft.map(({ name }) => name))("are found: %s", { timeout: 300_000 }, async (name) => {
    const mutant = MUTANTS.find((m) => m.name === name);
    expect(mutant && (await runner.run(mutant, false))).toMatchObject({ mutant: name, found: true });
  });

  it("stand in the source as they say, each under its own name", async () => {
    for (const mutant of MUTANTS) runner.check(mutant);
    expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
  });

  it("include a wrong form of each of the 20 traps of gossip", () => {
    const items = ofTheGossip.map(({ finder }) => "item" in finder && finder.item);
    expect(new Set(items)).toEqual(new Set(Array.from({ length: 20 }, (_, i) => i + 1)));
  });

  it("include every bug of the executable model, or say why not", () => {
    expect(MODEL_NAMES).toHaveLength(42);
    expect(Object.keys(NOT_EXPRESSIBLE)).toHaveLength(4);
  });
});
