import { type Idle, idle, idleSampled } from "../../gossip/swim/pool-idle.test-kit.ts";
import type { Figure } from "../machine.ts";
import type { Size } from "./size.ts";

const BYTES_MAX = 250;
const GROWTH_PERCENT_MAX = 5;
const IP_AND_UDP_BYTES = 28;
/** Whole tables in a pool of 5,000. */
const SAMPLED = 50;

export function idleFigures({ idleMinutes }: Size): Figure[] {
  const found: readonly (readonly [string, Idle])[] = [
    ["100", idle(100, idleMinutes, 3)],
    ["1,000", idle(1000, Math.min(3, idleMinutes), 3)],
    ["5,000", idleSampled(5000, SAMPLED, idleMinutes, 3)],
  ];
  const asAgents: readonly (readonly [string, Idle])[] = [
    ["100", idle(100, idleMinutes, 3, false)],
    ["1,000", idle(1000, Math.min(3, idleMinutes), 3, false)],
    ["5,000", idleSampled(5000, SAMPLED, idleMinutes, 3, false)],
  ];
  const udp = (one: Idle): number => one.udpBytesPerSecond;
  const all = (one: Idle): number => one.udpBytesPerSecond + one.tableBytesPerSecond;
  const growth = (of: (one: Idle) => number): number => 100 * (of(lastOf(found)) / of(firstOf(found)) - 1);
  return [
    ...found.map(([members, one]) => ({
      name: `idle, probing (UDP payload), N=${members}`,
      value: udp(one),
      unit: "B/s",
      aim: { atMost: BYTES_MAX },
      note: `each way; ${one.packetsPerSecond.toFixed(2)} packets/s (SWIM: a ping and an ack each period, whatever N), ${udpWithHeaders(one).toFixed(0)} B/s with IP and UDP headers`,
    })),
    {
      name: "idle, probing, growth from N=100 to 5,000",
      value: growth(udp),
      unit: "%",
      aim: { atMost: GROWTH_PERCENT_MAX },
      note: `what grows is members' names; at 5,000 there are ${SAMPLED} whole tables, the others stand in at the rates of so large a pool`,
    },
    ...found.map(([members, one]) => ({
      name: `idle, with comparing tables (TCP payload), N=${members}`,
      value: all(one),
      unit: "B/s",
      aim: { atMost: BYTES_MAX },
      note: `hashes of tables ${one.tableBytesPerSecond.toFixed(1)} B/s each way, every 30 s · (1 + ceil(log2(N/32))); they are the same in an idle pool, so no table is sent`,
    })),
    {
      name: "idle, with comparing tables, growth from N=100 to 5,000",
      value: growth(all),
      unit: "%",
      aim: { atMost: GROWTH_PERCENT_MAX },
    },
    ...asAgents.map(([members, one]) => ({
      name: `idle, as memberlist: whole tables each time, N=${members}`,
      value: all(one),
      unit: "B/s",
      note: `tables ${one.tableBytesPerSecond.toFixed(0)} B/s each way, compressed below 1 MiB: so it is among serf's agents, who know no hashes`,
    })),
  ];
}

function udpWithHeaders({ udpBytesPerSecond, packetsPerSecond }: Idle): number {
  return udpBytesPerSecond + packetsPerSecond * IP_AND_UDP_BYTES;
}

function firstOf(found: readonly (readonly [string, Idle])[]): Idle {
  return (found[0] as readonly [string, Idle])[1];
}

function lastOf(found: readonly (readonly [string, Idle])[]): Idle {
  return (found.at(-1) as readonly [string, Idle])[1];
}
