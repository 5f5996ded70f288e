import type { Op, Row } from "../../crdt/index.ts";
import { counter, decodeElement, register, set } from "../../crdt/index.ts";
import { PROFILES } from "../../gossip/index.ts";
import type { Config } from "../../src/config/types.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import type { WriteRequest } from "../../src/replication/api.ts";
import { Owners } from "../../src/replication/owners.ts";
import { Replica } from "../../src/replication/replica.ts";
import { CLEAR, LOOKUPS } from "../gossip/envelopes.ts";
import type { SimNode } from "../sim/world.ts";
import { SimKernel } from "../sim/world.ts";

export const MIB = 2 ** 20;

/** A configuration for tests: three owners in three regions, everything else at its default or smaller. */
export function configOf(
  name: string,
  hosts: ReadonlyMap<string, string>,
  more: Partial<Config["replication"]> = {},
): Config {
  const bind = { host: hosts.get(name) ?? "127.0.0.1", port: 0 };
  const at = (port: number): Config["peer"]["bind"] => ({ ...bind, port });
  return {
    node: { id: parseNodeId(name), region: parseRegion(name), zone: "a", dataDir: "/data" },
    client: { bind: at(7001), advertise: at(7001) },
    gossip: {
      bind: at(7002),
      advertise: at(7002),
      advertiseTo: new Map(),
      profile: PROFILES.local,
      label: "test",
      ...CLEAR,
    },
    peer: { bind: at(7003), advertise: at(7003), advertiseTo: new Map() },
    cluster: {
      id: "test-cluster",
      name: "test",
      salt: utf8("a salt of sixteen bytes or more"),
      seeds: [...hosts.values()].map((host) => `${host}:7002`),
      lookups: LOOKUPS,
      start: { kind: "owners" },
      owners: [...hosts].map(([id, host]) => ({
        id: parseNodeId(id),
        region: parseRegion(id),
        peer: { host, port: 7003 },
      })),
    },
    replication: { syncIntervalMs: 1_000, historyMs: 24 * 3_600_000, logMaxBytes: 1024 * MIB, ...more },
    clock: { maxDriftMs: 500 },
    limits: {
      keyBytes: 1024,
      valueBytes: MIB,
      rowBytes: 4 * MIB,
      siblings: 64,
      bodyBytes: 2 * MIB,
      lineBytes: 2 * MIB,
      batchItems: 1000,
      opsPerRequest: 1000,
      headerBytes: 16_384,
      connections: 1000,
      requestTimeoutMs: 30_000,
      queuedWrites: 10_000,
      cacheBytes: 8 * MIB,
    },
    log: { level: "silent", format: "json" },
    dev: false,
  };
}

export interface Member {
  readonly name: string;
  node: SimNode;
  replica: Replica;
}

/** Replicas alone (no gossip, no HTTP) in a simulation. */
export class ReplicaCluster {
  readonly kernel: SimKernel;
  readonly members = new Map<string, Member>();
  readonly #hosts: Map<string, string>;
  readonly #more: Partial<Config["replication"]>;
  readonly failures: string[] = [];

  constructor(seed: number, names: readonly string[], more: Partial<Config["replication"]> = {}) {
    this.kernel = new SimKernel({ seed });
    this.#hosts = new Map(names.map((name, i) => [name, `10.1.0.${i + 1}`]));
    this.#more = more;
  }

  async start(name: string, more: Partial<Config> = {}): Promise<Member> {
    const node = this.kernel.makeWorld({ name, region: name, host: this.#hosts.get(name) ?? "" });
    const config = { ...configOf(name, this.#hosts, this.#more), ...more };
    const { world } = node;
    const store = await world.disk.openStore(config.node.dataDir);
    const replica = await Replica.open({
      config,
      owners: new Owners(config.node.id, config.cluster.owners),
      world,
      store,
      gossipedAddress: () => null,
      gossipedLoss: () => null,
      attribute: () => {},
      onFailure: (reason) => this.failures.push(`${name}: ${reason}`),
    });
    await world.network.listen(config.peer.bind, (stream) => replica.door.accept(stream));
    replica.start();
    const member = { name, node, replica };
    this.members.set(name, member);
    return member;
  }

  async startAll(): Promise<void> {
    for (const name of this.#hosts.keys()) await this.start(name);
  }

  at(name: string): Replica {
    const member = this.members.get(name);
    if (!member) throw new Error(`${name} was not started`);
    return member.replica;
  }

  /** Waits until all living members have equal vectors and digests. */
  async converged(withinMs = 60_000): Promise<void> {
    const living = (): Replica[] =>
      [...this.members.values()].filter(({ node }) => node.alive).map(({ replica }) => replica);
    const same = (): boolean => {
      const [first, ...rest] = living().map((replica) => replica.status());
      return rest.every(
        (other) =>
          other.digest === first?.digest &&
          other.partitions.every(({ vector }, i) => first.partitions[i]?.vector.equals(vector)) &&
          other.partitions.every(({ damagedLeaves }) => damagedLeaves === 0),
      );
    };
    const untilMs = this.kernel.nowMs + withinMs;
    while (!same()) {
      if (this.kernel.nowMs > untilMs) throw new Error(`not converged within ${withinMs} ms`);
      await this.kernel.sleep(50);
    }
  }
}

export function put(key: string, value: string, more: Partial<WriteRequest> = {}): WriteRequest {
  return write(key, [{ path: [], slot: { op: "assign", contentType: "text/plain", bytes: utf8(value) } }], more);
}

export function write(key: string, ops: readonly Op[], more: Partial<WriteRequest> = {}): WriteRequest {
  return { bucket: "test", key, ops, seen: "blind", author: "tester", ...more };
}

export const del = (key: string): WriteRequest => write(key, [{ path: [], removeAll: true }]);

/** A row's registers, counter and set elements as plain values. */
export function valuesOf(row: Row): { registers: string[]; counter: bigint | null; elements: unknown[] } {
  const cells = [...row.cells.values()].filter((cell) => cell.path.length === 0);
  const of = (kinds: string[]): typeof cells => cells.filter(({ content }) => kinds.includes(content.kind));
  const counters = of(["counter", "reset"]);
  return {
    registers: register.show(of(["register"])).map(({ bytes }) => fromUtf8(bytes)),
    counter: counters.length > 0 ? counter.show(counters) : null,
    elements: set.show(of(["element"])).map(decodeElement),
  };
}
