import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Load {
  readonly url: string;
  /** Lua that sets `request`. */
  readonly script: string;
  readonly connections: number;
  readonly seconds: number;
  /** Goes on for longer than `seconds` where by the rate of warming up they would bring fewer. */
  readonly requestsMin?: number;
}

export interface Measured {
  readonly requests: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** Before each measurement, for all alike: a server's first thousands of requests compile it (Node) or fill its caches. */
const WARM_UP_SECONDS = 3;

const DONE = `
done = function(summary, latency, requests)
  io.write(string.format("measured %d %f %f %f\\n", summary.requests, summary.requests / (summary.duration / 1e6),
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end`;

/** Runs wrk, a process of its own, with each connection's next request after its last one's answer. Throws when any answer was
 *  an error. @param dir for the script */
export function wrk(dir: string, { url, script, connections, seconds, requestsMin = 0 }: Load): Measured {
  const file = join(dir, "load.lua");
  writeFileSync(file, script + DONE);
  const { perSecond } = run(file, url, connections, WARM_UP_SECONDS);
  return run(file, url, connections, Math.max(seconds, Math.ceil((1.25 * requestsMin) / perSecond)));
}

function run(file: string, url: string, connections: number, seconds: number): Measured {
  const output = execFileSync(
    "wrk",
    ["-t1", `-c${connections}`, `-d${seconds}s`, "--timeout", "10s", "-s", file, url],
    {
      encoding: "utf8",
    },
  );
  const failed = /Non-2xx or 3xx responses: (\d+)|Socket errors: (.*)/.exec(output);
  if (failed) throw new Error(`wrk against ${url}: ${failed[0]}`);
  const [requests, perSecond, p50Ms, p99Ms] = (/^measured (.*)$/m.exec(output)?.[1] ?? "").split(" ").map(Number);
  if (p99Ms === undefined) throw new Error(`wrk against ${url} printed no figures: ${output}`);
  return { requests: requests ?? 0, perSecond: perSecond ?? 0, p50Ms: p50Ms ?? 0, p99Ms };
}
