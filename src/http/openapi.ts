import { OpenAPIHono, z } from "@hono/zod-openapi";
import type { Api } from "./api.ts";
import type { Route } from "./routes.ts";
import { problemSchema } from "./schemas.ts";

/** OpenAPI 3.1 of all routes, from the schemas that check requests. Made once, when somebody first asks. */
export function openApiDocument(api: Api, routes: readonly Route[]): string {
  const docs = new OpenAPIHono();
  const { registerPath } = docs.openAPIRegistry;
  for (const route of routes) registerPath.call(docs.openAPIRegistry, documented(route));
  const document = docs.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "Starling",
      version: api.version,
      description:
        "Errors are application/problem+json with a stable slug as `type`. Every answer carries Starling-Node, Starling-Region and Starling-Request-Id. `{key}` is the rest of the path; an empty key segment, `.` and `..` travel as ?key64= (base64url). w=auto waits for nothing more than w=node while placement does not exist: Starling-Durable says what holds.",
    },
  });
  return JSON.stringify(document);
}

type Documented = Parameters<OpenAPIHono["openAPIRegistry"]["registerPath"]>[0];

function documented({ method, path, summary, query, headers, body, answers, types }: Route): Documented {
  const params = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1] ?? "");
  const types200 = types ?? ["application/json"];
  const responses: Documented["responses"] = {
    default: { description: "a problem", content: { "application/problem+json": { schema: problemSchema } } },
  };
  for (const [status, description] of Object.entries(answers))
    responses[status] =
      status === "200"
        ? { description, content: Object.fromEntries(types200.map((type) => [type, { schema: z.unknown() }])) }
        : { description };
  return {
    method,
    path,
    summary,
    request: {
      ...(params.length > 0 && { params: z.object(Object.fromEntries(params.map((name) => [name, z.string()]))) }),
      ...(query && { query: z.object(optionalTexts(query)) }),
      ...(headers && { headers: z.object(optionalTexts(headers)) }),
      ...(body && {
        body: { content: Object.fromEntries(Object.entries(body).map(([type, schema]) => [type, { schema }])) },
      }),
    },
    responses,
  };
}

function optionalTexts(names: readonly string[]): Record<string, z.ZodOptional<z.ZodString>> {
  return Object.fromEntries(names.map((name) => [name, z.string().optional()]));
}
