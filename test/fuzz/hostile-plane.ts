import type { Saved } from "../../src/consensus/core/core.ts";
import { encodeCommand } from "../../src/control/codec.ts";
import { ControlMachine } from "../../src/control/machine.ts";
import { parseNodeId, parseRegion } from "../../src/kernel/ids.ts";
import { PeerDoor } from "../../src/peer/door.ts";
import type { Hello } from "../../src/peer/frames.ts";
import { makeHello } from "../../src/peer/hello.ts";
import { commandOf } from "../../src/plane/command-of.ts";
import { foundingOf } from "../../src/plane/founding.ts";
import { ControlPlane } from "../../src/plane/plane.ts";
import { Owners } from "../../src/replication/owners.ts";
import { MemoryRaftStore } from "../../src/storage/memory-raft.ts";
import { testConfig } from "../http/harness.ts";
import { HostileWorld } from "./hostile-world.ts";

export const SELF = "a";
export const MEMBERS = ["a", "b", "c"] as const;
export const REMOVED = "gone";
export const STRANGER = "nobody";
const LOG_INDEX = 20;
const INSTANCE_OF = (name: string): string => name.charCodeAt(0).toString(16).padStart(32, "0");

/** Follower: one of three that vote. Leader: it votes alone, and leads. Aside: the agreed state knows another log of its. */
export const SEATS = ["follower", "leader", "aside"] as const;
export type SeatKind = (typeof SEATS)[number];

const SALT = new Uint8Array(16).fill(7);

export function helloOf(node: string, world: HostileWorld["world"], more: Partial<Hello> = {}): Hello {
  const parts = { cluster: { id: "c-1", salt: SALT }, node: { id: node, region: "eu" } };
  const hello = makeHello({ ...parts, layout: { partitionBits: 6, leafBits: 10 } }, world.sha256);
  return { ...hello, traffic: "control", epoch: 1, ...more };
}

/** A node's whole part in the control plane, over the links that callers open, with nothing around it. */
export class HostilePlane {
  readonly kind: SeatKind;
  readonly hostile: HostileWorld;
  readonly door: PeerDoor;
  plane!: ControlPlane;
  /** Why it would have stopped the process. */
  failure: string | null = null;

  static async open(kind: SeatKind): Promise<HostilePlane> {
    const raft = new MemoryRaftStore();
    const one = new HostilePlane(kind, new HostileWorld(raft));
    const instance = kind === "aside" ? "f".repeat(32) : INSTANCE_OF(SELF);
    await raft.create({ cluster: "c-1", node: SELF, instance }, one.#saved());
    await one.#open();
    return one;
  }

  private constructor(kind: SeatKind, hostile: HostileWorld) {
    this.kind = kind;
    this.hostile = hostile;
    const { world } = hostile;
    const mine = helloOf(SELF, world);
    this.door = new PeerDoor({ world, mine, heartbeatMs: 1_000, attribute: () => {} });
  }

  async #open(): Promise<void> {
    const { world } = this.hostile;
    const base = testConfig();
    const owners = [{ id: parseNodeId(SELF), region: parseRegion("eu") }];
    const opened = ControlPlane.open({
      config: { ...base, node: { ...base.node, id: parseNodeId(SELF) }, cluster: { ...base.cluster, owners } },
      world,
      partitionBits: 6,
      owners: new Owners(parseNodeId(SELF), owners),
      door: this.door,
      notebook: { remembered: new Map(), remember: () => Promise.resolve(true) },
      copy: { isCaughtUp: () => true, written: () => [], isHandedOver: () => false },
      addresses: () => null,
      gossipedAddress: () => null,
      neighbours: () => [],
      onGone: (why) => this.#fail(`gone: ${why}`),
      onFailure: (why) => this.#fail(why),
    }).then((plane) => {
      this.plane = plane;
    });
    await this.hostile.settle();
    await opened;
    await this.hostile.pass(this.kind === "leader" ? 200 : 0);
  }

  #fail(why: string): void {
    this.failure ??= why;
  }

  /** A log at whose start a, b and c are members, `gone` was one, and all have claimed their logs. */
  #saved(): Saved {
    const { world } = this.hostile;
    const machine = new ControlMachine(world.sha256);
    const founders = [...MEMBERS, REMOVED].map((id) => ({ id, region: "eu", zone: "", peer: null }));
    const founding = { instance: INSTANCE_OF(SELF), partitionBits: 6, atMs: 0 };
    const cluster = { id: "c-1", name: "test", salt: SALT };
    machine.restore(foundingOf({ cluster, self: SELF }, founders, founding, world.sha256));
    const by = { by: "test", reason: null, ifVersion: null };
    const addresses = { client: null, gossip: null, peer: null };
    const protocol = { min: 1, max: 1 };
    const wishes: Parameters<typeof commandOf>[0][] = [
      ...MEMBERS.slice(1).map(
        (member) =>
          ({
            kind: "update-member",
            member,
            instance: INSTANCE_OF(member),
            addresses,
            protocol,
            weight: 100,
            zone: "",
            ...by,
          }) as const,
      ),
      { kind: "remove", member: REMOVED, cluster: "test", ...by },
    ];
    for (const [i, wish] of wishes.entries())
      machine.apply({ index: 2 + i, bytes: encodeCommand(commandOf(wish, 1 + i, world)) });
    const incoming = this.kind === "leader" ? [SELF] : [...MEMBERS];
    const learners = this.kind === "leader" ? ["b", "c"] : [];
    const group = { incoming, outgoing: [], learners, learnersNext: [], autoLeave: false };
    return {
      hardState: { term: 3, vote: null, committed: LOG_INDEX },
      snapshot: { index: LOG_INDEX, term: 2, group, data: machine.snapshot() },
      entries: [],
    };
  }

  /** What must be as it was when nobody said anything that counts. */
  get picture(): string {
    const { state, role, term, voters, learners, indexes, instance } = this.plane.status();
    return JSON.stringify([this.plane.hash, state, role, term, voters, learners, indexes, instance]);
  }
}
