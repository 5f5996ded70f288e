import { describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatRate, formatSpan, shortId } from "../../src/cli/format.ts";
import { Output, preview } from "../../src/cli/output.ts";

describe("numbers for eyes", () => {
  test.each([
    [0, "0 B"],
    [1023, "1023 B"],
    [1024, "1.0 KiB"],
    [1536, "1.5 KiB"],
    [1024 * 1023.9, "1.0 MiB"],
    [123_456_789, "118 MiB"],
    [5 * 1024 ** 4, "5.0 TiB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  test.each([
    [0, "0 ms"],
    [999.4, "999 ms"],
    [999.6, "1.0 s"],
    [59_949, "59.9 s"],
    [59_951, "1 min 0 s"],
    [200_000, "3 min 20 s"],
    [3_600_000, "1 h 0 min"],
    [3 * 86_400_000 + 7_200_000, "3 d 2 h"],
  ])("%d ms are %s", (ms, text) => {
    expect(formatSpan(ms)).toBe(text);
  });

  test("counts and rates have thousands separated", () => {
    expect(formatCount(171_075)).toBe("171,075");
    expect(formatRate(171_075, 20_000)).toBe("8,554/s");
    expect(formatRate(5, 0)).toBe("–");
    expect(shortId("0123456789abcdef")).toBe("0123456789ab…");
  });
});

describe("output", () => {
  function capture(options: { json: boolean; isTTY: boolean }): { out: Output; text: () => string } {
    let text = "";
    const write = (part: string | Uint8Array): void => {
      text += part;
    };
    const stream = { write, isTTY: options.isTTY };
    return {
      out: new Output({ json: options.json, out: stream, err: stream, color: options.isTTY }),
      text: () => text,
    };
  }

  test("off a terminal a table is tab-separated lines without colour", () => {
    const { out, text } = capture({ json: false, isTTY: false });
    out.table(
      ["key", "n"],
      [
        ["a", 1],
        ["b", null],
      ],
    );
    expect(text()).toBe("key\tn\na\t1\nb\t–\n");
  });

  test("on a terminal a table is aligned, with a bold head", () => {
    const { out, text } = capture({ json: false, isTTY: true });
    out.table(["key", "n"], [["longer", 1]]);
    const [head, row] = text().split("\n");
    expect(head).toContain("\u001b[1mkey\u001b[22m");
    expect(row).toMatch(/^longer {2}1 *$/);
  });

  test("with --json the answer is printed instead of what is for people", () => {
    const { out, text } = capture({ json: true, isTTY: false });
    out.result({ a: 1 }, () => out.line("for people"));
    expect(text()).toBe('{"a":1}\n');
  });

  test("no control character of a user's value reaches the terminal", () => {
    const evil = "\u001b]0;owned\u0007\u001b[2Jx\r\n\u009b31m";
    const { out, text } = capture({ json: false, isTTY: true });
    out.table(["value"], [[evil]]);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(text().replaceAll(/\u001b\[\d+m/g, "")).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
    expect(preview(evil)).toBe("\\x1b]0;owned\\x07\\x1b[2Jx\\x0d\\x0a\\x9b31m");
    expect(preview("x".repeat(100)).length).toBe(60);
  });
});
