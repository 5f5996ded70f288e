import { assertNever } from "../../src/kernel/assert.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import type { StoreImage } from "../../src/storage/memory.ts";
import { damageRow, damageSums } from "../../src/storage/memory.ts";
import { seqOf } from "./checkers/disk-state.ts";
import { type KeyId, keyId } from "./checkers/history.ts";
import type { Ledger } from "./checkers/ledger.ts";
import type { SimCluster } from "./cluster.ts";
import type { SimDisk } from "./disk.ts";
import { EVERYONE } from "./links.ts";
import type { Fault, Plan } from "./plan.ts";
import { pick } from "./workload.ts";

/** How long a machine stays down, a cut lasts, and so on: mostly short, sometimes long. */
const DOWN_MS = [50, 8_000] as const;
const CUT_MS = [200, 15_000] as const;
const STALL_MS = [50, 6_000] as const;
const DISK_TROUBLE_MS = [500, 20_000] as const;
const SLOW_DISK = 50;

/** These show in the trace as what they do. */
const TOLD_OTHERWISE: ReadonlySet<Fault> = new Set(["cut", "one-way", "flap", "crash", "restart", "stall"]);

/** Lets a seed's faults happen, until told to end. */
export class Trouble {
  readonly #cluster: SimCluster;
  readonly #ledger: Ledger;
  readonly #rng: Rng;
  readonly #images = new Map<string, StoreImage>();
  /** Nodes to be killed while they commit. */
  readonly #armed = new Set<string>();
  readonly #restarts = new Set<Promise<void>>();
  #isOver = false;

  constructor(cluster: SimCluster, ledger: Ledger, rng: Rng) {
    this.#cluster = cluster;
    this.#ledger = ledger;
    this.#rng = rng;
    ledger.onCommitting = (node) => this.#onCommitting(node);
  }

  start({ faults }: Plan): void {
    for (const [fault, everyMs] of faults) void this.#repeat(fault, everyMs);
  }

  /** No more trouble from now on: the network is sound, and nobody is killed any more. Resolves when those that were told
   *  to stop have done so (one that stands still does it late), and nobody stands still. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#armed.clear();
    for (const { node } of this.#cluster.members.values()) {
      node?.disk.spareNextCommit();
      if (node) Object.assign(node.disk, { slowness: 1, isFull: false });
    }
    this.#cluster.heal();
    const { regions, kernel } = this.#cluster;
    for (const a of regions)
      for (const b of regions)
        kernel.links.setQuality(a, b, {
          lossPercent: 0,
          duplicatePercent: 0,
          reorderPercent: 0,
          delayMs: a === b ? 0.25 : 40,
          jitterMs: a === b ? 0.25 : 5,
        });
    await Promise.all(this.#restarts);
    const { members } = this.#cluster;
    await this.#cluster.until(() => ![...members.values()].some(({ node }) => node?.stalled), 60_000, "all stalls end");
  }

  /** May this node stop by itself: has its disk failed a commit of this process, because it was told to? Asked of the disk:
   *  one can be told to fail again when it has done so already, but its node has not heard of that yet. */
  mayStop(name: string): boolean {
    return this.#cluster.member(name).node?.disk.hasFailed === true;
  }

  /** Starts it again after a while; after the end, at once. */
  async revive(name: string): Promise<void> {
    if (!this.#isOver) await this.#pause(DOWN_MS);
    if (!this.#cluster.isAlive(name)) this.#cluster.start(name);
  }

  async #repeat(fault: Fault, everyMs: number): Promise<void> {
    for (;;) {
      await this.#cluster.kernel.sleep(1 + this.#rng.unit() * 2 * everyMs);
      if (this.#isOver) return;
      await this.#strike(fault);
    }
  }

  async #strike(fault: Fault): Promise<void> {
    const name = pick(this.#cluster.names, this.#rng);
    if (!TOLD_OTHERWISE.has(fault)) this.#cluster.kernel.note("fault", fault, fault === "noise" ? undefined : name);
    switch (fault) {
      case "noise":
        this.#makeNoise();
        return;
      case "cut":
        return this.#cut(1, false);
      case "one-way":
        return this.#cut(1, true);
      case "flap":
        return this.#cut(3 + this.#rng.below(6), this.#rng.below(3) === 0);
      case "crash":
        return this.#crash(name);
      case "crash-in-commit":
        this.#armed.add(name);
        return;
      case "restart": {
        const restart = this.#restart(name).finally(() => this.#restarts.delete(restart));
        this.#restarts.add(restart);
        return restart;
      }
      case "stall":
        this.#cluster.stall(name, this.#between(STALL_MS));
        return;
      case "rollback":
        return this.#rollBack(name);
      case "fsync":
        this.#cluster.member(name).node?.disk.failNextCommit();
        return;
      case "damage":
        return this.#damage(name);
      case "lost-sums":
        return this.#loseSums(name);
      case "clock":
        this.#cluster.member(name).node?.clock.jump(this.#rng.below(20_000) - 10_000);
        return;
      case "slow-disk":
        return this.#troubleDisk(name, (disk, isOn) => {
          disk.slowness = isOn ? SLOW_DISK : 1;
        });
      case "full-disk":
        return this.#troubleDisk(name, (disk, isOn) => {
          disk.isFull = isOn;
        });
      default:
        return assertNever(fault);
    }
  }

  /** Short ones are more frequent than long ones. */
  #between([least, most]: readonly [number, number]): number {
    return least * (most / least) ** this.#rng.unit();
  }

  #pause(range: readonly [number, number]): Promise<void> {
    return this.#cluster.kernel.sleep(this.#between(range));
  }

  #makeNoise(): void {
    const { regions, kernel } = this.#cluster;
    const [a, b] = [pick(regions, this.#rng), pick(regions, this.#rng)];
    const upTo = (most: number): number => (this.#rng.below(2) === 0 ? 0 : this.#rng.unit() * most);
    kernel.links.setQuality(a, b, {
      lossPercent: upTo(40),
      duplicatePercent: upTo(30),
      reorderPercent: upTo(50),
      delayMs: 0.25 + upTo(300),
      jitterMs: 0.25 + upTo(100),
    });
  }

  /** Two regions, two nodes, or a node and everyone. */
  async #cut(times: number, oneWay: boolean): Promise<void> {
    const { kernel, names, regions } = this.#cluster;
    const places = this.#rng.below(2) === 0 ? regions : names;
    const from = pick(places, this.#rng);
    const to = this.#rng.below(5) < 2 ? EVERYONE : pick(places, this.#rng);
    if (from === to) return;
    for (let i = 0; i < times; i++) {
      if (this.#isOver) return;
      kernel.cut(from, to, { oneWay });
      await this.#pause(times === 1 ? CUT_MS : [50, 1_500]);
      kernel.heal(from, to);
      if (times > 1) await this.#pause([50, 1_500]);
    }
  }

  async #troubleDisk(name: string, set: (disk: SimDisk, isOn: boolean) => void): Promise<void> {
    const { node } = this.#cluster.member(name);
    if (!node) return;
    set(node.disk, true);
    await this.#pause(DISK_TROUBLE_MS);
    set(node.disk, false);
  }

  async #crash(name: string): Promise<void> {
    if (!this.#cluster.isAlive(name)) return;
    this.#cluster.crash(name, this.#rng.below(4) === 0 ? "machine" : "process");
    await this.revive(name);
  }

  /** In the middle of its next commit: the disk decides whether that is kept. */
  #onCommitting(name: string): void {
    if (!this.#armed.delete(name)) return;
    const { kernel } = this.#cluster;
    const { node } = this.#cluster.member(name);
    void kernel.sleep(this.#rng.unit() * 6).then(async () => {
      if (node?.alive && !this.#isOver) await this.#crash(name);
    });
  }

  async #restart(name: string): Promise<void> {
    const { node, running } = this.#cluster.member(name);
    if (!node?.alive || !running) return;
    // Its promises never resolve when it is killed meanwhile: give it a while, then kill it.
    let stopped = false;
    const end = (): void => {
      stopped = true;
    };
    // A disk that fails at the last save ends it too; whether it was told to, onNodeFailed asks.
    void running.stop().then(end, end);
    for (let i = 0; i < 100 && !stopped; i++) await this.#cluster.kernel.sleep(100);
    if (!node.alive) return;
    this.#cluster.crash(name);
    await this.revive(name);
  }

  /** Garbles a row of a stopped node, one that another node can heal: the last sound copy is nobody's to guess. */
  async #damage(name: string): Promise<void> {
    const others = this.#cluster.names.filter((other) => other !== name);
    const image = this.#cluster.image(name);
    if (!image || !this.#cluster.isAlive(name)) return;
    const damaged = new Map(others.map((other) => [other, this.#damagedLeaves(other)]));
    const canHeal = (other: string, id: KeyId): boolean =>
      !damaged.get(other)?.has(this.#leafOf(id)) && this.#canHeal(other, name, id);
    const rows = [...image.rows.values()].filter((row) => others.some((other) => canHeal(other, keyId(row))));
    if (rows.length === 0) return;
    const { bucket, key } = pick(rows, this.#rng);
    await this.#befall(name, (image) => damageRow(image, bucket, key, "flip"));
  }

  /** Garbles what a stopped node saved of a partition's sums. Where its log was cut it doubts all leaves of that partition
   *  then, so one other node must be able to heal them all. */
  async #loseSums(name: string): Promise<void> {
    const image = this.#cluster.image(name);
    if (!image || image.sums.size === 0 || !this.#cluster.isAlive(name)) return;
    const partition = pick([...image.sums.keys()], this.#rng);
    const ids = this.#keysOf(new Set([partition]));
    const canHealAll = (other: string): boolean => {
      const damaged = this.#damagedLeaves(other);
      return ids.every((id) => !damaged.has(this.#leafOf(id)) && this.#canHeal(other, name, id));
    };
    if (!this.#cluster.names.some((other) => other !== name && canHealAll(other))) return;
    await this.#befall(name, (image) => damageSums(image, partition));
  }

  /** Ends a process; its next one finds on the disk what became of it meanwhile. */
  async #befall(name: string, become: (image: StoreImage) => StoreImage): Promise<void> {
    this.#cluster.crash(name);
    const image = this.#cluster.image(name);
    if (image) this.#cluster.restoreImage(name, become(image));
    await this.revive(name);
  }

  #keysOf(partitions: ReadonlySet<number>): KeyId[] {
    return [...this.#ledger.byKey].filter(([, [write]]) => write && partitions.has(write.partition)).map(([id]) => id);
  }

  /** Leaves on a disk that are marked as damaged, hold a garbled row, or lost their sums. Asked of the disk itself: what
   *  befalls a stopped node's the ledger hears only when the node is up again. */
  #damagedLeaves(name: string): Set<string> {
    const image = this.#cluster.image(name);
    const marked = [...(image?.damaged.values() ?? [])].map(({ partition, leaf }) => `${partition} ${leaf}`);
    const garbled = [...(image?.rows.values() ?? [])].filter(({ isSound }) => !isSound);
    const doubted = this.#keysOf(image?.lostSums ?? new Set());
    return new Set([...marked, ...[...garbled.map(keyId), ...doubted].map((id) => this.#leafOf(id))]);
  }

  #leafOf(id: KeyId): string {
    const write = this.#ledger.byKey.get(id)?.[0];
    return `${write?.partition} ${write?.leaf}`;
  }

  /** Has one disk all of a key's leaf, and does the other's log reach back far enough for it to follow? (Who lies below the
   *  log would need a copy of the damaged partition first, and gets none.) */
  #canHeal(other: string, name: string, id: KeyId): boolean {
    const healer = this.#ledger.disk(other);
    const { applied, floors } = this.#ledger.disk(name);
    const leaf = new Set(this.#ledger.keysBeside(id));
    const partition = this.#ledger.byKey.get(id)?.[0]?.partition;
    if (partition === undefined) return false;
    const follows = [...(floors.get(partition) ?? [])].every(
      ([actor, seq]) => seqOf(healer.vectors, partition, actor) >= seq,
    );
    return follows && [...applied].every((write) => !leaf.has(keyId(write.key)) || healer.applied.has(write));
  }

  /** Puts an image back that was taken a while ago: a backup restored, a virtual machine rolled back. */
  async #rollBack(name: string): Promise<void> {
    const old = this.#images.get(name);
    const image = this.#cluster.image(name);
    if (image) this.#images.set(name, image);
    if (!old || !image || !this.#cluster.isAlive(name)) return;
    // What is damaged elsewhere may be sound here alone, and the older image may lie below the log that is cut there.
    if (this.#cluster.names.some((other) => other !== name && this.#damagedLeaves(other).size > 0)) return;
    await this.#befall(name, (before) => {
      this.#ledger.restored(name, before, old);
      return old;
    });
  }
}
