import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createServer, type Server } from "node:net";
import { ipToBytes } from "../../gossip/wire/address.ts";
import { present } from "../../src/kernel/assert.ts";
import type { Address } from "../../src/world/world.ts";

// A DNS server in the bytes of RFC 1035, 2782 and 3596. Node's resolver (c-ares) is the one who has to understand it.

export type DnsRecord =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "SRV"; readonly target: string; readonly port: number; readonly priority?: number };

/** What is said about a name, for all types that are asked for; a name without one is NXDOMAIN. */
export type Saying = readonly DnsRecord[] | "NXDOMAIN" | "SERVFAIL" | "REFUSED" | "silence" | "garbage";

const TYPES = new Map([
  [1, "A"],
  [28, "AAAA"],
  [33, "SRV"],
]);
const CODES = { NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5 } as const;
const HEADER_BYTES = 12;
/** A UDP answer above this is cut off and marked so; the asker comes back by TCP. */
const UDP_BYTES_MAX = 512;

export class DnsServer {
  readonly zone = new Map<string, Saying>();
  /** As in zone, for everything: the server is down, or the network to it. */
  silent = false;
  /** The addresses of SRV targets come along, as many servers do it. */
  withAdditional = false;
  /** `udp SRV _x._udp.example`, in the order of asking. */
  readonly asked: string[] = [];
  readonly address: Address;
  readonly #udp: Socket;
  readonly #tcp: Server;
  #open = true;

  private constructor(udp: Socket, tcp: Server, port: number) {
    this.address = { host: "127.0.0.1", port };
    this.#udp = udp;
    this.#tcp = tcp;
  }

  /** On one port of loopback, by UDP and TCP. */
  static async start(): Promise<DnsServer> {
    for (let attempt = 0; ; attempt++) {
      const udp = createSocket("udp4").bind(0, "127.0.0.1");
      await once(udp, "listening");
      const { port } = udp.address();
      const tcp = createServer().listen(port, "127.0.0.1");
      try {
        await once(tcp, "listening");
      } catch (error) {
        udp.close();
        if (attempt === 10) throw error;
        continue;
      }
      const server = new DnsServer(udp, tcp, port);
      server.#serve();
      return server;
    }
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#udp.close();
    this.#tcp.close();
  }

  #serve(): void {
    this.#udp.on("message", (query, from) => {
      const answer = this.#answer(query, "udp");
      if (answer) this.#udp.send(answer, from.port, from.address);
    });
    this.#tcp.on("connection", (socket) => {
      socket.on("error", () => socket.destroy());
      let held = Buffer.alloc(0);
      socket.on("data", (bytes) => {
        held = Buffer.concat([held, bytes]);
        if (held.length < 2 || held.length < 2 + held.readUInt16BE(0)) return;
        const answer = this.#answer(held.subarray(2, 2 + held.readUInt16BE(0)), "tcp");
        if (answer) socket.end(Buffer.concat([u16(answer.length), answer]));
      });
    });
  }

  #answer(query: Buffer, way: "udp" | "tcp"): Buffer | null {
    const { name, type, end } = questionOf(query);
    this.asked.push(`${way} ${type} ${name}`);
    const saying = this.zone.get(name) ?? "NXDOMAIN";
    if (this.silent || saying === "silence") return null;
    if (saying === "garbage") return Buffer.from("this is no answer");
    const question = query.subarray(HEADER_BYTES, end);
    if (typeof saying === "string")
      return message(query, question, { code: CODES[saying], answers: [], additional: [] });
    const records = saying.filter((record) => record.type === type);
    const answers = records.map((record) => encodeRecord(Buffer.from([0xc0, HEADER_BYTES]), record));
    const additional = this.withAdditional ? this.#additional(records) : [];
    const whole = message(query, question, { code: 0, answers, additional });
    if (way === "tcp" || whole.length <= UDP_BYTES_MAX) return whole;
    return message(query, question, { code: 0, answers: [], additional: [], truncated: true });
  }

  #additional(records: readonly DnsRecord[]): Buffer[] {
    return records.flatMap((record) => {
      const saying = record.type === "SRV" ? this.zone.get(record.target) : undefined;
      if (record.type !== "SRV" || saying === undefined || typeof saying === "string") return [];
      return saying.map((other) => encodeRecord(encodeName(record.target), other));
    });
  }
}

interface Parts {
  readonly code: number;
  readonly answers: readonly Buffer[];
  readonly additional: readonly Buffer[];
  readonly truncated?: boolean;
}

function message(query: Buffer, question: Buffer, { code, answers, additional, truncated }: Parts): Buffer {
  // Response, authoritative, recursion as desired and available.
  const flags = 0x8400 | (truncated === true ? 0x0200 : 0) | (query.readUInt16BE(2) & 0x0100) | 0x0080 | code;
  const counts = [flags, 1, answers.length, 0, additional.length].map(u16);
  return Buffer.concat([query.subarray(0, 2), ...counts, question, ...answers, ...additional]);
}

function questionOf(query: Buffer): { name: string; type: string; end: number } {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  while (query[at] !== 0) {
    const length = present(query[at], "a question ends with an empty label");
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  const type = query.readUInt16BE(at + 1);
  return { name: labels.join(".").toLowerCase(), type: TYPES.get(type) ?? String(type), end: at + 5 };
}

function encodeRecord(owner: Buffer, record: DnsRecord): Buffer {
  const data = dataOf(record);
  const type = [...TYPES].find(([, name]) => name === record.type)?.[0] ?? 0;
  const ttl = Buffer.alloc(4);
  return Buffer.concat([owner, u16(type), u16(1), ttl, u16(data.length), data]);
}

function dataOf(record: DnsRecord): Buffer {
  if (record.type !== "SRV") return Buffer.from(present(ipToBytes(record.address), "a record has a literal address"));
  return Buffer.concat([u16(record.priority ?? 0), u16(1), u16(record.port), encodeName(record.target)]);
}

function encodeName(name: string): Buffer {
  const labels = name.split(".").filter((label) => label !== "");
  return Buffer.concat([
    ...labels.map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
