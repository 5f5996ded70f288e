import { OpenAPIHono } from "@hono/zod-openapi";
import { present } from "../kernel/assert.ts";
import { makeMetrics } from "../observability/metrics.ts";
import { type Api, baseHeaders, makeApi, problemResponse } from "./api.ts";
import { type Call, openCall, percentDecode } from "./call.ts";
import type { HttpDeps } from "./deps.ts";
import { makeGuard } from "./guard.ts";
import { openApiDocument } from "./openapi.ts";
import { ProblemError } from "./problem.ts";
import { KV, kv } from "./routes/kv.ts";
import { makeRoutes, type Route } from "./routes.ts";

/** A node's HTTP API as a function of requests: no socket, and no time or chance but the World's. In-process callers name
 *  this machine in the URL (`http://localhost/…`), as any client of a loopback listener must. Never rejects. */
export function makeApp(deps: HttpDeps): { fetch(request: Request): Promise<Response> } {
  const api = makeApi(deps);
  const metrics = makeMetrics(deps);
  const routes = makeRoutes(api);
  routes.push(...selfRoutes(api, metrics, routes));
  const table = routeTable(api, routes);
  const guard = makeGuard(deps.config);
  const { clock, rng } = deps.world;
  const idPrefix = rng.u32().toString(16).padStart(8, "0");
  let calls = 0;
  return {
    async fetch(request) {
      const startedMs = clock.monotonicMs();
      calls += 1;
      const call = openCall(request, `${idPrefix}-${calls.toString(36)}`);
      const env: Env = { call, route: "other" };
      let response: Response;
      try {
        guard(call);
        // The hot path, and keys hold what routers decode or split: cut by hand (routes/kv.ts).
        response = await (isUnderKv(call.path) ? kv(api, call) : table.fetch(request, env));
      } catch (error) {
        response = problemResponse(api, call, error);
      }
      if (call.method === "HEAD") response = new Response(null, response);
      metrics.request(
        isUnderKv(call.path) ? kvLabel(call.path) : env.route,
        call.method,
        response.status,
        (clock.monotonicMs() - startedMs) / 1000,
      );
      return response;
    },
  };
}

/** What a handler gets to know besides the request; it notes here which route it was. */
interface Env {
  readonly call: Call;
  route: string;
}

type Table = OpenAPIHono<{ Bindings: Env }>;

function routeTable(api: Api, routes: readonly Route[]): Table {
  // The raw path routes: keys may hold what a decoder would turn into slashes.
  const table: Table = new OpenAPIHono({
    getPath: (_, options) => (present(options?.env, "fetch hands it over") as Env).call.path,
  });
  for (const route of routes) {
    if (isUnderKv(route.path)) continue;
    table.on(route.method.toUpperCase(), honoPath(route.path), (c) => {
      c.env.route = route.path;
      const named = c.req.param("id") ?? c.req.param("bucket");
      return route.handle(c.env.call, named === undefined ? "" : percentDecode(named, "bad-path"));
    });
  }
  const patterns = routes.map((route) => ({ pattern: patternOf(route.path), method: route.method.toUpperCase() }));
  table.notFound((c) => {
    const { path } = c.env.call;
    const allowed = new Set(patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method));
    if (allowed.size === 0) throw new ProblemError("not-found", "there is no such call: see /openapi.json");
    if (allowed.has("GET")) allowed.add("HEAD");
    throw new ProblemError("method-not-allowed", `this takes ${[...allowed].join(", ")}`, {
      headers: { allow: [...allowed].join(", ") },
    });
  });
  table.onError((error, c) => problemResponse(api, c.env.call, error));
  return table;
}

function isUnderKv(path: string): boolean {
  return path.startsWith(KV) && (path.length === KV.length || path[KV.length] === "/");
}

function kvLabel(path: string): string {
  if (path.length <= KV.length + 1) return KV;
  return path.indexOf("/", KV.length + 1) < 0 ? `${KV}/{bucket}` : `${KV}/{bucket}/{key}`;
}

/** `{id}` is one segment; a last `{key}` the rest. */
function honoPath(path: string): string {
  return path.replace("/{bucket}/{key}", "/*").replaceAll(/\{(\w+)\}/g, ":$1");
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replace("{key}", ".+").replaceAll(/\{\w+\}/g, "[^/]+")}$`);
}

/** The API about itself. */
function selfRoutes(api: Api, metrics: ReturnType<typeof makeMetrics>, others: readonly Route[]): Route[] {
  let document: string | null = null;
  const routes: Route[] = [
    {
      method: "get",
      path: "/metrics",
      summary: "Figures in Prometheus' text format",
      answers: { 200: "figures" },
      types: ["text/plain"],
      handle: async (call) => {
        const { contentType, text } = await metrics.scrape();
        return new Response(text, { headers: { ...baseHeaders(api, call), "content-type": contentType } });
      },
    },
    {
      method: "get",
      path: "/openapi.json",
      summary: "This API, described",
      answers: { 200: "OpenAPI 3.1" },
      handle: (call) => {
        document ??= openApiDocument(api, [...others]);
        return new Response(document, { headers: { ...baseHeaders(api, call), "content-type": "application/json" } });
      },
    },
  ];
  return routes;
}
