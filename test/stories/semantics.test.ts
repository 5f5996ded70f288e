import { describe, expect, it } from "vitest";
import { SimCluster } from "../sim/cluster.ts";
import { StoryTeller, storiesOf } from "./story.ts";

const PAGE = new URL("../../docs/semantics.md", import.meta.url).pathname;
const stories = storiesOf(PAGE);

async function tell(story: (typeof stories)[number], seed: number): Promise<void> {
  const cluster = new SimCluster({ seed });
  await cluster.kernel.run(async () => {
    await cluster.startAll();
    await new StoryTeller(cluster, `story-${story.line}`).tell(story);
  });
}

describe("docs/semantics.md", () => {
  it("has stories", () => {
    expect(stories.length).toBeGreaterThan(10);
  });

  for (const story of stories)
    it(`line ${story.line}: ${story.title}`, async () => {
      for (const seed of [1, 2]) await tell(story, seed);
    });
});

describe("a story", () => {
  const wrong: Record<string, readonly string[]> = {
    "another value": ['eu put k "a"', 'eu get k -> "b"'],
    "a missing sibling": ['eu put k "a"', 'eu siblings k -> ["a","b"]'],
    "a conflict that is none": ['eu put k "a"', "eu conflict k"],
    "calm at a conflict": ["cut eu", 'eu put k "a"', 'us put k "b"', "heal", "all calm k"],
    "different conflicts on the nodes": [
      "cut eu",
      'eu put k "a"',
      'us put k "b"',
      "heal",
      "cut ap",
      "us read k as both",
      'us put k "c"',
      "cut us",
      'ap put k "d" with both',
      "all conflict k",
    ],
    "a write that is not refused": ['eu refuses put k "a" -> wrong-type'],
    "a step that is none": ["eu dances k"],
  };

  for (const [what, steps] of Object.entries(wrong))
    it(`fails over ${what}`, async () => {
      const story = { title: what, line: 1, steps: steps.map((text, i) => ({ line: i + 1, text })) };
      await expect(tell(story, 1)).rejects.toThrow(`line ${steps.length}: ${steps.at(-1)}`);
    });
});
