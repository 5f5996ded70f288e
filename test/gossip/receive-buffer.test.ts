import { existsSync, readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { bindRealDatagrams } from "../../src/world/real-datagrams.ts";
import type { Log } from "../../src/world/world.ts";

const RMEM_MAX = "/proc/sys/net/core/rmem_max";
const ASKED_BYTES = 4 * 1024 * 1024;

it("item 16: gossip's socket has room for 4 MiB, or for what the kernel grants at most", async () => {
  const silent = (): void => undefined;
  const log: Log = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };
  const socket = await bindRealDatagrams({ host: "127.0.0.1", port: 0 }, () => undefined, log);
  const grantedMax = existsSync(RMEM_MAX) ? Number(readFileSync(RMEM_MAX, "utf8")) : 65_536;
  expect(socket.receiveBufferBytes).toBeGreaterThanOrEqual(Math.min(ASKED_BYTES, grantedMax));
  socket.close();
});
