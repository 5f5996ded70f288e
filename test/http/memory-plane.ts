import type { ClusterConfig } from "../../src/config/types.ts";
import { NO_FIGURES, type RaftStatus } from "../../src/consensus/driver/status.ts";
import type { Result } from "../../src/control/apply.ts";
import { type Going, type Obstacle, obstaclesTo } from "../../src/control/checks.ts";
import { encodeCommand } from "../../src/control/codec.ts";
import type { GroupView } from "../../src/control/group.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import { type ControlState, votersWanted } from "../../src/control/state.ts";
import { present } from "../../src/kernel/assert.ts";
import { OutcomeUnknown, type PlaneApi, RaftRefusal, type Wish } from "../../src/plane/api.ts";
import { commandOf } from "../../src/plane/command-of.ts";
import { foundingOf } from "../../src/plane/founding.ts";
import type { World } from "../../src/world/world.ts";

/** The control plane of one node, without Raft: the real state machine, fed with each command as it comes. */
export class MemoryPlane implements PlaneApi {
  readonly machine: ControlMachine;
  readonly listeners = new Set<() => void>();
  readonly waitsFor = null;
  readonly advice = "the voters are as they should be";
  /** This node leads unless a test says otherwise. */
  leader: string | null;
  term = 3;
  /** What becomes of the next proposals. */
  mode: "applied" | "unknown" = "applied";
  /** What a leader knows of who answers. */
  group: GroupView | null = null;
  /** When gossip heard of whom (wall ms). */
  readonly heard = new Map<string, number>();
  #index = 1;
  #snapshotIndex = 0;
  readonly #node: string;
  readonly #world: Pick<World, "clock" | "rng" | "sha256">;

  constructor(node: string, cluster: ClusterConfig, world: Pick<World, "clock" | "rng" | "sha256">) {
    this.#node = node;
    this.#world = world;
    this.leader = node;
    this.machine = new ControlMachine(world.sha256);
    const [self] = cluster.owners.map((owner) => owner.id).sort();
    const founders = cluster.owners.map(({ id, region }) => ({ id, region, zone: "", peer: null }));
    const founding = { instance: "0".repeat(32), partitionBits: 6, atMs: 0 };
    this.machine.restore(
      foundingOf({ cluster, self: present(self, "somebody owns") }, founders, founding, world.sha256),
    );
  }

  get state(): ControlState | null {
    return this.machine.state;
  }

  get hash(): string | null {
    return this.machine.hash();
  }

  get feed(): ControlMachine["feed"] {
    return this.machine.feed;
  }

  status(): RaftStatus {
    const voters = votersWanted(present(this.state, "it was founded"));
    const isLeader = this.leader === this.#node;
    const others = [...present(this.state, "it was founded").members.keys()].filter((id) => id !== this.#node);
    return {
      state: "running",
      reason: null,
      instance: "0123456789abcdef".repeat(2),
      node: this.#node,
      role: isLeader ? "leader" : "follower",
      term: this.term,
      leader: this.leader,
      voters,
      outgoingVoters: [],
      learners: [],
      indexes: {
        last: this.#index + 2,
        committed: this.#index + 1,
        applied: this.#index,
        first: this.#snapshotIndex + 1,
      },
      followers: isLeader
        ? others.map((node) => ({
            node,
            isLearner: false,
            state: "replicate",
            match: 1,
            lagEntries: 7,
            isActive: true,
          }))
        : [],
      figures: {
        ...NO_FIGURES,
        terms: 4,
        leaders: 2,
        proposalMs: { count: 2, totalMs: 8, p50Ms: 3, p99Ms: 5, maxMs: 5 },
        messagesReceived: 0,
        messagesRefused: 0,
      },
    };
  }

  links(): ReturnType<PlaneApi["links"]> {
    return [{ node: "us-1", isUp: true, rttMs: 80, dropped: 0, reason: null }];
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async propose(wish: Wish): Promise<Result> {
    const command = commandOf(wish, this.state?.version ?? 0, this.#world);
    this.#mustLead();
    if (this.mode === "unknown") throw new OutcomeUnknown("handed on, and nobody answered");
    this.#index += 1;
    const result = this.machine.apply({ index: this.#index, bytes: encodeCommand(command) });
    this.tell();
    return result;
  }

  preview(wish: Wish): Result {
    return this.machine.preview(commandOf(wish, this.state?.version ?? 0, this.#world));
  }

  obstacles(going: Going, id: string): readonly Obstacle[] {
    const nowMs = this.#world.clock.monotonicMs();
    const group = this.leader === this.#node ? this.group : null;
    return obstaclesTo(going, present(this.state, "it was founded"), id, group && { group, nowMs });
  }

  heardAtMs(id: string): number | null {
    return this.heard.get(id) ?? null;
  }

  async read(): Promise<ControlState> {
    this.#mustLead();
    return present(this.state, "it was founded");
  }

  async snapshot(): ReturnType<PlaneApi["snapshot"]> {
    const isNew = this.#snapshotIndex < this.#index;
    this.#snapshotIndex = this.#index;
    return { index: this.#index, bytes: this.machine.snapshot().length, isNew };
  }

  /** Another leader, or none. */
  lead(leader: string | null): void {
    this.leader = leader;
    this.term += 1;
    this.tell();
  }

  tell(): void {
    for (const listener of this.listeners) listener();
  }

  #mustLead(): void {
    if (this.leader === null) throw new RaftRefusal("no-leader", "the group has no leader now: try again", 1_500);
  }
}
