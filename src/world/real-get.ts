import { get as getPlain, type IncomingMessage, type RequestOptions } from "node:http";
import { get as getSecure } from "node:https";
import { formatAddress, type HttpAnswer, type HttpGet } from "./world.ts";

/** Not `fetch`: that takes no certificates per request on Node 20, and follows redirects with all headers to the same host. */
export function getReal(request: HttpGet): Promise<HttpAnswer> {
  const { secure, server, path, headers, ca, timeoutMs, bodyBytesMax, signal } = request;
  return new Promise((resolve, reject) => {
    const name = `${secure ? "https" : "http"}://${formatAddress(server)}`;
    // A connection each: the next question comes half a minute later.
    const options: RequestOptions = { host: server.host, port: server.port, path, headers, agent: false, signal };
    const asked = secure
      ? getSecure({ ...options, ...(ca !== undefined && { ca }) }, onAnswer)
      : getPlain(options, onAnswer);
    // Of the whole answer: one that drips must end, too.
    const timeout = setTimeout(() => fail(new Error(`${name} gave no whole answer within ${timeoutMs} ms`)), timeoutMs);
    asked.on("error", (error: NodeJS.ErrnoException) => {
      const why = signal.aborted ? "given up" : (error.code ?? error.message);
      fail(new Error(`cannot ask ${name}: ${why}`));
    });

    function fail(error: Error): void {
      clearTimeout(timeout);
      reject(error);
      asked.destroy();
    }

    function onAnswer(answer: IncomingMessage): void {
      const chunks: Buffer[] = [];
      let bytes = 0;
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        chunks.push(chunk);
        if (bytes > bodyBytesMax) fail(new Error(`${name} answered with more than ${bodyBytesMax} bytes`));
      });
      answer.on("end", () => {
        clearTimeout(timeout);
        resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString("utf8") });
      });
      answer.on("error", (error: NodeJS.ErrnoException) => {
        fail(new Error(`${name} broke off its answer: ${error.code ?? error.message}`));
      });
    }
  });
}
