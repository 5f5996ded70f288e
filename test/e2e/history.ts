/** What became of a request: answered well, certainly without effect, or nobody knows. */
export type Outcome = "acknowledged" | "refused" | "unknown";

/** A write of one register. `value` is null for a delete. */
export interface Attempt {
  readonly node: string;
  readonly value: string | null;
  /** The values that the writer had seen, and thus knowingly replaces. */
  readonly replaces: readonly string[];
  readonly outcome: Outcome;
}

export interface Increment {
  readonly node: string;
  readonly by: number;
  readonly outcome: Outcome;
}

/** What one node shows at the end: the values side by side at each key, and each counter. */
export interface Shown {
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly counters: ReadonlyMap<string, number>;
}

/** Is it allowed that this acknowledged write is gone? Only where the sole disk that held it was damaged on purpose. */
export type MayBeLost = (attempt: Attempt | Increment) => boolean;

/** Every write that was tried and what was answered, and what these allow to be seen at the end. */
export class History {
  readonly registers = new Map<string, Attempt[]>();
  readonly counters = new Map<string, Increment[]>();

  add(key: string, attempt: Attempt): void {
    this.registers.set(key, [...(this.registers.get(key) ?? []), attempt]);
  }

  addIncrement(counter: string, increment: Increment): void {
    this.counters.set(counter, [...(this.counters.get(counter) ?? []), increment]);
  }

  count(outcome: Outcome): number {
    const all = [...this.registers.values(), ...this.counters.values()].flat();
    return all.filter((one) => one.outcome === outcome).length;
  }

  /** Sentences, one for each value that is lost, back, or from nowhere, and each counter that is out of its bounds. */
  violations({ values, counters }: Shown, mayBeLost: MayBeLost = () => false): string[] {
    const ofKeys = [...this.registers].flatMap(([key, attempts]) =>
      violationsOf(attempts, values.get(key) ?? [], mayBeLost).map((what) => `${key}: ${what}`),
    );
    const ofCounters = [...this.counters].flatMap(([name, increments]) => {
      const value = counters.get(name) ?? 0;
      const least = sum(increments.filter((one) => one.outcome === "acknowledged" && !mayBeLost(one)));
      const most = sum(increments.filter((one) => one.outcome !== "refused"));
      return value < least || value > most ? [`${name}: ${value} is not within ${least}..${most}`] : [];
    });
    return [...ofKeys, ...ofCounters];
  }
}

function sum(increments: readonly Increment[]): number {
  return increments.reduce((total, { by }) => total + by, 0);
}

function violationsOf(attempts: readonly Attempt[], shown: readonly string[], mayBeLost: MayBeLost): string[] {
  const found: string[] = [];
  const tried = attempts.filter(({ outcome }) => outcome !== "refused");
  for (const attempt of tried) {
    const { value, outcome, node } = attempt;
    const isReplaced = tried.some(({ replaces }) => value !== null && replaces.includes(value));
    if (outcome !== "acknowledged" || mayBeLost(attempt)) continue;
    if (value !== null && !shown.includes(value) && !isReplaced)
      found.push(`${value} (acknowledged by ${node}) is lost`);
    for (const old of attempt.replaces)
      if (shown.includes(old)) found.push(`${old} is back, though ${node} acknowledged what replaced it`);
  }
  for (const value of shown)
    if (!tried.some((attempt) => attempt.value === value)) found.push(`${value} comes from nowhere`);
  return found;
}
