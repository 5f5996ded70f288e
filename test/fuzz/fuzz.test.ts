import { describe, expect, it } from "vitest";
import { InputError } from "../../src/kernel/assert.ts";
import { equalBytes, utf8 } from "../../src/kernel/bytes.ts";
import { seededRng } from "../../src/kernel/rng.ts";
import { savedInputs } from "./corpus.ts";
import { mutateBytes } from "./mutate.ts";
import { type Failure, fuzz, type Options, type Outcome, replay } from "./run.ts";
import { claim, type Target, unlessRefused } from "./target.ts";
import { TARGETS } from "./targets.ts";
import { mutated, toJsonText, toMsgpack, treeOf } from "./tree.ts";

const SEED = 4;
/** Whole requests take 50 times as long as the others, and get 2,000 each. */
const INPUTS = 20_000;

const told = ({ target, kind, seed, input, message }: Failure): string =>
  `${target}: ${kind} with seed ${seed}, input ${Buffer.from(input).toString("base64")} (base64): ${message}`;

describe("parsers", () => {
  for (const target of TARGETS) {
    const inputs = target.inputsInTest ?? INPUTS;
    it(`${target.name} takes or refuses ${inputs} inputs, in bounded time and memory`, async () => {
      const failures: string[] = [];
      const outcome = await fuzz(target, { inputs, seed: SEED, onFailure: (failure) => failures.push(told(failure)) });
      expect(failures).toEqual([]);
      // One that refuses everything, or nothing, was not reached by what it is for.
      expect(outcome.accepted).toBeGreaterThan(inputs / 200);
      expect(outcome.rejected).toBeGreaterThan(inputs / 200);
    });

    it(`${target.name} takes its own seeds, and stands what once failed`, async () => {
      const { length } = target.seeds();
      expect(length).toBeGreaterThan(0);
      await replay(target, target.seeds());
      for (const { file, input } of savedInputs(target.name))
        await expect(replay(target, [input]), file).resolves.toHaveLength(1);
    });
  }
});

/** A parser as it should be: texts of up to 40 bytes. */
function soundTarget(parse: (input: Uint8Array) => void = () => undefined): Target {
  return {
    name: "sound",
    seeds: () => [utf8("a right text"), utf8("another")],
    parse: (input) =>
      unlessRefused(() => {
        if (input.length > 40) throw new InputError("too-long", "at most 40 bytes");
        parse(input);
        return input;
      }) !== undefined,
  };
}

async function run(target: Target, more: Partial<Options> = {}): Promise<{ outcome: Outcome; failures: Failure[] }> {
  const failures: Failure[] = [];
  const onFailure = (failure: Failure): void => void failures.push(failure);
  return { outcome: await fuzz(target, { inputs: 4_000, seed: SEED, onFailure, ...more }), failures };
}

describe("the fuzzer sees", () => {
  it("nothing wrong with a parser that is sound", async () => {
    const { outcome, failures } = await run(soundTarget());
    expect(failures).toEqual([]);
    expect(outcome).toMatchObject({ target: "sound", inputs: 4_000, crashes: 0 });
    expect(outcome.accepted + outcome.rejected).toBe(4_000);
  });

  it("a TypeError at one byte, and names the input that makes it", async () => {
    const { outcome, failures } = await run(
      soundTarget((input) => {
        if (input.includes(0xc1)) (null as unknown as Uint8Array).slice();
      }),
    );
    expect(outcome.crashes).toBeGreaterThan(0);
    for (const { kind, seed, input, message } of failures) {
      expect({ kind, seed }).toEqual({ kind: "crash", seed: SEED });
      expect([...input]).toContain(0xc1);
      expect(message).toContain("TypeError");
    }
  });

  it("a crash of a parser that answers later", async () => {
    const target = { ...soundTarget(), isAsync: true, parse: () => Promise.reject(new TypeError("later")) };
    expect((await run(target)).failures[0]).toMatchObject({ kind: "crash" });
  });

  it("an accepted input of which what must hold does not hold", async () => {
    const { failures } = await run(soundTarget((input) => claim(input[0] !== 0x80, "begins with 80")));
    expect(failures[0]?.message).toContain("an accepted input begins with 80");
    expect(failures[0]?.input[0]).toBe(0x80);
  });

  it("a parser that never ends, and goes on to the end of the run", async () => {
    let loops = 1;
    const { outcome, failures } = await run(
      soundTarget((input) => {
        while (loops > 0 && input.includes(0xc1));
        loops += 0;
      }),
      { inputs: 300, endlessMs: 300 },
    );
    loops = 0;
    expect(failures[0]).toMatchObject({ kind: "hang" });
    expect([...(failures[0]?.input ?? [])]).toContain(0xc1);
    expect(outcome.crashes).toBe(failures.length);
  });

  it("an input that takes longer than inputs may", async () => {
    const { failures } = await run(
      soundTarget((input) => {
        const rounds = input.includes(0xc1) ? 3e8 : 0;
        for (let i = 0; i < rounds; i++);
      }),
      { inputs: 300, inputMs: 50 },
    );
    expect(failures[0]).toMatchObject({ kind: "hang" });
  });

  it("a parser that keeps what it is given", async () => {
    const kept: Uint8Array[] = [];
    const { failures } = await run(
      soundTarget(() => {
        kept.push(new Uint8Array(1024).fill(1));
      }),
      { growthMiB: 1 },
    );
    expect(kept.length).toBeGreaterThan(0);
    expect(failures).toMatchObject([{ kind: "growth" }]);
  });
});

describe("mutations", () => {
  const pool = [utf8("the first of two"), utf8("and the second")];

  it("are the same for the same seed, and others for another", () => {
    const some = (seed: number): string[] => {
      const rng = seededRng(seed);
      return Array.from({ length: 100 }, () => Buffer.from(mutateBytes(rng, pool)).toString("hex"));
    };
    expect(some(1)).toEqual(some(1));
    expect(some(1)).not.toEqual(some(2));
  });

  it("leave the inputs they start from as they are", () => {
    const rng = seededRng(3);
    for (let i = 0; i < 2_000; i++) mutateBytes(rng, pool);
    expect(equalBytes(pool[0] as Uint8Array, utf8("the first of two"))).toBe(true);
  });

  it("by structure reach repeated keys, __proto__, half pairs, NUL, deep nesting and counts that lie", () => {
    const rng = seededRng(5);
    const trees = Array.from({ length: 4_000 }, () => mutated(rng, [treeOf({ a: [1, "x"], b: { c: null } })]));
    const texts = trees.map(toJsonText);
    for (const sign of ['"__proto__":', "\\ud800", "\\u0000", "[[[[[[[[", "1e999", '"a":[1,"x"],"b":{"c":null},"a":'])
      expect(texts.filter((text) => text.includes(sign)).length, sign).toBeGreaterThan(0);
    const packed = trees.map((tree) => Buffer.from(toMsgpack(tree, false)).toString("hex"));
    for (const tag of ["ddffffffff", "dfffffffff", "eda080"])
      expect(packed.filter((hex) => hex.includes(tag)).length, tag).toBeGreaterThan(0);
  });
});
