import { Agent, request } from "node:http";
import { sleep } from "./member.ts";

export interface OpenLoop {
  /** Of nodes; they take turns. */
  readonly urls: readonly string[];
  readonly perSecond: number;
  readonly seconds: number;
  /** Half of the requests PUT one of them, half GET one; all are written within this many pairs. */
  readonly keys: number;
}

/** Sends each request at its time, whether those before were answered or not. Latencies in ms, from when each was due, so that
 *  one that had to wait counts in full; Infinity for a failure. */
export async function openLoop({ urls, perSecond, seconds, keys }: OpenLoop): Promise<number[]> {
  const agent = new Agent({ keepAlive: true });
  const startMs = performance.now();
  const running: Promise<number>[] = [];
  for (let n = 0; n < seconds * perSecond; n++) {
    const dueMs = startMs + (1000 * n) / perSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await sleep(waitMs);
    const pair = n >> 1;
    const url = urls[pair % urls.length] as string;
    const asked = ask(agent, `${url}/v1/kv/bench/k${pair % keys}`, n % 2 === 0);
    running.push(asked.then((ok) => (ok ? performance.now() - dueMs : Number.POSITIVE_INFINITY)));
  }
  const latenciesMs = await Promise.all(running);
  agent.destroy();
  return latenciesMs;
}

function ask(agent: Agent, url: string, isPut: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = isPut ? { "content-type": "text/plain" } : {};
    const asked = request(url, { agent, method: isPut ? "PUT" : "GET", headers }, (response) => {
      response.resume();
      response.once("end", () => resolve((response.statusCode ?? 500) < 300));
    });
    asked.once("error", () => resolve(false));
    asked.end(isPut ? "x".repeat(100) : undefined);
  });
}
