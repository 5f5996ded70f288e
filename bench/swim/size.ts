/** How much of everything is measured. */
export interface Size {
  readonly crashes: number;
  readonly crashesWithoutLifeguard: number;
  readonly deaths: number;
  readonly lossyHours: number;
  readonly lossyHoursUdp: number;
  readonly stalls: number;
  readonly slowSeeds: number;
  readonly slowMinutes: number;
  readonly cuts: number;
  /** Whole push/pull intervals of pools of 100 and 5,000: 90 and 270 s. */
  readonly idleMinutes: number;
}

const WHOLE: Size = {
  crashes: 4000,
  crashesWithoutLifeguard: 500,
  deaths: 25,
  lossyHours: 24,
  lossyHoursUdp: 2,
  stalls: 600,
  slowSeeds: 4,
  slowMinutes: 3,
  cuts: 5,
  idleMinutes: 9,
};

const QUICK: Size = {
  crashes: 100,
  crashesWithoutLifeguard: 50,
  deaths: 2,
  lossyHours: 1,
  lossyHoursUdp: 1,
  stalls: 50,
  slowSeeds: 1,
  slowMinutes: 1,
  cuts: 1,
  idleMinutes: 2,
};

export function sizeOf(isQuick: boolean): Size {
  return isQuick ? QUICK : WHOLE;
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
