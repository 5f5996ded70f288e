import type { Config } from "../../src/config/types.ts";
import type { RaftSettings } from "../../src/consensus/driver/settings.ts";
import { InputError, present } from "../../src/kernel/assert.ts";
import type { Sha256 } from "../../src/kernel/hashing.ts";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import type { RunningNode } from "../../src/node.ts";
import { startNode } from "../../src/node.ts";
import type { Tuning } from "../../src/replication/parts.ts";
import type { Replica } from "../../src/replication/replica.ts";
import type { StoreImage } from "../../src/storage/memory.ts";
import type { RaftImage } from "../../src/storage/memory-raft.ts";
import { type Commit, type Store, StoreFailedError } from "../../src/storage/store.ts";
import { sha256 } from "../../src/world/real.ts";
import type { Disk, Log } from "../../src/world/world.ts";
import { configOf } from "../replication/cluster.ts";
import type { ClientResponse, PlainRequest } from "./http.ts";
import type { Death } from "./life.ts";
import { EVERYONE } from "./links.ts";
import type { NodeOptions, SimNode } from "./world.ts";
import { SimKernel } from "./world.ts";

/** Who watches the disks: sees what is durable, when, and nothing else of a node. */
export interface DiskObserver {
  /** A process begins with what its disk holds. */
  opened(node: string, image: StoreImage): void;
  /** A commit was handed to the disk: from now on it may become durable. */
  committing(node: string): void;
  /** It is durable, and its process was told. */
  committed(node: string, commit: Commit): void;
}

export type NodeSpec = Pick<NodeOptions, "name" | "region" | "clock">;

export interface SimClusterOptions {
  readonly seed: number;
  /** `eu`, `us` and `ap`, each in a region of its own, unless told. */
  readonly nodes?: readonly NodeSpec[];
  readonly config?: (config: Config, name: string) => Config;
  readonly observer?: DiskObserver;
  readonly tuning?: (name: string) => Tuning;
  readonly raft?: Partial<RaftSettings>;
  /** Hears every log line. */
  readonly onLog?: (line: LogLine) => void;
}

export interface LogLine {
  readonly node: string;
  readonly level: "debug" | "info" | "warn" | "error";
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export const THREE_REGIONS: readonly NodeSpec[] = ["eu", "us", "ap"].map((name) => ({ name, region: name }));

const DATA_DIR = "/data";
const CLIENT_PORT = 7001;
const POLL_MS = 100;

export interface WholeImage {
  readonly data: StoreImage;
  readonly raft: RaftImage;
}

/** A machine of the cluster, and the process on it, if any. */
export interface SimMember {
  readonly spec: NodeSpec;
  readonly host: string;
  /** Of the last process; null before the first. */
  node: SimNode | null;
  /** Null while no process runs, or while it starts. */
  running: RunningNode | null;
  /** Why the last process ended by itself. */
  failure: string | null;
}

/** Whole nodes (`startNode`: gossip, replication, HTTP) in one simulation, with all that can be done to them. */
export class SimCluster {
  readonly kernel: SimKernel;
  readonly members: ReadonlyMap<string, SimMember>;
  readonly #options: SimClusterOptions;
  /** Called when a node stops by itself: storage failed, an impossible state. Its process is gone by then. */
  onNodeFailed: (name: string, reason: string) => void = () => {};

  constructor(options: SimClusterOptions) {
    this.#options = options;
    this.kernel = new SimKernel({ seed: options.seed });
    const members = (options.nodes ?? THREE_REGIONS).map(
      (spec, i): SimMember => ({ spec, host: `10.1.0.${i + 1}`, node: null, running: null, failure: null }),
    );
    this.members = new Map(members.map((member) => [member.spec.name, member]));
  }

  /** Of any World: for who opens tokens. */
  readonly sha256: Sha256 = sha256;

  get names(): string[] {
    return [...this.members.keys()];
  }

  get regions(): string[] {
    return [...new Set([...this.members.values()].map(({ spec }) => spec.region))];
  }

  member(name: string): SimMember {
    return present(this.members.get(name), `${name} is a node of this cluster`);
  }

  replica(name: string): Replica {
    return present(this.member(name).running, `${name} runs`).replica;
  }

  config(name: string): Config {
    const base = configOf(name, new Map([...this.members].map(([id, { host }]) => [id, host])));
    const { region } = this.member(name).spec;
    const owners = [...this.members.values()].map(({ spec, host }) => ({
      id: parseNodeId(spec.name),
      region: parseRegion(spec.region),
      peer: { host, port: 7003 },
    }));
    const config: Config = {
      ...base,
      node: { ...base.node, region: parseRegion(region) },
      cluster: { ...base.cluster, owners },
    };
    return this.#options.config?.(config, name) ?? config;
  }

  // ---- processes

  /** Starts a process; it may be killed before it is up. `more` changes its configuration for this run. */
  start(name: string, more: (config: Config) => Config = (config) => config): void {
    const member = this.member(name);
    const node = this.kernel.makeWorld({ ...member.spec, host: member.host });
    member.node = node;
    member.running = null;
    member.failure = null;
    const world = { ...node.world, disk: this.#observed(node), log: this.#heard(node) };
    const { raft } = this.#options;
    const tuning = this.#options.tuning?.(name) ?? {};
    startNode(more(this.config(name)), world, { tuning, ...(raft && { raft }) }).then(
      (running) => {
        if (!node.alive) return;
        member.running = running;
        void running.failed.then((reason) => this.#ended(member, node, reason));
        void running.gone.then(() => running.stop()).then(() => this.#left(member, node));
      },
      (error: unknown) => {
        // main.ts ends its process with a sentence for these. Nobody catches others: the run ends.
        if (!(error instanceof InputError || error instanceof StoreFailedError)) throw error;
        this.#ended(member, node, error.message);
      },
    );
  }

  /** A node that stops by itself ends its process, as main.ts does. */
  #ended(member: SimMember, node: SimNode, reason: string): void {
    if (!node.alive) return;
    node.crash();
    member.running = null;
    member.failure = reason;
    this.onNodeFailed(member.spec.name, reason);
  }

  /** A node that is no member any more ends its process in peace, as main.ts does. */
  #left(member: SimMember, node: SimNode): void {
    if (!node.alive) return;
    node.crash();
    member.running = null;
  }

  #heard(node: SimNode): Log {
    const { onLog } = this.#options;
    return onLog ? heardLog(node.world.log, (line) => onLog({ ...line, node: node.name })) : node.world.log;
  }

  #observed(node: SimNode): Disk {
    const { observer } = this.#options;
    if (!observer) return node.world.disk;
    return {
      ...node.world.disk,
      openStore: async (dataDir) => {
        const store = await node.world.disk.openStore(dataDir);
        observer.opened(node.name, present(node.disk.snapshot(dataDir), "an open store has an image"));
        return observeCommits(store, observer, node.name);
      },
    };
  }

  /** Starts all that don't run, and waits until they are up. */
  async startAll(withinMs = 20_000): Promise<void> {
    for (const [name, { node }] of this.members) if (!node?.alive) this.start(name);
    await this.until(() => [...this.members.values()].every(({ running }) => running !== null), withinMs, "all are up");
  }

  isAlive(name: string): boolean {
    return this.member(name).node?.alive === true;
  }

  crash(name: string, how: Death = "process"): void {
    const member = this.member(name);
    member.node?.crash(how);
    member.running = null;
  }

  /** Ends a process in peace: it leaves the pool and saves what it knows. */
  async stop(name: string): Promise<void> {
    const { running } = this.member(name);
    if (running) await running.stop();
    this.crash(name);
  }

  stall(name: string, ms: number): void {
    this.member(name).node?.stall(ms);
  }

  /** What its disk holds now. */
  image(name: string): StoreImage | undefined {
    return this.member(name).node?.disk.snapshot(DATA_DIR);
  }

  /** Puts an older image back, after its process has ended. */
  restoreImage(name: string, image: StoreImage): void {
    present(this.member(name).node, `${name} ran before`).disk.restore(DATA_DIR, image);
  }

  /** Empties its data directory, after its process has ended. */
  wipe(name: string): void {
    present(this.member(name).node, `${name} ran before`).disk.empty(DATA_DIR);
  }

  /** Puts the whole directory back as `whole` had it, after its process has ended. */
  restoreWhole(name: string, { data, raft }: WholeImage): void {
    const { disk } = present(this.member(name).node, `${name} ran before`);
    disk.restore(DATA_DIR, data);
    disk.restoreRaft(DATA_DIR, raft);
  }

  /** What its disk holds now, Raft's log included. */
  wholeImage(name: string): WholeImage {
    const { disk } = present(this.member(name).node, `${name} ran before`);
    const [data, raft] = [disk.snapshot(DATA_DIR), disk.raftImage(DATA_DIR)];
    return { data: present(data, "it ran before"), raft: present(raft, "it ran before") };
  }

  // ---- the network

  /** Nothing passes between a region and all the others. */
  cutRegion(region: string): void {
    for (const other of this.regions) if (other !== region) this.kernel.cut(region, other);
  }

  /** Nothing passes between a node and anything else, clients included. */
  cutNode(name: string): void {
    this.kernel.cut(name, EVERYONE);
  }

  heal(): void {
    this.kernel.heal();
  }

  // ---- clients

  /** A request to a node, from its own region unless told. */
  request(
    name: string,
    request: PlainRequest,
    options: { readonly from?: string; readonly timeoutMs?: number } = {},
  ): Promise<ClientResponse> {
    return this.kernel.httpFetch({ host: this.member(name).host, port: CLIENT_PORT }, request, options);
  }

  /** `GET path` as JSON. Throws on anything but 200. */
  async getJson(name: string, path: string): Promise<unknown> {
    const response = await this.request(name, { method: "GET", path });
    const text = await response.text();
    if (response.status !== 200) throw new Error(`GET ${path} at ${name}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  // ---- waiting

  /** Polls; the kernel's own `until` asks after every event, which is dear in a long run. */
  async until(isMet: () => boolean, withinMs: number, what: string): Promise<void> {
    const untilMs = this.kernel.nowMs + withinMs;
    while (!isMet()) {
      if (this.kernel.nowMs >= untilMs) throw new Error(`not within ${withinMs} ms: ${what}`);
      await this.kernel.sleep(POLL_MS);
    }
  }

  /** Null when all nodes run and have equal vectors and digests, nothing damaged and no more than `mayHold` entries held
   *  back; else what is missing. */
  whyNotConverged(names: readonly string[] = this.names, mayHold = 0): string | null {
    const down = names.filter((name) => !this.member(name).running);
    if (down.length > 0) return `${down.join(", ")} not up`;
    const [first, ...others] = names.map((name) => ({ name, status: this.replica(name).status() }));
    if (!first) return null;
    for (const { name, status } of [first, ...others]) {
      if (status.earlyEntries > mayHold) return `${name} holds ${status.earlyEntries} entries back`;
      for (const { partition, vector, digest, damagedLeaves } of status.partitions) {
        const wanted = first.status.partitions[partition];
        if (damagedLeaves > 0) return `partition ${partition} is damaged at ${name}`;
        if (!wanted?.vector.equals(vector)) return `vectors of partition ${partition} differ at ${first.name}, ${name}`;
        if (wanted.digest !== digest) return `digests of partition ${partition} differ at ${first.name}, ${name}`;
      }
    }
    return null;
  }

  async converged(withinMs = 60_000, mayHold = 0): Promise<void> {
    const untilMs = this.kernel.nowMs + withinMs;
    const ask = (): string | null => this.whyNotConverged(this.names, mayHold);
    for (let why = ask(); why !== null; why = ask()) {
      if (this.kernel.nowMs >= untilMs) throw new Error(`not converged within ${withinMs} ms: ${why}`);
      await this.kernel.sleep(POLL_MS);
    }
  }
}

function observeCommits(store: Store, observer: DiskObserver, node: string): Store {
  const commit = store.commit.bind(store);
  store.commit = async (changes) => {
    observer.committing(node);
    await commit(changes);
    observer.committed(node, changes);
  };
  return store;
}

function heardLog(log: Log, hear: (line: Omit<LogLine, "node">) => void): Log {
  const at =
    (level: LogLine["level"]): Log["info"] =>
    (event, fields = {}) => {
      hear({ level, event, fields });
      log[level](event, fields);
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => heardLog(log.child(fields), hear),
  };
}
