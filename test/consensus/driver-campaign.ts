import type { MemberChange } from "../../src/consensus/core/configuration.ts";
import { OutcomeUnknown, RaftRefusal } from "../../src/consensus/driver/refusal.ts";
import { utf8 } from "../../src/kernel/bytes.ts";
import { type Rng, seededRng } from "../../src/kernel/rng.ts";
import { EVERYONE } from "../sim/links.ts";
import type { Member } from "./members.ts";
import { INSTANCE } from "./members.ts";
import { SimGroup } from "./sim-group.ts";

const BUSY_MS = 25_000;
const CLIENTS = 3;

/** What clients saw of a word. */
interface Said {
  readonly word: string;
  readonly startMs: number;
  endMs: number;
  /** Its index when it was acknowledged. */
  outcome: number | "refused" | "unknown";
}

export interface CampaignResult {
  readonly acknowledged: number;
  readonly refused: number;
  readonly unknown: number;
  readonly reads: number;
  readonly starts: number;
  readonly changes: number;
  readonly traceHash: string;
}

/** One seed: members on machines that crash, stand still, are cut off, have slow and failing disks, while clients propose and
 *  read at any of them. Throws with what did not hold. */
export async function driverCampaign(seed: number): Promise<CampaignResult> {
  const rng = seededRng(seed);
  const names = ["n1", "n2", "n3", "n4", "n5"].slice(0, rng.below(2) === 0 ? 3 : 5);
  const group = new SimGroup(seed, names, { compactEntries: rng.below(2) === 0 ? 8 : 1_000 });
  return group.run(() => new Campaign(group, rng).run());
}

class Campaign {
  readonly #group: SimGroup;
  readonly #rng: Rng;
  readonly #said: Said[] = [];
  readonly #leaders = new Map<number, string>();
  #reads = 0;
  #starts = 0;
  #changes = 0;
  readonly #members: Member[] = [];
  #isOver = false;

  constructor(group: SimGroup, rng: Rng) {
    this.#group = group;
    this.#rng = rng;
  }

  async run(): Promise<CampaignResult> {
    const { kernel, names } = this.#group;
    for (const name of names) await (await this.#start(name)).host.found(names, utf8("first"), INSTANCE);
    const clients = Array.from({ length: CLIENTS }, (_, i) => this.#client(i));
    while (kernel.nowMs < BUSY_MS) {
      await kernel.sleep(100 + this.#rng.below(1_500));
      await this.#fault();
    }
    kernel.heal();
    for (const name of names) {
      const node = this.#group.nodes.get(name);
      if (node) node.disk.slowness = 1;
      node?.disk.spareNextCommit();
      if (!node?.alive || this.#group.at(name).failures.length > 0) await this.#restart(name);
    }
    this.#isOver = true;
    await Promise.all(clients);
    await this.#group.elected(20_000);
    for (let i = 0; i === 0 || typeof this.#said.at(-1)?.outcome !== "number"; i++) {
      if (i === 20) throw new Error("nobody takes a word any more");
      await this.#say(names[0] ?? "", `last.${i}`);
    }
    await this.#group.level();
    this.#check();
    const count = (what: Said["outcome"]): number => this.#said.filter(({ outcome }) => outcome === what).length;
    return {
      acknowledged: this.#said.filter(({ outcome }) => typeof outcome === "number").length,
      refused: count("refused"),
      unknown: count("unknown"),
      reads: this.#reads,
      starts: this.#starts,
      changes: this.#changes,
      traceHash: kernel.traceHash(),
    };
  }

  async #start(name: string): Promise<Member> {
    this.#starts += 1;
    const member = await this.#group.start(name);
    const { host } = member;
    this.#members.push(member);
    if (host.status().state === "damaged") throw new Error(`${name}: ${host.status().reason}`);
    host.onLeader((leader, term) => {
      if (leader === null) return;
      const known = this.#leaders.get(term) ?? leader;
      this.#leaders.set(term, known);
      if (known !== leader) throw new Error(`term ${term} has two leaders: ${known} and ${leader}`);
    });
    return member;
  }

  async #restart(name: string): Promise<void> {
    this.#group.crash(name);
    await this.#start(name);
  }

  async #fault(): Promise<void> {
    const { kernel, names, nodes } = this.#group;
    const name =
      this.#rng.below(3) === 0 ? (this.#group.leader() ?? "n1") : (names[this.#rng.below(names.length)] ?? "");
    const node = nodes.get(name);
    const hasFailed = node?.alive && this.#group.at(name).failures.length > 0;
    if (!node?.alive || hasFailed) await this.#restart(name);
    else {
      const faults = [
        () => this.#group.crash(name),
        () => this.#restart(name),
        () => node.stall(this.#rng.below(4_000)),
        () => kernel.cut(name, EVERYONE),
        () => kernel.cut(name, names[this.#rng.below(names.length)] ?? "", { oneWay: true }),
        () => kernel.heal(),
        () => kernel.heal(),
        () => kernel.heal(),
        () => kernel.heal(),
        () => {
          node.disk.slowness = 1 + this.#rng.below(2) * this.#rng.below(60);
        },
        () => node.disk.failNextCommit(),
        () => this.#change(name),
        () => this.#change(name),
        () => this.#transfer(name),
      ];
      await faults[this.#rng.below(faults.length)]?.();
    }
  }

  /** Somebody votes or listens from now on, perhaps two at once; nobody waits for it. */
  #change(name: string): void {
    const { names } = this.#group;
    const kind = this.#rng.below(3) === 0 ? "learner" : "voter";
    const other = names[this.#rng.below(names.length)] ?? "";
    const changes: MemberChange[] = [{ kind, id: name }];
    if (other !== name && this.#rng.below(2) === 0) changes.push({ kind: "voter", id: other });
    const leader = this.#group.leader() ?? name;
    this.#group
      .at(leader)
      .host.changeGroup({ transition: "auto", changes }, 2_000)
      .then(
        () => {
          this.#changes += 1;
        },
        (error: unknown) => {
          if (!(error instanceof RaftRefusal || error instanceof OutcomeUnknown)) throw error;
        },
      );
  }

  #transfer(name: string): void {
    try {
      this.#group.at(this.#group.leader() ?? name).host.transfer(name);
    } catch (error) {
      if (!(error instanceof RaftRefusal)) throw error;
    }
  }

  // ---- clients

  async #client(number: number): Promise<void> {
    const { kernel, names } = this.#group;
    const rng = this.#rng.fork();
    for (let i = 0; !this.#isOver; i++) {
      await kernel.sleep(rng.below(300));
      const name = names[rng.below(names.length)] ?? "";
      if (!this.#group.nodes.get(name)?.alive || !this.#group.isRunning(name)) continue;
      if (rng.below(3) === 0) await this.#read(name);
      else await this.#say(name, `${number}.${i}`);
    }
  }

  /** Its node may die while it waits: then nobody answers. */
  #orGone<T>(name: string, promise: Promise<T>): Promise<T> {
    const node = this.#group.nodes.get(name);
    return new Promise((resolve, reject) => {
      promise.then(resolve, reject);
      const gone = (): void => reject(new OutcomeUnknown("its node is gone"));
      this.#group.kernel.until(() => node?.alive !== true, 60_000).then(gone, gone);
    });
  }

  async #say(name: string, word: string): Promise<void> {
    const { kernel } = this.#group;
    const said: Said = { word, startMs: kernel.nowMs, endMs: 0, outcome: "unknown" };
    this.#said.push(said);
    try {
      const { index } = await this.#orGone(name, this.#group.at(name).host.propose(utf8(word), 2_000));
      said.outcome = index;
    } catch (error) {
      if (error instanceof RaftRefusal) said.outcome = "refused";
      else if (!(error instanceof OutcomeUnknown)) throw error;
    }
    said.endMs = kernel.nowMs;
  }

  async #read(name: string): Promise<void> {
    const known = Math.max(0, ...this.#said.map(({ outcome }) => (typeof outcome === "number" ? outcome : 0)));
    const member = this.#group.at(name);
    try {
      const index = await this.#orGone(name, member.host.read(2_000));
      if (index < known) throw new Error(`a read at ${name} gave ${index}, and ${known} was acknowledged before`);
      this.#reads += 1;
    } catch (error) {
      if (!(error instanceof RaftRefusal || error instanceof OutcomeUnknown)) throw error;
    }
  }

  // ---- what must hold

  #check(): void {
    const members = this.#group.running();
    for (const { host, failures } of this.#members)
      for (const reason of failures)
        if (!/fsync failed/.test(reason)) throw new Error(`${host.node} stopped: ${reason}`);
    const words = members[0]?.ledger.words ?? [];
    for (const { ledger, host } of members)
      if (ledger.words.join() !== words.join()) throw new Error(`${host.node} has other words than the first`);
    if (new Set(words).size !== words.length) throw new Error("a word is there twice");
    const place = new Map(words.map((word, i) => [word, i]));
    const acknowledged = this.#said.filter(({ outcome }) => typeof outcome === "number");
    for (const { word } of acknowledged) if (!place.has(word)) throw new Error(`${word} was acknowledged and is lost`);
    for (const { word, outcome } of this.#said)
      if (outcome === "refused" && place.has(word)) throw new Error(`${word} was refused and is there`);
    for (const a of acknowledged)
      for (const b of acknowledged)
        if (a.endMs < b.startMs && (place.get(a.word) ?? 0) > (place.get(b.word) ?? 0))
          throw new Error(`${a.word} was acknowledged before ${b.word} began, and stands behind it`);
  }
}
