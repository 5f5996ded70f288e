import { present } from "../../src/kernel/assert.ts";
import { parseNodeId } from "../../src/kernel/ids.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import type { Wish } from "../../src/plane/api.ts";
import type { ControlPlane } from "../../src/plane/plane.ts";
import { type NodeSpec, SimCluster, type WholeImage } from "../sim/cluster.ts";
import { alike, elected, POLICY, planeOf, planes } from "./clusters.ts";
import { joinWish, tokenWish } from "./joining.ts";

// A cluster's life by chance: crashes, emptied and older directories, cuts, joins, drains, and configuration writes all the
// time. Never more than one directory at a time is lost or older than it was: of three logs two are a quorum.

const SPECS: readonly NodeSpec[] = ["eu", "us", "ap", "sa", "af"].map((name) => ({ name, region: name }));
const POLL_MS = 100;
const STEPS = 24;
/** Everything heals by then: claims, removals from the group, stabilisation and votes, one after the other. */
const SETTLE_MS = 300_000;

type Step =
  | "write"
  | "crash"
  | "power"
  | "start"
  | "cut"
  | "heal"
  | "wipe"
  | "older"
  | "join"
  | "drain"
  | "restart"
  | "wait";
const WEIGHTS: readonly Step[] = [
  ..."write write write write write write start start heal heal wait wait".split(" "),
  ..."crash crash power cut cut restart wipe wipe older join join drain".split(" "),
] as Step[];

export class RandomLife {
  readonly cluster: SimCluster;
  readonly #rng: Rng;
  readonly #founders: readonly string[];
  /** Buckets whose policy was acknowledged. */
  readonly acknowledged = new Set<string>();
  /** What was done, for who has to explain a failure. */
  readonly story: string[] = [];
  readonly #hashes = new Map<string, { readonly hash: string; readonly node: string }>();
  readonly #leaders = new Map<string, string>();
  /** What must never be seen, and was. */
  readonly broken: string[] = [];
  readonly #writing: Promise<void>[] = [];
  #bucket = 0;
  #isOver = false;

  constructor(seed: number) {
    this.#rng = seededRng(seed);
    const count = 3 + this.#rng.below(3);
    const nodes = SPECS.slice(0, count);
    this.#founders = nodes.slice(0, 3).map(({ name }) => name);
    this.cluster = new SimCluster({
      seed,
      nodes,
      config: (config, name) => {
        const isFounder = this.#founders.includes(name);
        const owners = isFounder ? config.cluster.owners.filter(({ id }) => this.#founders.includes(id)) : [];
        return { ...config, cluster: { ...config.cluster, owners, start: { kind: isFounder ? "owners" : "joined" } } };
      },
    });
    this.cluster.onNodeFailed = (name, reason) => void this.broken.push(`${name} failed: ${reason}`);
  }

  async run(): Promise<void> {
    await this.cluster.kernel.run(async () => {
      const watching = this.#watch();
      await this.#live();
      this.#isOver = true;
      await watching;
    });
  }

  async #live(): Promise<void> {
    for (const name of this.#founders) this.cluster.start(name);
    await this.#settled();
    const wallMs = Math.floor(present(this.cluster.member("eu").node, "it runs").world.clock.wallMs());
    await planeOf(this.cluster, "eu").propose(tokenWish(this.cluster, 100, wallMs), 20_000);
    for (let i = 0; i < STEPS; i++) {
      const step = WEIGHTS[this.#rng.below(WEIGHTS.length)] ?? "wait";
      await this.#step(step);
      await this.cluster.kernel.sleep(this.#rng.below(4_000));
    }
    await this.#settled();
    await Promise.all(this.#writing);
    await alike(this.cluster, 60_000);
    for (const name of this.#running())
      for (const bucket of this.acknowledged)
        if (!planeOf(this.cluster, name).state?.policies.has(bucket)) this.broken.push(`${name} lacks ${bucket}`);
  }

  #tell(what: string): void {
    this.story.push(`${Math.round(this.cluster.kernel.nowMs)} ${what}`);
  }

  #pick(names: readonly string[]): string | null {
    return names.length === 0 ? null : (names[this.#rng.below(names.length)] ?? null);
  }

  #running(): string[] {
    return this.cluster.names.filter((name) => this.cluster.member(name).running !== null);
  }

  /** By the newest state that anybody shows. */
  #members(): string[] {
    const states = planes(this.cluster).flatMap(({ state }) => (state ? [state] : []));
    const newest = states.sort((a, b) => b.version - a.version)[0];
    return newest ? [...newest.members.keys()] : [...this.#founders];
  }

  async #step(step: Step): Promise<void> {
    switch (step) {
      case "write":
        return this.#write();
      case "crash":
      case "power": {
        const name = this.#pick(this.#running());
        if (name === null) return;
        this.#tell(`${step} ${name}`);
        this.cluster.crash(name, step === "power" ? "machine" : "process");
        return;
      }
      case "start":
        return this.#startAll();
      case "restart": {
        const name = this.#pick(this.#running());
        if (name === null) return;
        this.#tell(`restart ${name}`);
        await this.cluster.stop(name);
        this.cluster.start(name);
        return;
      }
      case "cut": {
        const name = this.#pick(this.#running());
        if (name === null) return;
        this.#tell(`cut ${name}`);
        this.cluster.cutNode(name);
        return;
      }
      case "heal":
        this.#tell("heal");
        this.cluster.heal();
        return;
      case "wipe":
        return this.#wipe();
      case "older":
        return this.#older();
      case "join":
        return this.#join();
      case "drain":
        return this.#drain();
      case "wait":
        await this.cluster.kernel.sleep(this.#rng.below(30_000));
    }
  }

  async #startAll(): Promise<void> {
    for (const name of this.#members()) if (!this.cluster.isAlive(name)) this.#start(name);
  }

  #start(name: string): void {
    this.#tell(`start ${name}`);
    this.cluster.start(name);
  }

  #write(): void {
    const name = this.#pick(this.#running());
    if (name === null) return;
    const bucket = `b${this.#bucket++}`;
    const wish = { ...POLICY, bucket };
    const asked = planeOf(this.cluster, name)
      .propose(wish, 1_000 + this.#rng.below(10_000))
      .then(
        ({ ok }) => {
          if (!ok) return;
          this.#tell(`acknowledged ${bucket} at ${name}`);
          this.acknowledged.add(bucket);
        },
        () => {},
      );
    // A process that dies never answers.
    this.#writing.push(Promise.race([asked, this.cluster.kernel.sleep(15_000)]));
    this.#put(name);
  }

  /** Data waits for nobody: an owner that knows that it is one takes it. */
  #put(name: string): void {
    const { state } = planeOf(this.cluster, name);
    if (state?.members.get(name)?.state !== "active") return;
    const request = { method: "PUT", path: `/v1/kv/b/k${this.#bucket}`, body: "v" };
    void this.cluster.request(name, request, { timeoutMs: 2_000 }).then(
      ({ status }) => {
        if (status === 204 || status === 503) this.#noteStatus(name, status);
        else this.broken.push(`PUT at ${name}: ${status}`);
      },
      () => {}, // it was cut off, or died
    );
  }

  #noteStatus(name: string, status: number): void {
    const { running } = this.cluster.member(name);
    const me = running?.plane.state?.members.get(name)?.state;
    if (status === 503 && me === "active") this.broken.push(`${name} is active, and takes no data`);
  }

  async #wipe(): Promise<void> {
    await this.#settled();
    const name = this.#pick(this.#members());
    if (name === null) return;
    this.#tell(`wipe ${name}`);
    this.cluster.crash(name);
    this.cluster.wipe(name);
    await this.cluster.kernel.sleep(this.#rng.below(5_000));
    this.cluster.start(name);
  }

  /** What it forgot is known only to who leads: that one is left alone until it has told. */
  async #older(): Promise<void> {
    await this.#settled();
    const name = this.#pick(this.#members());
    if (name === null) return;
    await this.cluster.stop(name);
    const image: WholeImage = this.cluster.wholeImage(name);
    this.cluster.start(name);
    await this.#until(() => this.cluster.member(name).running !== null, "it is back");
    for (let i = this.#rng.below(6); i > 0; i--) {
      this.#write();
      await this.cluster.kernel.sleep(300);
    }
    await this.#settled();
    this.#tell(`older ${name}`);
    this.cluster.crash(name);
    this.cluster.restoreWhole(name, image);
    this.cluster.start(name);
    await this.cluster.kernel.sleep(10_000);
  }

  async #join(): Promise<void> {
    const members = this.#members();
    const name = this.#pick(this.cluster.names.filter((one) => !members.includes(one)));
    const asked = this.#pick(this.#running());
    if (name === null || asked === null || this.cluster.isAlive(name)) return;
    const wasThere = this.cluster.member(name).node !== null;
    if (wasThere) this.cluster.wipe(name);
    const { region } = this.cluster.member(name).spec;
    const result = await planeOf(this.cluster, asked)
      .propose(joinWish(this.cluster, { name, region, replace: wasThere ? name : null }), 10_000)
      .catch(() => null);
    if (result?.ok !== true) return;
    this.#tell(`join ${name} by ${asked}`);
    this.cluster.start(name);
  }

  async #drain(): Promise<void> {
    const members = this.#members();
    const [name, asked] = [this.#pick(members), this.#pick(this.#running())];
    if (members.length < 4 || name === null || asked === null) return;
    const wish: Wish = { kind: "drain", member: name, by: "tester", reason: null, ifVersion: null };
    const result = await planeOf(this.cluster, asked)
      .propose(wish, 10_000)
      .catch(() => null);
    if (result?.ok === true) this.#tell(`drain ${name}`);
  }

  // ---- what must hold

  /** Everything runs, and each member has the place that it should have. */
  async #settled(): Promise<void> {
    this.cluster.heal();
    this.#tell("settle");
    const untilMs = this.cluster.kernel.nowMs + SETTLE_MS;
    let why: string | null = "it has not begun";
    while (why !== null) {
      await this.#startAll();
      await this.cluster.kernel.sleep(1_000);
      why = this.#whyNotSettled();
      if (this.cluster.kernel.nowMs >= untilMs && why !== null)
        throw new Error(
          `not settled: ${why}\n${this.#running()
            .map((name) => this.#seen(name))
            .join("\n")}`,
        );
    }
    await elected(this.cluster);
  }

  #seen(name: string): string {
    const plane = planeOf(this.cluster, name);
    const { state, role, term, voters, learners, leader, indexes, reason } = plane.status();
    const roles = [...(plane.state?.members.values() ?? [])].map((one) => `${one.id}:${one.state}:${one.role}`);
    const group = `${voters.join(" ")} + ${learners.join(" ")}, leader ${leader}`;
    return (
      `${name} (${plane.state?.version}) ${state} ${role} in ${term}: ${group}; ${JSON.stringify(indexes)}; ` +
      `${reason ?? ""} waits for ${plane.waitsFor}; ${plane.advice}; ${roles.join(" ")}`
    );
  }

  #whyNotSettled(): string | null {
    const members = this.#members();
    const down = members.filter((name) => this.cluster.member(name).running === null);
    if (down.length > 0) return `${down.join(", ")} not up`;
    const hashes = new Set(planes(this.cluster).map(({ hash }) => hash));
    if (hashes.size !== 1 || hashes.has(null)) return "states differ";
    const leading = planes(this.cluster).find((plane) => plane.status().role === "leader");
    const { state } = leading ?? {};
    if (!leading || !state) return "no leader";
    if (state.cluster.incarnation !== 1) return "another incarnation";
    const odd = [...state.members.values()].find(
      (one) => one.state !== "active" || one.instance === null || planeOf(this.cluster, one.id).waitsFor !== null,
    );
    if (odd) return `${odd.id} is ${odd.state}: ${planeOf(this.cluster, odd.id).waitsFor}`;
    return this.#whyNotVoting(leading) ?? this.cluster.whyNotConverged(members);
  }

  #whyNotVoting(leading: ControlPlane): string | null {
    const { voters, outgoingVoters } = leading.status();
    const members = [...present(leading.state, "it leads").members.values()];
    const wanted = members.filter(({ role }) => role === "voter").map(({ id }) => id);
    const count = members.length < 3 ? 1 : members.length < 5 ? 3 : 5;
    const isSo = [...voters].sort().join() === wanted.sort().join() && wanted.length === count;
    return isSo && outgoingVoters.length === 0
      ? null
      : `${voters.join(" ")} vote, ${wanted.join(" ")} should: ${leading.advice}`;
  }

  async #until(isMet: () => boolean, what: string): Promise<void> {
    await this.cluster.until(isMet, SETTLE_MS, what);
  }

  async #watch(): Promise<void> {
    for (; !this.#isOver; await this.cluster.kernel.sleep(POLL_MS))
      for (const name of this.#running()) this.#look(name, planeOf(this.cluster, name));
  }

  /** One version is one state, one term has one leader. */
  #look(node: string, plane: ControlPlane): void {
    const { state, hash } = plane;
    if (state === null || hash === null) return;
    const version = `${state.cluster.incarnation}.${state.version}`;
    const seen = this.#hashes.get(version);
    if (seen && seen.hash !== hash) this.broken.push(`version ${version} differs at ${seen.node} and ${node}`);
    else if (!seen) this.#hashes.set(version, { hash, node });
    const { role, term } = plane.status();
    if (role !== "leader") return;
    const leader = this.#leaders.get(String(term));
    if (leader !== undefined && leader !== node) this.broken.push(`${leader} and ${node} lead in term ${term}`);
    this.#leaders.set(String(term), node);
  }

  get config(): string {
    return `${this.cluster.names.length} nodes, founded by ${this.#founders.map(parseNodeId).join(" ")}`;
  }
}
