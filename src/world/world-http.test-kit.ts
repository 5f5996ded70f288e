import { expect } from "vitest";
import { toHex, utf8 } from "../kernel/bytes.ts";
import type { Address, HttpHandler, HttpLimits } from "./world.ts";
import { type Claim, poll, type WorldsUnderTest, wait } from "./world-claims.test-kit.ts";

export const LIMITS: HttpLimits = { requestTimeoutMs: 10_000, headerBytes: 16_384, connections: 100 };

export function claimHttp(claim: Claim): void {
  claim("a request reaches the handler whole, its answer comes back whole", async (worlds, after) => {
    const url = await serve(worlds, after, async (request) => {
      const { method, headers } = request;
      const body = `${method} ${new URL(request.url).pathname} ${headers.get("x-a")} ${await request.text()}`;
      return new Response(body, { status: 201, headers: { "x-b": "answer" } });
    });
    const response = await worlds.fetch(
      new Request(`${url}/k/%C3%A9`, { method: "PUT", body: "value", headers: { "x-a": "asked" } }),
    );
    expect([response.status, response.headers.get("x-b")]).toEqual([201, "answer"]);
    expect(await response.text()).toBe("PUT /k/%C3%A9 asked value");
  });

  claim("an answer without a body has none", async (worlds, after) => {
    const url = await serve(worlds, after, () => new Response(null, { status: 204 }));
    const response = await worlds.fetch(new Request(`${url}/`, { method: "DELETE" }));
    expect([response.status, await response.text()]).toEqual([204, ""]);
  });

  claim("a handler that fails is a 500, and the next request is served", async (worlds, after) => {
    let calls = 0;
    const url = await serve(worlds, after, () => {
      if (calls++ === 0) throw new Error("planted");
      return new Response("fine");
    });
    expect((await worlds.fetch(new Request(`${url}/`))).status).toBe(500);
    expect(await (await worlds.fetch(new Request(`${url}/`))).text()).toBe("fine");
  });

  claim("bodies stream both ways, as they come", async (worlds, after) => {
    const url = await serve(worlds, after, (request) => new Response(request.body));
    const source = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await wait(worlds.left, 5);
        controller.enqueue(utf8("piece "));
        if (++pieces === 3) controller.close();
      },
    });
    let pieces = 0;
    const response = await worlds.fetch(new Request(`${url}/`, { method: "POST", body: source, duplex: "half" }));
    expect(await response.text()).toBe("piece piece piece ");
  });

  claim("a body of many pieces arrives whole", async (worlds, after) => {
    const body = new Uint8Array(3_000_000).map((_, i) => i % 251);
    const sum = (bytes: Uint8Array): string => toHex(worlds.left.sha256(bytes));
    const url = await serve(
      worlds,
      after,
      async (request) => new Response(sum(new Uint8Array(await request.arrayBuffer()))),
    );
    const response = await worlds.fetch(new Request(`${url}/`, { method: "PUT", body }));
    expect(await response.text()).toBe(sum(body));
  });

  claim("a client that reads slowly slows the answer's source down, and gets all of it", async (worlds, after) => {
    const pieces = 1_000;
    let made = 0;
    const url = await serve(worlds, after, () => {
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          controller.enqueue(new Uint8Array(65_536));
          if (++made === pieces) controller.close();
        },
      });
      return new Response(body);
    });
    const response = await worlds.fetch(new Request(`${url}/`));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await wait(worlds.left, 200);
    expect(made).toBeLessThan(pieces);
    let bytes = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) bytes += part.value.length;
    expect(bytes).toBe(pieces * 65_536);
  });
}

export function claimHttpEnds(claim: Claim): void {
  claim("a client that goes away ends the answer at its source", async (worlds, after) => {
    let cancelled = false;
    let sent = 0;
    const url = await serve(worlds, after, () => {
      const body = new ReadableStream<Uint8Array>({
        async pull(controller) {
          await wait(worlds.right, 2);
          controller.enqueue(utf8(`event ${sent++}`));
        },
        cancel() {
          cancelled = true;
        },
      });
      return new Response(body);
    });
    const response = await worlds.fetch(new Request(`${url}/`));
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    await reader.read();
    await reader.cancel();
    await poll(worlds.left, () => cancelled);
  });
}

export function claimHttpClose(claim: Claim): void {
  claim("after close nobody answers, and the port is free", async (worlds, after) => {
    const handler: HttpHandler = () => new Response("here");
    const listener = await worlds.right.network.serveHttp({ host: worlds.rightHost, port: 0 }, handler, LIMITS);
    const url = urlOf(worlds.rightHost, listener.local);
    expect(await (await worlds.fetch(new Request(url))).text()).toBe("here");
    await listener.close();
    await listener.close();
    await expect(worlds.fetch(new Request(url))).rejects.toThrow();
    const again = await worlds.right.network.serveHttp(listener.local, handler, LIMITS);
    after(() => again.close());
    expect(await (await worlds.fetch(new Request(url))).text()).toBe("here");
  });

  claim("close waits for an answer in progress", async (worlds) => {
    const handler: HttpHandler = async () => {
      await wait(worlds.right, 30);
      return new Response("finished");
    };
    const listener = await worlds.right.network.serveHttp({ host: worlds.rightHost, port: 0 }, handler, LIMITS);
    const answer = worlds.fetch(new Request(urlOf(worlds.rightHost, listener.local)));
    await wait(worlds.right, 10);
    await listener.close();
    expect(await (await answer).text()).toBe("finished");
  });

  claim("close breaks off an answer without an end", async (worlds) => {
    const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(utf8("for ever")) });
    const handler: HttpHandler = () => new Response(body);
    const listener = await worlds.right.network.serveHttp({ host: worlds.rightHost, port: 0 }, handler, LIMITS);
    const answer = await worlds.fetch(new Request(urlOf(worlds.rightHost, listener.local)));
    const text = answer.text();
    await Promise.all([listener.close(), expect(text).rejects.toThrow()]);
  });
}

async function serve(
  { right, rightHost }: WorldsUnderTest,
  after: (cleanup: () => unknown) => void,
  handler: HttpHandler,
): Promise<string> {
  const listener = await right.network.serveHttp({ host: rightHost, port: 0 }, handler, LIMITS);
  after(() => listener.close());
  return urlOf(rightHost, listener.local);
}

const urlOf = (host: string, { port }: Address): string => `http://${host}:${port}`;
