import { createHash } from "node:crypto";
import { apply, type Control, type Result, UNFOUNDED } from "../../src/control/apply.ts";
import { decodeCommand, encodeCommand } from "../../src/control/codec.ts";
import type { Command, CommandOf, Kind } from "../../src/control/commands.ts";
import type { Member, NewMember } from "../../src/control/schemas.ts";
import type { ControlState } from "../../src/control/state.ts";
import { present } from "../../src/kernel/assert.ts";

export const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest());
export const hashOfText = (text: string): string => createHash("sha256").update(text).digest("hex");

export type Fields<K extends Kind> = Omit<CommandOf<K>, keyof Envelope | "kind">;
export interface Envelope {
  readonly id: string;
  readonly basis: number;
  readonly level: number;
  readonly by: string;
  readonly atMs: number;
  readonly reason: string | null;
  readonly ifVersion: number | null;
}

export const START_MS = 1_000_000;
export const MINUTE_MS = 60_000;

export function nodeNamed(id: string, region = "eu", zone = "a"): NewMember {
  const port = 10_000 + Number.parseInt(hashOfText(id).slice(0, 3), 16);
  const at = (i: number): string => `${id}.example:${port + i}`;
  const addresses = { client: at(0), gossip: at(1), peer: at(2) };
  return { id, region, zone, weight: 100, addresses, protocol: { min: 1, max: 1 } };
}

export const FOUNDING = {
  cluster: { id: "cluster-0001", name: "birds", incarnation: 1, saltProof: hashOfText("salt") },
  partitionBits: 6,
};

/** Of the so-manieth log that a node has. */
export const instanceOf = (id: string, life = 1): string => hashOfText(`${id} log ${life}`).slice(0, 32);

/** The first one writes the group down. */
export const foundersOf = (...nodes: NewMember[]): Fields<"init">["founders"] =>
  nodes.map((node, i) => ({ ...node, instance: i === 0 ? instanceOf(node.id) : null }));

/** The control state as a log builds it, command by command; a minute passes between two. */
export class Cluster {
  control: Control = UNFOUNDED;
  index = 0;
  nowMs = START_MS;

  /** @param regions of n1, n2, …, all founders, who have claimed their logs */
  constructor(...regions: string[]) {
    if (regions.length === 0) return;
    this.found(...regions);
    for (const id of this.state.members.keys()) if (id !== "n1") this.claim(id);
  }

  /** By n1; nobody else has claimed a log then. */
  found(...regions: string[]): this {
    const founders = foundersOf(...regions.map((region, i) => nodeNamed(`n${i + 1}`, region)));
    return this.ok("init", { ...FOUNDING, founders });
  }

  /** A log for its node: its first or, after what cost it the one before, a later one. No minute passes. */
  claim(id: string, life = 1): this {
    const { addresses, protocol, weight, zone } = this.memberOf(id);
    const { nowMs } = this;
    this.ok("update-member", { member: id, addresses, protocol, weight, zone, instance: instanceOf(id, life) });
    this.nowMs = nowMs;
    return this;
  }

  memberOf(id: string): Member {
    return present(this.state.members.get(id), `${id} is a member`);
  }

  get state(): ControlState {
    return present(this.control.state, "the cluster was founded");
  }

  make<K extends Kind>(kind: K, fields: Fields<K>, envelope: Partial<Envelope> = {}): Command {
    const command = {
      kind,
      id: `command-${this.index + 1}`,
      basis: this.control.state?.version ?? 0,
      level: 1,
      by: "ada",
      atMs: this.nowMs,
      reason: null,
      ifVersion: null,
      ...fields,
      ...envelope,
    } as unknown as Command;
    // As it would come out of the log.
    return decodeCommand(encodeCommand(command), 2);
  }

  apply(command: Command): Result {
    this.index += 1;
    this.nowMs += MINUTE_MS;
    const { control, result } = apply(this.control, this.index, command);
    this.control = control;
    return result;
  }

  try<K extends Kind>(kind: K, fields: Fields<K>, envelope: Partial<Envelope> = {}): Result {
    return this.apply(this.make(kind, fields, envelope));
  }

  ok<K extends Kind>(kind: K, fields: Fields<K>, envelope: Partial<Envelope> = {}): this {
    const result = this.try(kind, fields, envelope);
    if (!result.ok) throw new Error(`${kind} was refused: ${result.slug}: ${result.message}`);
    return this;
  }

  /** With a token of its own; it has claimed its log then. */
  join(member: NewMember, more: Partial<Fields<"join">> = {}): this {
    return this.joinUnclaimed(member, more).claim(member.id);
  }

  joinUnclaimed(member: NewMember, more: Partial<Fields<"join">> = {}): this {
    const token = `token-of-${this.index}`;
    const tokenHash = hashOfText(`${token} secret`);
    const expiresAtMs = this.nowMs + 60 * MINUTE_MS;
    this.ok("token-create", { token, hash: tokenHash, uses: 1, region: null, expiresAtMs });
    return this.ok("join", { cluster: "birds", token, tokenHash, member, replace: null, ...more });
  }
}
