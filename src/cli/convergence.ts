import { NodeClient } from "./http-client.ts";

export interface NodeState {
  readonly digest: string;
  readonly records: number;
}

export interface Convergence {
  readonly states: readonly NodeState[];
  readonly equal: boolean;
  readonly tookMs: number;
}

const POLL_MS = 100;

/** What each node holds now. */
export function statesOf(urls: readonly string[]): Promise<NodeState[]> {
  return Promise.all(
    urls.map(async (url) => {
      const { digest, records } = await new NodeClient(url).get<NodeState>("/cluster/sync/status");
      return { digest, records };
    }),
  );
}

/** Asks until all nodes hold the same, or time is up. */
export async function waitForEqualDigests(urls: readonly string[], timeoutMs: number): Promise<Convergence> {
  const startedMs = Date.now();
  for (;;) {
    const states = await statesOf(urls);
    const equal = states.every(({ digest, records }) => digest === states[0]?.digest && records === states[0]?.records);
    const tookMs = Date.now() - startedMs;
    if (equal || tookMs > timeoutMs) return { states, equal, tookMs };
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** Asks until `holds` of what `ask` answers, or time is up. */
export async function waitUntil<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
  timeoutMs: number,
): Promise<{ answer: T; held: boolean; tookMs: number }> {
  const startedMs = Date.now();
  for (;;) {
    const answer = await ask();
    const tookMs = Date.now() - startedMs;
    if (holds(answer) || tookMs > timeoutMs) return { answer, held: holds(answer), tookMs };
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
