import { PROFILES } from "../../gossip/index.ts";
import type { Config } from "../../src/config/types.ts";
import { makeApp } from "../../src/http/app.ts";
import type { HttpDeps, MemberChange, MemberView, SeedSourceState } from "../../src/http/deps.ts";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import { CLEAR, LOOKUPS } from "../gossip/envelopes.ts";
import { MemoryPlane } from "./memory-plane.ts";
import { MemoryReplica } from "./memory-replica.ts";
import { makeTestWorld, type TestWorld } from "./test-world.ts";

export const OWNERS = [
  { id: parseNodeId("eu-1"), region: parseRegion("eu") },
  { id: parseNodeId("us-1"), region: parseRegion("us") },
];

export const SEED_SOURCES: readonly SeedSourceState[] = [
  {
    source: "dns://starling.example.com:7002",
    state: "failed",
    lastError: "DNS knows no such name",
    addresses: ["10.0.0.1:7002"],
    nextTryInMs: 1_500,
    answers: 4,
    failures: 2,
  },
];

export interface Node extends TestWorld {
  readonly replica: MemoryReplica;
  readonly plane: MemoryPlane;
  readonly config: Config;
  readonly deps: HttpDeps;
  /** What gossip says of members; "alive" where nothing is said. */
  readonly gossip: Map<string, MemberView["state"]>;
  /** `http://localhost` stands before the path. */
  call(method: string, path: string, init?: RequestInit): Promise<Response>;
  json(method: string, path: string, data?: unknown, init?: RequestInit): Promise<Json>;
  readonly memberListeners: Set<(member: MemberView, change: MemberChange) => void>;
}

// Answers as JSON: tests name the members they expect.
// biome-ignore lint/suspicious/noExplicitAny: a test reads what it claims, and fails when it isn't there
export type Json = any;

export function testConfig(index = 0, overrides: Partial<Config["limits"]> = {}): Config {
  const owner = OWNERS[index] ?? { id: parseNodeId("eu-1"), region: parseRegion("eu") };
  const bind = { host: "127.0.0.1", port: 7001 + 10 * index };
  return {
    node: { ...owner, zone: "", dataDir: "unused" },
    client: { bind, advertise: bind },
    gossip: { bind, advertise: bind, advertiseTo: new Map(), profile: PROFILES.local, label: "", ...CLEAR },
    peer: { bind, advertise: bind, advertiseTo: new Map() },
    cluster: {
      id: "c-1",
      name: "test",
      salt: new Uint8Array(16).fill(7),
      seeds: [],
      lookups: LOOKUPS,
      start: { kind: "owners" },
      owners: OWNERS,
    },
    replication: { syncIntervalMs: 2_000, historyMs: 86_400_000, logMaxBytes: 2 ** 30 },
    clock: { maxDriftMs: 500 },
    limits: {
      keyBytes: 1_024,
      valueBytes: 65_536,
      rowBytes: 262_144,
      siblings: 4,
      bodyBytes: 262_144,
      lineBytes: 65_536,
      batchItems: 50,
      opsPerRequest: 200,
      headerBytes: 16_384,
      connections: 100,
      requestTimeoutMs: 30_000,
      queuedWrites: 1_000,
      cacheBytes: 2 ** 20,
      ...overrides,
    },
    log: { level: "info", format: "json" },
    dev: true,
  };
}

export function makeNode(
  index = 0,
  options: { limits?: Partial<Config["limits"]>; config?: Partial<Config> } = {},
): Node {
  const config: Config = { ...testConfig(index, options.limits), ...options.config };
  const test = makeTestWorld(index + 1);
  const replica = new MemoryReplica(config, test);
  const plane = new MemoryPlane(config.node.id, config.cluster, test.world);
  const memberListeners = new Set<(member: MemberView, change: MemberChange) => void>();
  const gossip = new Map<string, MemberView["state"]>();
  let rules: ReturnType<NonNullable<HttpDeps["network"]>["rules"]> = { cut: [], delayMs: {}, lossPercent: 0 };
  const deps: HttpDeps = {
    config,
    replica,
    plane,
    world: test.world,
    members: () =>
      OWNERS.map(({ id, region }) => ({ ...memberOf(id, region, test.nowMs), state: gossip.get(id) ?? "alive" })),
    estimateRttMs: (from, to) => (from === to ? null : 42),
    gossipKeys: async () => ({ members: 1, answers: new Map() }),
    gossipFigures: () => FIGURES,
    seedSources: () => SEED_SOURCES,
    events: {
      subscribe: (listener) => {
        memberListeners.add(listener);
        return () => memberListeners.delete(listener);
      },
    },
    network: {
      apply: (next) => {
        rules = next;
      },
      rules: () => rules,
    },
    version: "0.1.0",
    loopDelayMs: () => ({ p50: 1, p99: 2, max: 3 }),
  };
  const app = makeApp(deps);
  const call = (method: string, path: string, init: RequestInit = {}): Promise<Response> =>
    app.fetch(new Request(`http://localhost${path}`, { method, ...init }));
  return Object.assign(test, {
    replica,
    plane,
    config,
    deps,
    gossip,
    memberListeners,
    call,
    async json(method: string, path: string, data?: unknown, init: RequestInit = {}): Promise<Json> {
      const headers = { "content-type": "application/json", ...(init.headers as Record<string, string>) };
      const response = await call(
        method,
        path,
        data === undefined ? init : { ...init, headers, body: JSON.stringify(data) },
      );
      return response.json();
    },
  });
}

export function memberOf(id: MemberView["id"], region: MemberView["region"], sinceMs: number): MemberView {
  const meta = new Map([["client", `127.0.0.1:${id === "eu-1" ? 7001 : 7011}`]]);
  return {
    id,
    region,
    state: "alive",
    incarnation: 1,
    gossipAddress: "127.0.0.1:7002",
    meta,
    rttMs: 1.5,
    estimatedRttMs: 2,
    sinceMs,
    directLoss: 0,
    accusers: [],
  };
}

const FIGURES: NonNullable<ReturnType<HttpDeps["gossipFigures"]>> = {
  rejects: new Map([["bad-label", 3]]),
  awareness: 2,
  queuedNews: 1,
  probes: 10,
  probeTimeouts: 4,
  probeFailures: 3,
  suspicions: 5,
  deaths: 1,
  refutations: 6,
  tableComparisons: 12,
  tableDifferences: 13,
  packetsSent: 20,
  packetsReceived: 21,
  sentBytes: 2000,
  receivedBytes: 2100,
  stalls: 7,
  stalledMs: 8000,
  receiveBufferBytes: 212992,
};

/** Everything either has, the other has too. */
export function exchange(a: Node, b: Node): void {
  a.replica.receiveFrom(b.replica);
  b.replica.receiveFrom(a.replica);
}

/** Resolves as soon as it holds; fails when promises alone don't bring it about. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turns = 0; turns < 10_000; turns++) {
    if (condition()) return;
    await Promise.resolve();
  }
  throw new Error("it never came true");
}

/** Sends lines to import; answers what it answers. */
export async function importText(node: Node, body: string): Promise<Json> {
  const headers = { "content-type": "application/x-ndjson" };
  return (await node.call("POST", "/v1/import", { headers, body })).json();
}

export function importLines(node: Node, lines: readonly unknown[]): Promise<Json> {
  return importText(node, lines.map((line) => JSON.stringify(line)).join("\n"));
}

/** The lines of an export. */
export async function exported(node: Node, query = "?bucket=b"): Promise<string[]> {
  const text = await (await node.call("GET", `/v1/export${query}`)).text();
  return text === "" ? [] : text.trimEnd().split("\n");
}

/** A problem's slug, after checking that it is one. */
export async function slugOf(response: Response): Promise<string> {
  if (response.headers.get("content-type") !== "application/problem+json")
    throw new Error(`no problem: ${response.status} ${await response.text()}`);
  const problem: Json = await response.json();
  if (
    problem.status !== response.status ||
    !problem.detail ||
    problem.instance !== response.headers.get("starling-request-id")
  )
    throw new Error(`a problem without what it must have: ${JSON.stringify(problem)}`);
  return problem.type;
}
