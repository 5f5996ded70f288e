import {
  type FalsePositives,
  healing,
  lossyHours,
  slowMembers,
  stalls,
} from "../../gossip/swim/pool-trouble.test-kit.ts";
import { WITH_LIFEGUARD, WITHOUT_LIFEGUARD } from "../../gossip/swim/pool-variants.test-kit.ts";
import type { Figure } from "../machine.ts";
import { mean, type Size } from "./size.ts";

const STALL_MS_MAX = 5000;
/** Of 128 members 16 are slow: messages wait for up to 16 s, with up to 1 s in between. */
const SLOW = { members: 128, slow: 16, slowMsMax: 16_000, pauseMsMax: 1000 };

export function troubleFigures(size: Size): Figure[] {
  return [...lossFigures(size), ...stallFigures(size), ...slowFigures(size), healingFigure(size)];
}

function lossFigures(size: Size): Figure[] {
  const options = { seed: 4, lossPercent: 10 };
  const day = lossyHours(100, size.lossyHours, true, options);
  const udp = lossyHours(100, size.lossyHoursUdp, false, { ...options, ...WITH_LIFEGUARD });
  const without = lossyHours(100, size.lossyHoursUdp, false, { ...options, ...WITHOUT_LIFEGUARD });
  return [
    {
      name: `false deaths in ${size.lossyHours} h, N=100, 10 % loss each way`,
      value: day.deaths,
      unit: "deaths",
      aim: { atMost: 0 },
      note: `${day.suspicions} false suspicions: where UDP loses both ways and by all relays, the TCP ping gets through`,
    },
    {
      name: `false deaths in ${size.lossyHoursUdp} h, 10 % loss, no TCP at all`,
      value: udp.deaths,
      unit: "deaths",
      aim: { atMost: 0 },
      note: `${perBeliever(udp.suspicions)} false suspicions, each believed by all`,
    },
    {
      name: `false deaths in ${size.lossyHoursUdp} h, 10 % loss, no TCP, without Lifeguard`,
      value: without.deaths,
      unit: "deaths",
      note: `${perBeliever(without.suspicions)} false suspicions; a death is counted at each member that believes it`,
    },
  ];
}

function perBeliever(suspicions: number): string {
  return Math.round(suspicions / 99).toLocaleString("en");
}

function stallFigures(size: Size): Figure[] {
  const found = stalls(50, size.stalls, STALL_MS_MAX, { seed: 5, ...WITH_LIFEGUARD });
  const lossy = stalls(50, size.stalls, STALL_MS_MAX, { seed: 5, lossPercent: 10, ...WITH_LIFEGUARD });
  const without = stalls(50, size.stalls, STALL_MS_MAX, { seed: 5, ...WITHOUT_LIFEGUARD });
  return [
    {
      name: "false suspicions by who slept up to 5 s",
      value: found.bySleepers,
      unit: "suspicions",
      aim: { atMost: 0 },
      note: `N=50, ${size.stalls} stalls; without Lifeguard ${without.bySleepers}: what holds here is item 16 of the design, not Lifeguard`,
    },
    {
      name: "false suspicions by who slept up to 5 s, 10 % loss",
      value: lossy.bySleepers,
      unit: "suspicions",
      aim: { atMost: 0 },
      note: `as many stalls; probes that were lost and not yet asked for again when it fell asleep`,
    },
    {
      name: "stalls up to 5 s after which anybody held anybody for dead",
      value: found.dead,
      unit: "stalls",
      note: `of ${size.stalls}; without Lifeguard ${without.dead}, at 10 % loss ${lossy.dead}: a suspicion of the sleeper (${found.suspected} stalls) whose refutation gossip did not bring to one member`,
    },
  ];
}

function slowFigures(size: Size): Figure[] {
  const how = { ...SLOW, minutes: size.slowMinutes };
  const seeds = Array.from({ length: size.slowSeeds }, (_, i) => 6 + i);
  const sum = (variant: typeof WITH_LIFEGUARD): FalsePositives =>
    seeds
      .map((seed) => slowMembers(how, { seed, ...variant }))
      .reduce((a, b) => ({ all: a.all + b.all, atHealthy: a.atHealthy + b.atHealthy }));
  const found = sum(WITH_LIFEGUARD);
  const without = sum(WITHOUT_LIFEGUARD);
  return [
    {
      name: "slow members: false deaths without Lifeguard, ratio to with it",
      value: without.all / Math.max(1, found.all),
      unit: "×",
      note: `the paper's abstract: more than 50 × over its range of cases; at healthy members alone ${(without.atHealthy / Math.max(1, found.atHealthy)).toFixed(0)} ×`,
    },
    {
      name: "slow members: false deaths of healthy ones, with Lifeguard",
      value: found.all,
      unit: "deaths",
      note: `${SLOW.slow} of ${SLOW.members} slow for up to ${SLOW.slowMsMax / 1000} s, again and again for ${how.minutes} min, ${seeds.length} times; ${found.atHealthy} of them believed by healthy members`,
    },
    {
      name: "slow members: false deaths of healthy ones, without Lifeguard",
      value: without.all,
      unit: "deaths",
      note: `${without.atHealthy.toLocaleString("en")} of them believed by healthy members; a death is counted at each member that believes it`,
    },
  ];
}

function healingFigure(size: Size): Figure {
  const seconds = Array.from({ length: size.cuts }, (_, i) => healing(100, { seed: 10 + i }) / 1000);
  return {
    name: "a total cut of an hour heals, N=100, slowest",
    value: Math.max(...seconds),
    unit: "s",
    aim: { atMost: 60 },
    note: `${seconds.length} cuts into halves, mean ${mean(seconds).toFixed(1)} s; all know all again, unattended: by seeds and reconnects, each tried at least every 15 and 30 s`,
  };
}
