import { type Crash, deaths, firstSuspicions } from "../../gossip/swim/pool-crashes.test-kit.ts";
import { WITH_LIFEGUARD, WITHOUT_LIFEGUARD } from "../../gossip/swim/pool-variants.test-kit.ts";
import { LAN } from "../../gossip/swim/profile.ts";
import type { Figure } from "../machine.ts";
import { percentile } from "../machine.ts";
import { mean, type Size } from "./size.ts";

const SMALL = 100;
const LARGE = 1000;

export function detectionFigures(size: Size): Figure[] {
  return [...suspicionFigures(size), ...deathFigures(size)];
}

/** A failed member is asked first after t periods or more with probability (1 − t/(N−1))^(N−1): every other one asks it
 *  once in N−1 periods, at a moment of its own. At the end of that probe's period it is suspected. */
function expectedPeriods(members: number): { mean: number; p99: number } {
  const others = members - 1;
  return { mean: 1 + others / members, p99: 1 + others * (1 - 0.01 ** (1 / others)) };
}

/** Of a p99 out of so many: what lies beyond the first period is nearly exponential, so that its density there is 0.01. */
function p99StandardError(samples: number): number {
  return Math.sqrt((0.99 * 0.01) / samples) / 0.01;
}

function suspicionFigures(size: Size): Figure[] {
  const inPeriods = (ms: number): number => ms / LAN.probeIntervalMs;
  const found = firstSuspicions(SMALL, size.crashes, { seed: 1, ...WITH_LIFEGUARD }).map(inPeriods);
  const without = firstSuspicions(SMALL, size.crashesWithoutLifeguard, { seed: 1, ...WITHOUT_LIFEGUARD }).map(
    inPeriods,
  );
  const expected = expectedPeriods(SMALL);
  const swimT = (1 / (1 - Math.exp(-1))).toFixed(2);
  const samples = `N=${SMALL}, ${found.length.toLocaleString("en")} crashes`;
  return [
    {
      name: "first suspicion after a crash, mean",
      value: mean(found),
      unit: "T",
      aim: { atMost: 2.1 },
      note: `${samples}; by formula ${expected.mean.toFixed(2)} T; SWIM: T/(1 - 1/e) = ${swimT} T where all probe at once`,
    },
    {
      name: "first suspicion after a crash, p99",
      value: percentile(found, 0.99),
      unit: "T",
      aim: { atMost: 5.6 },
      note: `by formula ${expected.p99.toFixed(2)} T; standard error ${p99StandardError(found.length).toFixed(2)} T`,
    },
    {
      name: "first suspicion, without Lifeguard, mean",
      value: mean(without),
      unit: "T",
      note: `${without.length} crashes, p99 ${percentile(without, 0.99).toFixed(2)} T; of the same ${without.length} with Lifeguard ${mean(found.slice(0, without.length)).toFixed(2)} T: healthy members wait no longer`,
    },
  ];
}

function deathFigures(size: Size): Figure[] {
  const found = deaths(LARGE, size.deaths, { seed: 2, ...WITH_LIFEGUARD });
  const without = deaths(LARGE, size.deaths, { seed: 2, ...WITHOUT_LIFEGUARD });
  const seconds = (crashes: readonly Crash[], of: (crash: Crash) => number): number => mean(crashes.map(of)) / 1000;
  const everyone = (crashes: readonly Crash[]): number[] => crashes.map(({ everyoneMs }) => everyoneMs / 1000);
  // Pushing to f others a round infects all in about log(f+1) N + ln(N)/f rounds (Pittel 1987, for f at a time).
  const rounds = Math.log(LARGE) / Math.log(LAN.gossipFanOut + 1) + Math.log(LARGE) / LAN.gossipFanOut;
  return [
    {
      name: "everyone knows of a death, N=1,000, mean",
      value: mean(everyone(found)),
      unit: "s",
      aim: { atMost: 16 },
      note: `${found.length} crashes, until the last of ${LARGE - 1} knows; slowest ${Math.max(...everyone(found)).toFixed(1)} s; formula: 2 T + 12 s of suspicion + two spreads`,
    },
    {
      name: "everyone knows of a death, N=1,000, without Lifeguard",
      value: mean(everyone(without)),
      unit: "s",
      note: `${without.length} crashes, slowest ${Math.max(...everyone(without)).toFixed(1)} s; confirmations bring the suspicion down to the same 12 s`,
    },
    {
      name: "a suspicion reaches everyone, N=1,000, mean",
      value: seconds(found, ({ spreadMs }) => spreadMs),
      unit: "s",
      note: `without Lifeguard ${seconds(without, ({ spreadMs }) => spreadMs).toFixed(2)} s; log4 N + ln(N)/3 rounds of 200 ms are ${(rounds * 0.2).toFixed(2)} s`,
    },
  ];
}
