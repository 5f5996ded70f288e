import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { etcdVersion, withEtcd } from "./etcd.ts";
import type { Figure, Report } from "./machine.ts";
import { machineLine, median } from "./machine.ts";
import { answers, Member } from "./member.ts";
import type { BenchNode } from "./nodes.ts";
import { withNodes } from "./nodes.ts";
import { wrk } from "./wrk.ts";

// Question: how many durable PUTs and local GETs a second does one node answer over 64 connections?
// Peers, in turn in the same run: etcd (its JSON gateway, one member, default fsync), a bare Hono server that answers
// from a constant and drops what it is sent, and Hono with sqlite3 alone, which keeps it: the limit of our own stack. One load generator for all: wrk, a process of its own.
// Run: npm run -s bench -- http   (needs Debian's wrk and etcd-server)

const ROUNDS = 3;
const SECONDS = 5;
const CONNECTIONS = 64;
const KEYS = 1_000;

interface Target {
  readonly url: string;
  readonly script: string;
}

function rate(dir: string, target: Target): number {
  return wrk(dir, { ...target, connections: CONNECTIONS, seconds: SECONDS }).perSecond;
}

const VALUE = "x".repeat(100);

const put = (path: string): string => `
local n = 0
request = function()
  n = n + 1
  return wrk.format("PUT", "${path}" .. (n % ${KEYS}), {["Content-Type"] = "text/plain"}, "${VALUE}")
end`;
const get = (path: string): string => `
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "${path}" .. (n % ${KEYS}))
end`;
const etcdCall = (call: string, body: string): string => `
local keys = {}
for i = 0, ${KEYS - 1} do keys[i] = '${body}' end
local n = 0
local b64 = ${JSON.stringify(Array.from({ length: KEYS }, (_, i) => Buffer.from(`k${i}`).toString("base64")))
  .replace("[", "{")
  .replace("]", "}")}
request = function()
  n = n + 1
  local body = string.gsub('${body}', "KEY", b64[n % ${KEYS} + 1])
  return wrk.format("POST", "/v3/kv/${call}", {["Content-Type"] = "application/json"}, body)
end`;

/** A server of this folder. */
async function withServer<T>(script: string, args: string[], run: (url: string) => Promise<T>): Promise<T> {
  const port = 51_000 + Math.floor(Math.random() * 10_000);
  const file = fileURLToPath(new URL(script, import.meta.url));
  const server = new Member(script, `http://127.0.0.1:${port}`, () =>
    spawn(process.execPath, [file, String(port), ...args], { stdio: "inherit" }),
  );
  try {
    await answers(`${server.url}/v1/kv/bench/k1`);
    return await run(server.url);
  } finally {
    await server.stop();
  }
}

/** The node's own measure of its event loop, in ms, since its start. */
async function loopDelayP99(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = /event_?loop[^\n]*(?:p99|quantile="0\.99")[^\n]*?\s([\d.e+-]+)$/m.exec(text)?.[1];
  const name = /(\S*event_?loop\S*(?:p99|quantile="0\.99")\S*)/.exec(text)?.[1] ?? "";
  return Number(value) * (name.includes("seconds") ? 1_000 : 1);
}

export async function run(): Promise<Report> {
  const dir = mkdtempSync(join(tmpdir(), "starling-bench-"));
  const results = {
    put: [] as number[],
    get: [] as number[],
    etcdPut: [] as number[],
    etcdGet: [] as number[],
    honoPut: [] as number[],
    honoGet: [] as number[],
    durablePut: [] as number[],
    loop: [] as number[],
  };
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await withNodes(["eu"], async ([node]) => {
        const { url } = node as BenchNode;
        results.put.push(rate(dir, { url, script: put("/v1/kv/bench/k") }));
        results.loop.push(await loopDelayP99(url));
        results.get.push(rate(dir, { url, script: get("/v1/kv/bench/k") }));
      });
      await withEtcd(dir, ["default"], async ([member]) => {
        const { url } = member as Member;
        const value = Buffer.from(VALUE).toString("base64");
        results.etcdPut.push(rate(dir, { url, script: etcdCall("put", `{"key":"KEY","value":"${value}"}`) }));
        results.etcdGet.push(rate(dir, { url, script: etcdCall("range", `{"key":"KEY"}`) }));
      });
      await withServer("bare-hono.js", [], async (url) => {
        results.honoPut.push(rate(dir, { url, script: put("/v1/kv/bench/k") }));
        results.honoGet.push(rate(dir, { url, script: get("/v1/kv/bench/k") }));
      });
      await withServer("durable-hono.js", [join(dir, `plain-${round}.db`)], async (url) => {
        results.durablePut.push(rate(dir, { url, script: put("/v1/kv/bench/k") }));
      });
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  return {
    bench: "http",
    question: "how many durable PUTs and local GETs a second over 64 connections?",
    machine: machineLine(),
    peers: [
      etcdVersion() ?? "etcd",
      "bare Hono on @hono/node-server, no store",
      "Hono and sqlite3 with group commit, and nothing of a database between them",
    ],
    figures: figuresOf(results),
  };
}

function figuresOf(r: {
  put: number[];
  get: number[];
  etcdPut: number[];
  etcdGet: number[];
  honoPut: number[];
  honoGet: number[];
  durablePut: number[];
  loop: number[];
}): Figure[] {
  const perSecond = (name: string, values: number[]): Figure => ({ name, value: median(values), unit: "req/s" });
  return [
    perSecond("PUT w=node, durable", r.put),
    perSecond("etcd put", r.etcdPut),
    perSecond("bare Hono PUT", r.honoPut),
    perSecond("Hono and sqlite3 alone, durable PUT", r.durablePut),
    { name: "PUT, ratio to etcd", value: median(r.put) / median(r.etcdPut), unit: "×", aim: { atLeast: 2 } },
    { name: "PUT, ratio to bare Hono", value: median(r.put) / median(r.honoPut), unit: "×" },
    { name: "PUT, ratio to Hono and sqlite3 alone", value: median(r.put) / median(r.durablePut), unit: "×" },
    perSecond("GET local", r.get),
    perSecond("etcd range (linearizable)", r.etcdGet),
    perSecond("bare Hono GET", r.honoGet),
    { name: "GET, ratio to bare Hono", value: median(r.get) / median(r.honoGet), unit: "×", aim: { atLeast: 0.6 } },
    { name: "GET, ratio to etcd", value: median(r.get) / median(r.etcdGet), unit: "×" },
    { name: "event-loop delay under full write load, p99", value: median(r.loop), unit: "ms", aim: { atMost: 20 } },
  ];
}
