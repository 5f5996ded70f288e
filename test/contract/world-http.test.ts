import { connect, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeRealWorld } from "../../src/world/real.ts";
import type { Listener, Log } from "../../src/world/world.ts";
import { wait } from "../../src/world/world-claims.test-kit.ts";

// The real server against clients that do everything wrong. Limits are short so that the tests are.

const LIMITS = { requestTimeoutMs: 150, headerBytes: 2_048, connections: 4 };

interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Record<string, unknown>;
}

let lines: LogLine[];
let handled: string[];
let bodies: string[];
let listener: Listener;
let sockets: Socket[];
/** Lets requests to /held go on. */
let release: () => void;
let released: Promise<void>;

function recordingLog(): Log {
  const line =
    (level: string) =>
    (event: string, fields: Record<string, unknown> = {}): void =>
      void lines.push({ level, event, fields });
  return {
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
    debug: line("debug"),
    child: recordingLog,
  };
}

const world = makeRealWorld({ log: recordingLog() });

async function handle(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  handled.push(`${request.method} ${pathname}`);
  if (pathname === "/throw") throw new Error("planted");
  if (pathname === "/early") return new Response("too large", { status: 413 });
  if (pathname === "/held") await released;
  try {
    const body = await request.text();
    bodies.push(body);
    return new Response(`${body.length} bytes`);
  } catch (error) {
    bodies.push(`broke off: ${(error as Error).message}`);
    return new Response("never seen", { status: 500 });
  }
}

beforeEach(async () => {
  lines = [];
  handled = [];
  bodies = [];
  sockets = [];
  released = new Promise((resolve) => {
    release = resolve;
  });
  listener = await world.network.serveHttp({ host: "127.0.0.1", port: 0 }, handle, LIMITS);
});

afterEach(async () => {
  release();
  for (const socket of sockets) socket.destroy();
  await listener.close();
});

/** All that the server sends until it closes the connection, or until `until` is in it. */
function talk(say: (socket: Socket) => void, until?: RegExp): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ ...listener.local, allowHalfOpen: true });
    sockets.push(socket);
    let heard = "";
    socket.on("connect", () => say(socket));
    socket.on("data", (bytes) => {
      heard += bytes.toString();
      if (until?.test(heard)) resolve(heard);
    });
    socket.on("error", () => {}); // `close` follows
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve(heard));
  });
}

const GOOD = "GET /good HTTP/1.1\r\nHost: a\r\n\r\n";

/** What the test has caused comes, but not at once. */
async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await wait(world, 2);
}

async function expectBrokenOff(): Promise<void> {
  await until(() => bodies.length > 0);
  expect(bodies).toEqual([expect.stringContaining("broke off")]);
}

async function expectServing(): Promise<void> {
  expect(await talk((socket) => socket.write(GOOD), /0 bytes/)).toMatch(/^HTTP\/1\.1 200 /);
}

function expectProblem(answer: string, status: number, type: string): void {
  const [head, body] = answer.split("\r\n\r\n");
  expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `));
  expect(head?.toLowerCase()).toContain("content-type: application/problem+json");
  expect(JSON.parse(body ?? "")).toMatchObject({ type, status });
}

const MALFORMED: Record<string, string> = {
  "no HTTP at all": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
  "a wrong version": "GET / HTTP/9.9\r\nHost: a\r\n\r\n",
  "a space in the target": "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
  "a header without a colon": "GET / HTTP/1.1\r\nHost a\r\n\r\n",
  "a NUL in a header": "GET / HTTP/1.1\r\nHost: a\r\nX-A: \0\r\n\r\n",
  "two lengths": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
  "a length and chunks":
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  "no Host": "GET / HTTP/1.1\r\n\r\n",
  "a Host that is no host": "GET / HTTP/1.1\r\nHost: a/b?c\r\n\r\n",
  "a backslash in the path": "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
};

describe("malformed HTTP", () => {
  for (const [what, bytes] of Object.entries(MALFORMED)) {
    test(`${what} is answered with 400, and the next client is served`, async () => {
      const answer = await talk((socket) => socket.write(Buffer.from(bytes, "latin1")), /\r\n\r\n\{.*\}$/);
      expectProblem(answer, 400, "bad-request");
      await expectServing();
      expect(handled).toEqual(["GET /good"]);
    });
  }

  test("what can't be parsed gets a problem that says so, and the connection is closed", async () => {
    expectProblem(await talk((socket) => socket.write("nonsense\r\n\r\n")), 400, "bad-request");
  });

  test("a client that goes on sending garbage gets its answer too", async () => {
    const answer = await talk((socket) => socket.write(Buffer.alloc(30_000_000, "x")));
    expect(answer).toMatch(/^HTTP\/1\.1 4(00|31) /);
    await expectServing();
  });

  test("headers above the limit are refused with 431 before they are complete", async () => {
    const answer = await talk((socket) => socket.write(`GET / HTTP/1.1\r\nHost: a\r\nX-A: ${"x".repeat(3_000)}`));
    expectProblem(answer, 431, "headers-too-large");
    expect(handled).toEqual([]);
  });

  test("bad chunks in a body break it off for the handler that reads it", async () => {
    const head = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    expectProblem(await talk((socket) => socket.write(`${head}5\r\nhello\r\nZZ\r\n`)), 400, "bad-request");
    await expectBrokenOff();
    await expectServing();
  });
});

describe("slow clients", () => {
  test("headers that never end are given up with 408", async () => {
    expectProblem(await talk((socket) => socket.write("GET / HTTP/1.1\r\nHost: a\r\n")), 408, "request-timeout");
  });

  test("a connection on which nothing is asked is given up with 408", async () => {
    expectProblem(await talk(() => {}), 408, "request-timeout");
  });

  test("a body that trickles is given up with 408, and the handler hears of it", async () => {
    const answer = await talk((socket) => {
      socket.write("PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
      const trickle = setInterval(() => socket.write("x"), 20);
      socket.on("close", () => clearInterval(trickle));
    });
    expectProblem(answer, 408, "request-timeout");
    await expectBrokenOff();
    await expectServing();
  });
});

describe("half-open clients", () => {
  test("one that has shut its sending side still gets its answer", async () => {
    const talking = talk((socket) => socket.end("GET /held HTTP/1.1\r\nHost: a\r\n\r\n"));
    await until(() => handled.length > 0);
    await wait(world, 20); // long enough for the end of its sending to arrive
    release();
    const answer = await talking;
    expect(answer).toMatch(/^HTTP\/1\.1 200 .*0 bytes$/s);
  });

  test("one that ends in the middle of its headers is answered with 400", async () => {
    expectProblem(await talk((socket) => socket.end("GET / HTTP/1.1\r\nHos")), 400, "bad-request");
  });

  test("one that ends in the middle of its body breaks it off", async () => {
    await talk((socket) => socket.end("PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"));
    await expectBrokenOff();
    await expectServing();
  });

  test("one that resets the connection while the handler works hurts nobody", async () => {
    const talking = talk((socket) => socket.write("GET /held HTTP/1.1\r\nHost: a\r\n\r\n"));
    await until(() => handled.length > 0);
    sockets[0]?.resetAndDestroy();
    await talking;
    release();
    await expectServing();
    expect(handled).toEqual(["GET /held", "GET /good"]);
  });
});

describe("limits and ends", () => {
  test("an answer that comes before the body was read ends the connection in order", async () => {
    const answer = await talk(
      (socket) => socket.write(`PUT /early HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n${"x".repeat(1_000)}`),
      /too large$/,
    );
    expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  });

  test("a handler that throws is a 500 that says nothing of the inside, and a line in the log", async () => {
    const answer = await talk((socket) => socket.write("GET /throw HTTP/1.1\r\nHost: a\r\n\r\n"), /\}$/);
    expectProblem(answer, 500, "internal");
    expect(answer).not.toContain("planted");
    expect(lines).toEqual([expect.objectContaining({ level: "error", event: "http.handler-failed" })]);
  });

  test("connections above the limit are closed at once, and one line of log says so", async () => {
    const held = Array.from({ length: LIMITS.connections }, () =>
      talk((socket) => socket.write("GET /held HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")),
    );
    await until(() => handled.length === LIMITS.connections);
    const refused = await Promise.all([talk((socket) => socket.write(GOOD)), talk((socket) => socket.write(GOOD))]);
    expect(refused).toEqual(["", ""]);
    expect(lines.map(({ event }) => event)).toEqual(["http.connections-refused"]);
    release();
    expect((await Promise.all(held)).every((answer) => answer.endsWith("0 bytes"))).toBe(true);
    await expectServing();
  });

  test("requests on one connection are answered in turn", async () => {
    const answer = await talk((socket) => socket.write(GOOD + GOOD), /0 bytes.*0 bytes/s);
    expect(answer.match(/200 OK/g)).toHaveLength(2);
  });

  test("close ends idle connections and those that never asked, at once", async () => {
    const idle = talk((socket) => socket.write(GOOD));
    const silent = talk(() => {});
    await until(() => handled.length > 0);
    const late = wait(world, 1_000).then(() => "late");
    expect(await Promise.race([listener.close().then(() => "closed"), late])).toBe("closed");
    expect(await Promise.all([idle, silent])).toEqual([expect.stringContaining("0 bytes"), ""]);
  });
});
