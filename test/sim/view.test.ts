import { describe, expect, it } from "vitest";
import { viewPage } from "./view.ts";
import type { PageData } from "./view-data.ts";
import { pageData } from "./view-data.ts";

type Line = Record<string, unknown>;

const fileOf = (lines: readonly Line[]): string => lines.map((line) => `${JSON.stringify(line)}\n`).join("");
const dataOf = (lines: readonly Line[]): PageData => pageData(fileOf(lines));

function embedded(page: string): PageData {
  const [, json = ""] = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page) ?? [];
  return JSON.parse(json) as PageData;
}

const STARTS: readonly Line[] = ["eu", "us", "ap"].map((detail, node) => ({ ms: 0, node, kind: "start", detail }));

describe("the page's data", () => {
  it("are the trace's: each event with its time, node, kind and detail, in order", () => {
    const kinds = ["timer", "send", "datagram", "request", "log"];
    const lines = Array.from({ length: 2_000 }, (_, i) => {
      return { ms: i / 1024, node: (i % 4) - 1, kind: kinds[i % 5] ?? "", detail: `detail ${i}` };
    });
    const { events, lanes, kinds: names } = embedded(viewPage("a trace", dataOf([...STARTS, ...lines])));
    const told = events.map(([ms, lane, kind, text]) => ({
      ms,
      node: lane - 1,
      kind: names[kind],
      detail: text,
    }));
    expect(told).toEqual([...STARTS, ...lines]);
    expect(lanes).toEqual(["clients", "eu", "us", "ap"]);
  });

  it("take nodes by number or by name, and put them in order", () => {
    const byName = ["us", "eu"].map((node) => ({ ms: 0, node, kind: "start" }));
    expect(dataOf([{ ms: 0, node: null, kind: "network" }, ...byName]).lanes).toEqual(["clients", "us", "eu"]);
    const late = Array.from({ length: 11 }, (_, i) => ({ ms: 1, node: 10 - i, kind: "start", detail: `n${10 - i}` }));
    expect(dataOf(late).lanes.slice(1)).toEqual(Array.from({ length: 11 }, (_, i) => `n${i}`));
  });

  it("show hashes, log lines and violations as a person reads them", () => {
    const details = [
      3_674_975_059,
      0,
      { level: "warn", event: "peer.lost", peer: "eu" },
      { invariant: "durable", text: "x" },
      '{"level":"info","event":"up"}',
      "{no JSON",
      "0",
    ];
    const { events } = dataOf(details.map((detail, ms) => ({ ms, node: 0, kind: "log", detail })));
    expect(events.map(([, , , text]) => text)).toEqual([
      "db0bab53",
      "",
      "warn peer.lost peer=eu",
      "durable: x",
      "info up",
      "{no JSON",
      "",
    ]);
  });

  it("sort what was written out of order, and keep what has no time as words about the run", () => {
    const { events, about } = dataOf([
      { seed: 42, faults: "cut" },
      { ms: 2, kind: "b" },
      { ms: 1, kind: "a" },
    ]);
    expect(events.map(([ms]) => ms)).toEqual([1, 2]);
    expect(about).toEqual(["seed: 42", "faults: cut"]);
  });

  it("refuse a line that is no event, and say which", () => {
    for (const bad of ["{", "7", "[]", "null", '{"ms":"1","kind":"send"}', '{"ms":1}'])
      expect(() => pageData(`${fileOf(STARTS)}\n${bad}\n`), bad).toThrow("line 5");
  });
});

describe("messages", () => {
  const send = (ms: number, node: number, detail: unknown): Line => ({ ms, node, kind: "send", detail });
  const data = (ms: number, node: number, detail: unknown): Line => ({ ms, node, kind: "data", detail });
  const times = (lines: readonly Line[]): { messages: number[][]; lost: number[] } => {
    const { events, messages, lost } = dataOf(lines);
    const ms = (i: number): number => events[i]?.[0] ?? Number.NaN;
    return { messages: messages.map((pair) => pair.map(ms)), lost: lost.map(ms) };
  };

  it("go from the send to the arrival of the same bytes elsewhere; what never arrives is lost", () => {
    const { messages, lost } = times([send(1, 0, 77), send(2, 0, 78), data(3, 0, 78), data(41, 1, 77)]);
    expect(messages).toEqual([[1, 41]]);
    expect(lost).toEqual([2]);
  });

  it("arrive twice when they were duplicated", () => {
    const lines = [send(1, 0, 77), { ...data(5, 1, 77), kind: "datagram" }, { ...data(9, 1, 77), kind: "datagram" }];
    expect(times(lines)).toEqual({
      messages: [
        [1, 5],
        [1, 9],
      ],
      lost: [],
    });
  });

  it("of equal bytes are told apart by how long the way takes", () => {
    const way = [send(0, 0, 5), data(40, 1, 5)];
    const beats = [1_000, 1_100, 1_130, 1_200].map((ms) => send(ms, 0, 99));
    // The first is lost.
    const { messages, lost } = times([...way, ...beats, data(1_141, 1, 99), data(1_171, 1, 99), data(1_242, 1, 99)]);
    expect(messages.slice(1)).toEqual([
      [1_100, 1_141],
      [1_130, 1_171],
      [1_200, 1_242],
    ]);
    expect(lost).toEqual([1_000]);
  });

  it("go where the send says, by a node's name", () => {
    const to = (name: string): Line => ({ hash: "63", detail: name });
    const lines = [...STARTS, { ...send(1, 0, ""), ...to("us") }, { ...send(2, 0, ""), ...to("ap") }];
    const found = times([...lines, { ...data(50, 2, ""), hash: "63" }, { ...data(51, 1, ""), hash: "63" }]);
    expect(found.messages).toEqual([
      [2, 50],
      [1, 51],
    ]);
  });

  it("have no bytes when the send of an end tells a node only, though its name may look like a hash", () => {
    const named = { ms: 0, node: 1, kind: "start", detail: "de" };
    const found = times([{ ms: 0, node: 0, kind: "start", detail: "eu" }, named, send(1, 0, "de"), data(2, 1, "de")]);
    expect(found).toEqual({ messages: [], lost: [] });
  });

  it("of one long run, all alike, are matched in time", () => {
    const lines = Array.from({ length: 50_000 }, (_, i) => (i % 2 === 0 ? send(i, 0, 99) : data(i, 1, 99)));
    expect(dataOf(lines).messages).toHaveLength(25_000);
  });
});

describe("bands", () => {
  const network = (ms: number, detail: string): Line => ({ ms, node: -1, kind: "network", detail });
  const end = { ms: 100, node: -1, kind: "timer" };
  const bands = (...lines: Line[]): unknown[] =>
    dataOf([...STARTS, ...lines, end]).bands.map(({ lane, what, fromMs, toMs }) => [lane, what, fromMs, toMs]);

  it("last from a crash to the next start, or to the end", () => {
    const crash = { ms: 10, node: 0, kind: "crash", detail: "machine" };
    expect(bands(crash, { ms: 20, node: 0, kind: "start", detail: "eu" })).toEqual([[1, "down", 10, 20]]);
    expect(bands(crash)).toEqual([[1, "down", 10, 100]]);
  });

  it("last as long as a stall says", () => {
    expect(bands({ ms: 10, node: 2, kind: "stall", detail: "31.5 ms" })).toEqual([[3, "stall", 10, 41.5]]);
  });

  it("last from a cut to the healing of this pair, in whatever order, or of everything, on both sides' lanes", () => {
    const cuts = [network(10, "cut eu us"), network(20, "cut ap *")];
    const all = [1, 2, 3].map((lane) => [lane, "cut", 20, 50]);
    const pair = [1, 2].map((lane) => [lane, "cut", 10, 30]);
    expect(bands(...cuts, network(30, "heal us eu"), network(50, "heal "))).toEqual([...pair, ...all]);
    expect(bands(cuts[0] as Line)).toEqual([1, 2].map((lane) => [lane, "cut", 10, 100]));
  });

  it("of a region reach all its nodes, and no other's", () => {
    const fourth = { ms: 0, node: 3, kind: "start", detail: "eu3" };
    expect(bands(fourth, network(10, "cut eu ap"))).toEqual([1, 3, 4].map((lane) => [lane, "cut", 10, 100]));
  });
});

describe("the page", () => {
  const EVIL = `</script><script>alert(1)</script><!--<script> {{title}} $& "' <img src=x onerror=alert(2)>`;
  const page = viewPage(EVIL, dataOf([...STARTS, { ms: 1, node: 0, kind: EVIL, detail: EVIL }, { about: EVIL }]));

  it("holds a trace's HTML as text", () => {
    const { events, kinds, about } = embedded(page);
    expect(events.at(-1)?.[3]).toBe(EVIL);
    expect(kinds.at(-1)).toBe(EVIL);
    expect(about).toEqual([`about: ${EVIL}`]);
    expect(page.match(/<script/g)).toHaveLength(2);
    expect(page).not.toMatch(/<img|<!--/);
  });

  it("makes no markup of text, and takes nothing from elsewhere", () => {
    expect(page).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function/);
    expect(page.replaceAll(JSON.stringify(EVIL).slice(1, -1), "")).not.toMatch(/https?:|@import|url\(|<link|<iframe/);
    expect(page).toContain(`content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"`);
  });
});
