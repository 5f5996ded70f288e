import { type GossipConfig, type GossipHost, type MemberEvent, startGossip } from "../../gossip/drivers/gossip-host.ts";
import { PROFILES } from "../../gossip/index.ts";
import type { World } from "../../src/world/world.ts";
import { SimKernel, type SimNode } from "../sim/world.ts";
import { CLEAR, LOOKUPS } from "./envelopes.ts";
import { actor } from "./one-member.ts";

export interface Started {
  readonly node: SimNode;
  readonly host: GossipHost;
  readonly events: MemberEvent[];
}

export const PORT = 7002;

export async function start(
  kernel: SimKernel,
  name: string,
  seeds: readonly SimNode[] = [],
  change: Partial<GossipConfig> = {},
  onEvent: (event: MemberEvent) => void = () => undefined,
): Promise<Started> {
  const node = kernel.makeWorld({ name, region: "eu" });
  const events: MemberEvent[] = [];
  const host = await startGossip({
    world: node.world,
    config: {
      name,
      bind: { host: node.host, port: PORT },
      label: "shop",
      ...CLEAR,
      profile: PROFILES.lan,
      lookups: LOOKUPS,
      seeds: seeds.map((seed) => `${seed.host}:${PORT}`),
      ...change,
    },
    meta: new Map([
      ["region", "eu"],
      ["actor", actor(name, Math.floor(node.world.clock.wallMs()))],
    ]),
    onEvent: (event) => {
      events.push(event);
      onEvent(event);
    },
  });
  return { node, host, events };
}

export function sees(host: GossipHost, ...states: string[]): boolean {
  return (
    host
      .members()
      .map(({ name, state }) => `${name} ${state}`)
      .sort()
      .join() === [...states].sort().join()
  );
}

export async function trio(kernel: SimKernel): Promise<[Started, Started, Started]> {
  const a = await start(kernel, "a");
  const b = await start(kernel, "b", [a.node]);
  const c = await start(kernel, "c", [a.node]);
  const all = ["a alive", "b alive", "c alive"];
  await kernel.until(() => [a, b, c].every(({ host }) => sees(host, ...all)), 5000);
  return [a, b, c];
}

export function rejectsOf({ host }: Started): Record<string, number> {
  return Object.fromEntries(host.figures().rejects);
}

/** Runs a test body in a simulation of its own. */
export function simulated(body: (kernel: SimKernel) => Promise<void>): () => Promise<void> {
  return () => {
    const kernel = new SimKernel({ seed: 1 });
    return kernel.run(() => body(kernel));
  };
}

/** A world whose network does some things another way. */
export function withNetwork(world: World, change: Partial<World["network"]>): World {
  const { network } = world;
  const own: World["network"] = {
    bindDatagrams: (...of) => network.bindDatagrams(...of),
    listen: (...of) => network.listen(...of),
    serveHttp: (...of) => network.serveHttp(...of),
    connect: (...of) => network.connect(...of),
    resolve: (...of) => network.resolve(...of),
    resolveServices: (...of) => network.resolveServices(...of),
    httpGet: (...of) => network.httpGet(...of),
  };
  return { ...world, network: { ...own, ...change } };
}
