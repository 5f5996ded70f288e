import { describe, expect, test } from "vitest";
import { makeLog } from "../../src/observability/log.ts";
import { parseLogLine, prettyLine } from "../../src/observability/log-line.ts";

function capture(format: "json" | "pretty", level: "debug" | "info" = "info") {
  const lines: string[] = [];
  return { log: makeLog({ level, format }, { write: (line) => void lines.push(line) }), lines };
}

describe("the log", () => {
  test("is a JSON object a line, with level, time and a stable event id", () => {
    const { log, lines } = capture("json");
    log.info("node.started", { peer: "eu" });
    expect(lines[0]?.endsWith("\n")).toBe(true);
    expect(JSON.parse(lines[0] ?? "")).toEqual({
      level: "info",
      time: expect.stringMatching(/^\d{4}-.*Z$/),
      event: "node.started",
      peer: "eu",
    });
  });

  test("leaves out what is below its level, and gives children their fields", () => {
    const { log, lines } = capture("json");
    log.debug("noise");
    log.child({ peer: "us" }).warn("link");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ level: "warn", event: "link", peer: "us" }]);
  });

  test("never writes a secret, at the top or one level down", () => {
    for (const format of ["json", "pretty"] as const) {
      const { log, lines } = capture(format);
      log.error("oops", { salt: "hidden1", config: { salt: "hidden2", token: "hidden3" }, authorization: "hidden4" });
      expect(lines.join("")).not.toContain("hidden");
      expect(lines.join("")).toContain("(secret)");
    }
  });

  test("an error keeps its stack in JSON and its message for eyes; big integers don't break it", () => {
    const json = capture("json");
    json.log.error("failed", { error: new Error("no way"), count: 10n ** 20n });
    expect(JSON.parse(json.lines[0] ?? "").error).toMatchObject({
      message: "no way",
      stack: expect.stringContaining("log.test"),
    });
    const pretty = capture("pretty");
    pretty.log.error("failed", { error: new Error("no way"), at: "127.0.0.1:1", why: "two words" });
    expect(pretty.lines[0]).toMatch(
      /^\d\d:\d\d:\d\d\.\d{3} error failed error="no way" at=127.0.0.1:1 why="two words"\n$/,
    );
  });

  test("lines of others stay as they are", () => {
    for (const line of ["(node:1) Warning: x", "{broken", '{"a":1}', ""]) {
      expect(parseLogLine(line)).toBeNull();
      expect(prettyLine(line)).toBe(line);
    }
  });
});
