import { describe, expect, test } from "vitest";
import { makeApi } from "../../src/http/api.ts";
import { makeRoutes, type Route } from "../../src/http/routes.ts";
import { type Json, makeNode, type Node, slugOf } from "./harness.ts";
import { AP, makeSpare, tokenOf } from "./life.ts";

// Issue 6, "done" 8: bad input on every call about the cluster gets a clear problem, and nothing changes. A new route without
// a line here fails.

interface Line {
  /** What stands for `{id}` or `{bucket}` when that is right. */
  readonly named?: string;
  /** What the call takes. */
  readonly body?: Json;
  /** Parameters of which the values can be wrong. */
  readonly numbers?: readonly string[];
}

const CHANGE = { numbers: ["timeoutMs"] } as const;
const ON_NODE = { ...CHANGE, named: "us-1" } as const;
const SETTINGS = { on: true, deadAfterMs: 60_000, stabiliseMs: 10_000, votersMax: 5 };

const LINES: Readonly<Record<string, Line>> = {
  "GET /cluster/status": {},
  "GET /cluster/nodes": {},
  "GET /cluster/peers": {},
  "GET /cluster/nodes/{id}": { named: "us-1" },
  "GET /cluster/health": {},
  "GET /cluster/reach": {},
  "GET /cluster/rtt": {},
  "GET /cluster/events": {},
  "GET /cluster/sync/status": {},
  "POST /cluster/sync": {},
  "GET /cluster/conflicts": { numbers: ["limit"] },
  "GET /cluster/conflicts/summary": {},
  "GET /cluster/conflicts/{id}": { named: "AAAA" },
  "POST /cluster/conflicts/{id}/resolve": { named: "AAAA", body: { choose: "a" } },
  "GET /cluster/repair": {},
  "POST /cluster/repair": {},
  "GET /cluster/gossip/keys": {},
  "POST /cluster/gossip/keys": { body: { operation: "use", key: "AAAAAAAAAAAAAAAAAAAAAA==" } },
  "GET /cluster/gossip/seeds": {},
  "GET /cluster/leader": {},
  "GET /cluster/consensus": {},
  "POST /cluster/snapshot": {},
  "PUT /cluster/nodes/{id}/maintenance": ON_NODE,
  "DELETE /cluster/nodes/{id}/maintenance": ON_NODE,
  "POST /cluster/join": { ...CHANGE, body: { token: "door.secret", node: AP } },
  "POST /cluster/leave": { ...CHANGE, body: { node: "us-1", cluster: "test" } },
  "DELETE /cluster/leave/{id}": ON_NODE,
  "POST /cluster/nodes/{id}/drain": { ...ON_NODE, body: { cluster: "test" } },
  "DELETE /cluster/nodes/{id}/drain": ON_NODE,
  "POST /cluster/nodes/{id}/decommission": { ...ON_NODE, body: { cluster: "test" } },
  "POST /cluster/nodes/{id}/remove": { ...ON_NODE, body: { cluster: "test" } },
  "GET /v1/operations/{id}": { named: "drain-us-1" },
  "DELETE /v1/operations/{id}": { ...CHANGE, named: "drain-us-1" },
  "GET /v1/config": { numbers: ["timeoutMs", "since"] },
  "PUT /v1/config/autopilot": { ...CHANGE, body: SETTINGS },
  "GET /v1/policies": {},
  "GET /v1/policies/{bucket}": { named: "carts" },
  "GET /v1/policies/{bucket}/history": { named: "carts" },
  "PUT /v1/policies/{bucket}": { ...CHANGE, named: "carts", body: { show: "siblings" } },
  "DELETE /v1/policies/{bucket}": { ...CHANGE, named: "carts" },
  "GET /cluster/tokens": {},
  "POST /cluster/tokens": { ...CHANGE, body: { uses: 2, region: "eu", ttlMs: 60_000 } },
  "DELETE /cluster/tokens/{id}": { ...CHANGE, named: "abcd1234" },
};

const nameOf = ({ method, path }: Route): string => `${method.toUpperCase()} ${path}`;
const isOurs = ({ path }: Route): boolean => /^\/(cluster|v1\/(config|policies|operations))(\/|$)/.test(path);
const ROUTES = makeRoutes(makeApi(makeNode().deps)).filter(isOurs);
const ALL_HEADERS: Readonly<Record<string, string>> = {
  "If-Match": "abc",
  "Starling-Reason": "r".repeat(257),
  "Starling-Forward": "perhaps",
};

interface Bad {
  readonly what: string;
  readonly path: string;
  readonly init?: RequestInit;
}

const pathOf = ({ path }: Route, named: string | undefined): string => path.replace(/\{\w+\}/, named ?? "");
const json = (body: unknown, headers: Record<string, string> = {}): RequestInit => ({
  headers: { "content-type": "application/json", ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

function badOf(route: Route, { named, body, numbers = [] }: Line): Bad[] {
  const path = pathOf(route, named);
  const good = body === undefined ? {} : json(body);
  const query = numbers.flatMap((name) =>
    ["-1", "abc", "1e9", "", "99999999999"].map((value) => ({ what: `${name}=${value}`, value: `${name}=${value}` })),
  );
  return [
    { what: "an unknown parameter", path: `${path}?noSuchThing=1`, init: good },
    ...query.map(({ what, value }) => ({ what, path: `${path}?${value}`, init: good })),
    ...(named === undefined ? [] : badNames(route).map((one) => ({ ...one, init: good }))),
    ...(route.headers ?? []).flatMap((name) => {
      const value = ALL_HEADERS[name];
      const headers = { ...(good.headers as Record<string, string>), [name]: value ?? "" };
      return value === undefined ? [] : [{ what: `a bad ${name}`, path, init: { ...good, headers } }];
    }),
    ...(body === undefined ? [] : badBodies(path, body)),
  ];
}

function badNames(route: Route): Bad[] {
  const names = ["%00", "%ff", "%zz", "UPPER CASE", "x".repeat(300), "%2F%2E%2E", "no-such-one"];
  // A policy may be asked for and set before anything is in the bucket.
  const wrong = route.path.includes("{bucket}") ? names.slice(0, -1) : names;
  return wrong.map((name) => ({ what: `named ${name.slice(0, 12)}`, path: pathOf(route, name) }));
}

function badBodies(path: string, body: Json): Bad[] {
  const wrong = (what: string, data: unknown): Bad => ({ what, path, init: json(data) });
  return [
    wrong("half of it", JSON.stringify(body).slice(0, -1)),
    wrong("no JSON", "nonsense"),
    wrong("a list", [body]),
    wrong("a text", '"text"'),
    wrong("null", "null"),
    wrong("a field that there is not", { ...body, noSuchField: 1 }),
    wrong("a field twice", JSON.stringify(body).replace("{", '{"__proto__":1,')),
    wrong("too much", { ...body, padding: "x".repeat(100_000) }),
    wrong("deep", `${"[".repeat(10_000)}${"]".repeat(10_000)}`),
    ...Object.keys(body).flatMap((field) =>
      [{}, [[]], 1e300, "\u0000", "x".repeat(3_000)].map((value) =>
        wrong(`${field}: ${JSON.stringify(value).slice(0, 12)}`, { ...body, [field]: value }),
      ),
    ),
    { what: "no type", path, init: { headers: { "content-type": "" }, body: JSON.stringify(body) } },
    { what: "a form", path, init: { headers: { "content-type": "application/x-www-form-urlencoded" }, body: "a=b" } },
    { what: "compressed", path, init: json(body, { "content-encoding": "gzip" }) },
  ];
}

async function nodeWithAll(): Promise<Node> {
  const node = await makeSpare();
  await node.json("PUT", "/v1/policies/carts", { show: "siblings" });
  await tokenOf(node);
  return node;
}

describe("every call about the cluster", () => {
  test("has a line here", () => {
    expect(ROUTES.map(nameOf).sort()).toEqual(Object.keys(LINES).sort());
    // What is in the table is what it takes.
    for (const route of ROUTES)
      expect([nameOf(route), route.body !== undefined]).toEqual([
        nameOf(route),
        "body" in (LINES[nameOf(route)] ?? {}),
      ]);
  });

  test.each(ROUTES.map((route) => [nameOf(route), route] as const))(
    "%s refuses what is wrong, and nothing changes",
    async (name, route) => {
      const node = await nodeWithAll();
      const before = { hash: node.plane.hash, entries: node.replica.log.length };
      const wrong: string[] = [];
      for (const { what, path, init } of badOf(route, LINES[name] ?? {})) {
        const response = await node.call(route.method.toUpperCase(), path, init);
        const { status } = response;
        const isRefused = status >= 400 && status < 500;
        if (!isRefused) wrong.push(`${what}: ${status}`);
        else await slugOf(response);
        const after = { hash: node.plane.hash, entries: node.replica.log.length };
        if (JSON.stringify(after) !== JSON.stringify(before)) wrong.push(`${what}: changed something`);
        Object.assign(before, after);
      }
      expect(wrong).toEqual([]);
      expect(node.logged).toEqual([]);
    },
  );
});
