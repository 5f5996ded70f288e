import { describe, expect, it } from "vitest";
import { REFUSALS, type Slug } from "../../src/control/refusals.ts";
import type { Case } from "./refusal-case.ts";
import { ofJoining, ofLife, ofTheFounding } from "./refusals-of-members.ts";
import { ofAccess, ofRoles, ofSettings } from "./refusals-of-settings.ts";

const CASES: readonly Case[] = [...ofTheFounding, ...ofJoining, ...ofLife, ...ofRoles, ...ofSettings, ...ofAccess];

describe("a command is refused, and changes nothing", () => {
  it.each(CASES)("$slug: when $when", ({ slug, says, cluster: made, run }) => {
    const cluster = made();
    const before = cluster.control.state;
    const result = run(cluster);
    expect(result).toMatchObject({ ok: false, slug, status: REFUSALS[slug] });
    expect(!result.ok && result.message).toMatch(says);
    expect(cluster.control.state).toBe(before);
  });

  it("each reason that there is has a case here; the one that takes the leader's evidence is in checks.test.ts", () => {
    const covered = new Set(CASES.map(({ slug }) => slug));
    expect(Object.keys(REFUSALS).filter((slug) => !covered.has(slug as Slug))).toEqual(["would-lose-quorum"]);
  });
});
