/** What the group agrees on here: registers, each with a number in it, and who asked last for what. */
export interface Command {
  readonly client: number;
  /** Of the client's requests: it sends the same again when it doesn't know whether it arrived. */
  readonly seq: number;
  readonly kind: "write" | "swap";
  readonly key: number;
  readonly value: number;
  /** Of a swap: what must be there. */
  readonly from: number;
}

export interface Outcome {
  readonly client: number;
  readonly seq: number;
  /** What was there before. */
  readonly seen: number;
}

export function encodeCommand({ client, seq, kind, key, value, from }: Command, padding: number): Uint8Array {
  const words = new Int32Array(6 + padding);
  words.set([client, seq, kind === "write" ? 0 : 1, key, value, from]);
  return new Uint8Array(words.buffer);
}

function decodeCommand(data: Uint8Array): Command {
  const words = wordsOf(data);
  const [client = 0, seq = 0, kind = 0, key = 0, value = 0, from = 0] = words;
  return { client, seq, kind: kind === 0 ? "write" : "swap", key, value, from };
}

function wordsOf(data: Uint8Array): Int32Array {
  return new Int32Array(data.buffer, data.byteOffset, data.length >> 2);
}

export class Machine {
  applied: number;
  readonly #values = new Map<number, number>();
  readonly #sessions = new Map<number, Outcome>();

  constructor(applied: number) {
    this.applied = applied;
  }

  /** A request that comes a second time changes nothing and has the answer of the first; null when it is older still. */
  apply(data: Uint8Array): Outcome | null {
    const { client, seq, kind, key, value, from } = decodeCommand(data);
    const last = this.#sessions.get(client);
    if (last && seq <= last.seq) return seq === last.seq ? last : null;
    const seen = this.read(key);
    if (kind === "write" || seen === from) this.#values.set(key, value);
    const outcome = { client, seq, seen };
    this.#sessions.set(client, outcome);
    return outcome;
  }

  read(key: number): number {
    return this.#values.get(key) ?? 0;
  }

  encode(): Uint8Array {
    const values = [...this.#values].sort(([a], [b]) => a - b);
    const sessions = [...this.#sessions.values()].sort((a, b) => a.client - b.client);
    const words = [this.applied, values.length, ...values.flat()];
    for (const { client, seq, seen } of sessions) words.push(client, seq, seen);
    return new Uint8Array(new Int32Array(words).buffer);
  }

  static decode(data: Uint8Array): Machine {
    const words = wordsOf(data);
    const word = (at: number): number => words[at] ?? 0;
    const machine = new Machine(word(0));
    let at = 2;
    for (let left = word(1); left > 0; left--, at += 2) machine.#values.set(word(at), word(at + 1));
    for (; at < words.length; at += 3)
      machine.#sessions.set(word(at), { client: word(at), seq: word(at + 1), seen: word(at + 2) });
    return machine;
  }
}
