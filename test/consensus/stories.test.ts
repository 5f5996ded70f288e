import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { env } from "node:process";
import { describe, expect, it } from "vitest";
import { told } from "./story.ts";

// Each story is compared with what happens now. Written anew by: STORIES=write npx vitest run test/consensus/stories.test.ts
const FOLDER = new URL("stories/", import.meta.url);
const names = readdirSync(FOLDER).filter((name) => name.endsWith(".txt"));

describe("stories of the Raft core", () => {
  it.each(names)("%s", (name) => {
    const file = new URL(name, FOLDER);
    const text = readFileSync(file, "utf8");
    const now = told(text);
    if (env.STORIES === "write") writeFileSync(file, now);
    else expect(now).toBe(text);
  });

  it("tell of no violation", () => {
    const violated = names.filter((name) => /^VIOLATION/m.test(readFileSync(new URL(name, FOLDER), "utf8")));
    expect(violated).toEqual([]);
  });
});
