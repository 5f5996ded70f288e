import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createSecure } from "node:https";
import type { AddressInfo } from "node:net";
import type { Address } from "../../src/world/world.ts";
import type { ServerIdentity } from "./real-certificates.ts";

/** What Consul and Kubernetes answer; `fixtures/SOURCES.md` says where it is from. */
export function fixture(name: string): string {
  return readFileSync(new URL(`./fixtures/${name}`, import.meta.url), "utf8");
}

export type Answerer = (request: IncomingMessage, response: ServerResponse) => void;

/** An HTTP server on loopback that answers as it is told to at the moment. */
export class Registry {
  /** What was asked: `GET /path`. */
  readonly asked: string[] = [];
  readonly headers: IncomingMessage["headers"][] = [];
  readonly address: Address;
  readonly #close: () => Promise<void>;
  answer: Answerer;

  private constructor(address: Address, answer: Answerer, close: () => Promise<void>) {
    this.address = address;
    this.answer = answer;
    this.#close = close;
  }

  static async start(answer: Answerer, identity?: ServerIdentity): Promise<Registry> {
    let registry: Registry | undefined;
    const onRequest: Answerer = (request, response) => {
      registry?.asked.push(`${request.method} ${request.url}`);
      registry?.headers.push(request.headers);
      registry?.answer(request, response);
    };
    const server = identity ? createSecure(identity, onRequest) : createPlain(onRequest);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    registry = new Registry({ host: "127.0.0.1", port }, answer, async () => {
      server.close();
      server.closeAllConnections();
    });
    return registry;
  }

  close(): Promise<void> {
    return this.#close();
  }
}

/** One whole answer. */
export function answering(status: number, body: string, headers: Record<string, string> = {}): Answerer {
  return (_request, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(body);
  };
}
