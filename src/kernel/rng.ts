/** Randomness as a machine is handed it. Real worlds seed it from the system, simulated ones from the run's seed. */
export interface Rng {
  /** 32 random bits. */
  u32(): number;
  /** A number in [0, 1). */
  unit(): number;
  /** An integer in [0, n). */
  below(n: number): number;
  /** A generator of its own, so that one part's draws don't shift another's. */
  fork(): Rng;
}

/** sfc32 (C. Doty-Humphrey, PractRand): small, fast, passes the usual batteries. Not for secrets. */
export function seededRng(seed: number): Rng {
  let a = 0x9e3779b9;
  let b = seed >>> 0;
  let c = Math.floor(seed / 2 ** 32) >>> 0;
  let counter = 1;
  const u32 = (): number => {
    const t = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + t) | 0;
    return t >>> 0;
  };
  for (let i = 0; i < 15; i++) u32();
  const unit = (): number => u32() / 2 ** 32;
  return { u32, unit, below: (n) => Math.floor(unit() * n), fork: () => seededRng(u32() + u32() * 2 ** 20) };
}

/** Fisher–Yates, in place. */
export function shuffle<T>(items: T[], rng: Rng): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = rng.below(i + 1);
    const held = items[i] as T;
    items[i] = items[j] as T;
    items[j] = held;
  }
  return items;
}
