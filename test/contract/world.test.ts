import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { makeRealWorld } from "../../src/world/real.ts";
import { describeWorld } from "../../src/world/world.test-kit.ts";
import type { Log } from "../../src/world/world.ts";
import { SimKernel } from "../sim/world.ts";

const silentLog: Log = { info() {}, warn() {}, error() {}, debug() {}, child: () => silentLog };

const directory = mkdtempSync(join(tmpdir(), "starling-world-"));
afterAll(() => rmSync(directory, { recursive: true }));
let count = 0;

describeWorld("the real World", () => ({
  left: makeRealWorld({ log: silentLog }),
  right: makeRealWorld({ log: silentLog }),
  rightHost: "127.0.0.1",
  silent: { host: "192.0.2.1", port: 7001 }, // TEST-NET-1
  dataDir: join(directory, String(count++)),
  fetch: (request) => fetch(request),
  run: (body) => body(),
}));

let seed = 1;

describeWorld("the simulated World", () => {
  const kernel = new SimKernel({ seed: seed++ });
  const right = kernel.makeWorld({ name: "right", region: "us" });
  return {
    left: kernel.makeWorld({ name: "left", region: "eu" }).world,
    right: right.world,
    rightHost: right.host,
    silent: { host: "192.0.2.1", port: 7001 },
    dataDir: "data",
    fetch: (request) => {
      const { hostname, port } = new URL(request.url);
      return kernel.httpFetch({ host: hostname, port: Number(port) }, request);
    },
    run: (body) => kernel.run(body),
  };
});
