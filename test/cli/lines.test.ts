import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { LineBlock } from "../../src/cli/import-stream.ts";
import { blocksOfLines, lineBlocks } from "../../src/cli/import-stream.ts";

async function collect(source: AsyncGenerator<LineBlock>): Promise<LineBlock[]> {
  const blocks: LineBlock[] = [];
  for await (const block of source) blocks.push(block);
  return blocks;
}

async function* inPieces(bytes: Uint8Array, cuts: readonly number[]): AsyncGenerator<Uint8Array> {
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b);
  for (const [at, from] of places.entries()) yield bytes.slice(from, places[at + 1] ?? bytes.length);
}

describe("cutting a stream into lines", () => {
  test("blocks hold all bytes in order, end at line ends, and know their line numbers", async () => {
    const line = fc.string({ unit: fc.constantFrom("a", "ä", "{", " "), maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat()), fc.boolean(), async (lines, cuts, endsOpen) => {
        const text = lines.map((one) => `${one}\n`).join("") + (endsOpen ? "tail" : "");
        const bytes = new TextEncoder().encode(text);
        const blocks = await collect(lineBlocks(inPieces(bytes, cuts)));
        expect(Buffer.concat(blocks.map((block) => block.bytes)).toString()).toBe(text);
        let next = 1;
        for (const [at, block] of blocks.entries()) {
          expect(block.firstLine).toBe(next);
          next += block.lines;
          if (at < blocks.length - 1) expect(block.bytes.at(-1)).toBe(10);
        }
        expect(next - 1).toBe(lines.length + (endsOpen ? 1 : 0));
      }),
    );
  });

  test("ready-made lines are packed into few blocks with their numbers", async () => {
    const lines = Array.from({ length: 5000 }, (_, i) => `line ${i} ${"x".repeat(40)}`);
    const blocks = await collect(blocksOfLines(lines));
    expect(blocks.length).toBeLessThan(6);
    expect(blocks.reduce((total, block) => total + block.lines, 0)).toBe(5000);
    expect(Buffer.concat(blocks.map(({ bytes }) => bytes)).toString()).toBe(lines.map((line) => `${line}\n`).join(""));
    const [, second] = blocks;
    expect(
      Buffer.from(second?.bytes ?? [])
        .toString()
        .split("\n")[0],
    ).toContain(`line ${(second?.firstLine ?? 0) - 1} `);
  });
});
