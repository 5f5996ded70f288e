import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Figure, Report } from "./machine.ts";
import { machineLine, median } from "./machine.ts";
import type { BenchNode } from "./nodes.ts";
import { answers, end, withNodes } from "./nodes.ts";

// Question: how many durable PUTs and local GETs a second does one node answer over 64 connections?
// Peers, in turn in the same run: etcd (its JSON gateway, one member, default fsync), a bare Hono server that answers
// from a constant and drops what it is sent, and Hono with sqlite3 alone, which keeps it: the limit of our own stack. One load generator for all: wrk, a process of its own.
// Run: npm run -s bench -- http   (needs Debian's wrk and etcd-server)

const ROUNDS = 3;
const SECONDS = 5;
/** Before each measurement, for all alike: a server's first thousands of requests compile it (Node) or fill its caches. */
const WARM_UP_SECONDS = 3;
const CONNECTIONS = 64;
const KEYS = 1_000;

interface Load {
  readonly url: string;
  readonly script: string;
}

/** Requests per second; throws when any answer was an error. */
function wrk(dir: string, { url, script }: Load): number {
  const file = join(dir, "load.lua");
  writeFileSync(file, script);
  let perSecond = Number.NaN;
  for (const seconds of [WARM_UP_SECONDS, SECONDS]) {
    const output = execFileSync("wrk", ["-t1", `-c${CONNECTIONS}`, `-d${seconds}s`, "-s", file, url], {
      encoding: "utf8",
    });
    const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(output);
    if (failed) throw new Error(`wrk against ${url}: ${failed[0]}`);
    perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]);
  }
  return perSecond;
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

async function withEtcd<T>(dir: string, run: (url: string) => Promise<T>): Promise<T> {
  const port = 41_000 + Math.floor(Math.random() * 10_000);
  const client = `http://127.0.0.1:${port}`;
  const peer = `http://127.0.0.1:${port + 1}`;
  const child = spawn(
    "etcd",
    [
      "--data-dir",
      join(dir, `etcd-${port}`),
      "--listen-client-urls",
      client,
      "--advertise-client-urls",
      client,
      "--listen-peer-urls",
      peer,
      "--initial-advertise-peer-urls",
      peer,
      "--initial-cluster",
      `default=${peer}`,
      "--log-level",
      "error",
    ],
    { stdio: "ignore" },
  );
  return withChild(child, async () => {
    await answers(`${client}/health`);
    return run(client);
  });
}

/** A server of this folder. */
async function withServer<T>(script: string, args: string[], run: (url: string) => Promise<T>): Promise<T> {
  const port = 51_000 + Math.floor(Math.random() * 10_000);
  const file = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [file, String(port), ...args], { stdio: "inherit" });
  return withChild(child, async () => {
    await answers(`http://127.0.0.1:${port}/v1/kv/bench/k1`);
    return run(`http://127.0.0.1:${port}`);
  });
}

async function withChild<T>(child: ChildProcess, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } finally {
    await end(child);
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
        results.put.push(wrk(dir, { url, script: put("/v1/kv/bench/k") }));
        results.loop.push(await loopDelayP99(url));
        results.get.push(wrk(dir, { url, script: get("/v1/kv/bench/k") }));
      });
      await withEtcd(dir, async (url) => {
        const value = Buffer.from(VALUE).toString("base64");
        results.etcdPut.push(wrk(dir, { url, script: etcdCall("put", `{"key":"KEY","value":"${value}"}`) }));
        results.etcdGet.push(wrk(dir, { url, script: etcdCall("range", `{"key":"KEY"}`) }));
      });
      await withServer("bare-hono.js", [], async (url) => {
        results.honoPut.push(wrk(dir, { url, script: put("/v1/kv/bench/k") }));
        results.honoGet.push(wrk(dir, { url, script: get("/v1/kv/bench/k") }));
      });
      await withServer("durable-hono.js", [join(dir, `plain-${round}.db`)], async (url) => {
        results.durablePut.push(wrk(dir, { url, script: put("/v1/kv/bench/k") }));
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
      execFileSync("etcd", ["--version"], { encoding: "utf8" }).split("\n")[0] ?? "etcd",
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
  const rate = (name: string, values: number[]): Figure => ({ name, value: median(values), unit: "req/s" });
  return [
    rate("PUT w=node, durable", r.put),
    rate("etcd put", r.etcdPut),
    rate("bare Hono PUT", r.honoPut),
    rate("Hono and sqlite3 alone, durable PUT", r.durablePut),
    { name: "PUT, ratio to etcd", value: median(r.put) / median(r.etcdPut), unit: "×", aim: { atLeast: 2 } },
    { name: "PUT, ratio to bare Hono", value: median(r.put) / median(r.honoPut), unit: "×" },
    { name: "PUT, ratio to Hono and sqlite3 alone", value: median(r.put) / median(r.durablePut), unit: "×" },
    rate("GET local", r.get),
    rate("etcd range (linearizable)", r.etcdGet),
    rate("bare Hono GET", r.honoGet),
    { name: "GET, ratio to bare Hono", value: median(r.get) / median(r.honoGet), unit: "×", aim: { atLeast: 0.6 } },
    { name: "GET, ratio to etcd", value: median(r.get) / median(r.etcdGet), unit: "×" },
    { name: "event-loop delay under full write load, p99", value: median(r.loop), unit: "ms", aim: { atMost: 20 } },
  ];
}
