// Finer below 10 ms, where most answers are; each bound is a series per route and method.
const BOUNDS_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5];

const COUNT = "starling_http_requests_total";
const SECONDS = "starling_http_request_seconds";

interface Series {
  readonly statuses: Map<number, number>;
  /** Answers at or below each bound and above the one before it; the last ones above all. */
  readonly counts: number[];
  sumSeconds: number;
}

/** Counts and times of answered requests, as plain numbers until somebody asks: prom-client's own counter and histogram
 *  took a seventh of a read's time. */
export class RequestFigures {
  readonly #routes = new Map<string, Map<string, Series>>();

  /** `route` and `method` are from lists of ours, so that there are few series. */
  note(route: string, method: string, status: number, seconds: number): void {
    const series = this.#series(route, method);
    series.statuses.set(status, (series.statuses.get(status) ?? 0) + 1);
    series.sumSeconds += seconds;
    let i = 0;
    while (i < BOUNDS_SECONDS.length && seconds > (BOUNDS_SECONDS[i] as number)) i++;
    series.counts[i] = (series.counts[i] as number) + 1;
  }

  #series(route: string, method: string): Series {
    let methods = this.#routes.get(route);
    if (!methods) {
      methods = new Map();
      this.#routes.set(route, methods);
    }
    let series = methods.get(method);
    if (!series) {
      series = { statuses: new Map(), counts: new Array<number>(BOUNDS_SECONDS.length + 1).fill(0), sumSeconds: 0 };
      methods.set(method, series);
    }
    return series;
  }

  /** In Prometheus' text format 0.0.4, each line ended. */
  text(): string {
    const counts = [`# HELP ${COUNT} Requests answered.`, `# TYPE ${COUNT} counter`];
    const times = [
      `# HELP ${SECONDS} Time from a request's arrival to its answer's headers.`,
      `# TYPE ${SECONDS} histogram`,
    ];
    for (const [route, methods] of this.#routes)
      for (const [method, series] of methods) {
        const labels = `route="${route}",method="${method}"`;
        for (const [status, n] of series.statuses) counts.push(`${COUNT}{${labels},status="${status}"} ${n}`);
        times.push(...histogramLines(labels, series));
      }
    return `${[...counts, ...times].join("\n")}\n`;
  }
}

function histogramLines(labels: string, { counts, sumSeconds }: Series): string[] {
  let below = 0;
  const buckets = counts.map((n, i) => {
    below += n;
    return `${SECONDS}_bucket{${labels},le="${BOUNDS_SECONDS[i] ?? "+Inf"}"} ${below}`;
  });
  return [...buckets, `${SECONDS}_sum{${labels}} ${sumSeconds}`, `${SECONDS}_count{${labels}} ${below}`];
}
