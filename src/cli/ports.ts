import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { CliError, EXIT } from "./exit.ts";

export interface WantedPort {
  readonly host: string;
  readonly port: number;
  readonly udp: boolean;
  /** "eu's client port". */
  readonly what: string;
}

/** Rejects with a sentence that names the first port that somebody else holds. */
export async function checkPortsFree(wanted: readonly WantedPort[], hint: string): Promise<void> {
  const checks = wanted.flatMap((port) => [tcpProblem(port), ...(port.udp ? [udpProblem(port)] : [])]);
  const problem = (await Promise.all(checks)).find((found) => found !== null);
  if (problem) throw new CliError(EXIT.failed, `${problem}. ${hint}`);
}

function sentence({ host, port, what }: WantedPort, protocol: string, error: Error & { code?: string }): string {
  const why = error.code === "EADDRINUSE" ? "is in use" : `can't be used (${error.code ?? error.message})`;
  return `${protocol} port ${port} on ${host}, ${what}, ${why}`;
}

function tcpProblem(wanted: WantedPort): Promise<string | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error) => resolve(sentence(wanted, "TCP", error)));
    server.listen({ host: wanted.host, port: wanted.port, exclusive: true }, () => server.close(() => resolve(null)));
  });
}

function udpProblem(wanted: WantedPort): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    socket.once("error", (error) => {
      socket.close();
      resolve(sentence(wanted, "UDP", error));
    });
    socket.bind({ address: wanted.host, port: wanted.port, exclusive: true }, () => socket.close(() => resolve(null)));
  });
}
