import { serve } from "@hono/node-server";
import { Hono } from "hono";

// The physical limit of the HTTP stack that Starling uses: a Hono app with nothing behind it.
const body = "x".repeat(100);
const app = new Hono();
app.get("/v1/kv/:bucket/:key", (c) => c.body(body, 200, { "content-type": "text/plain" }));
app.put("/v1/kv/:bucket/:key", async (c) => {
  await c.req.arrayBuffer();
  return c.body(null, 204);
});
serve({ fetch: app.fetch, port: Number(process.argv[2]), hostname: "127.0.0.1" });
