import { describe, expect, it } from "vitest";
import { startGossip } from "../../gossip/drivers/gossip-host.ts";
import { encodePacket, encodeStream, PROFILES } from "../../gossip/index.ts";
import type { Stream } from "../../src/world/world.ts";
import { CLEAR, keyOf, LOOKUPS, labelled } from "./envelopes.ts";
import { PORT, rejectsOf, sees, simulated, start, trio } from "./hosts.ts";
import { NO_BYTES } from "./one-member.ts";

describe("gossip host: members", () => {
  it(
    "three find each other by one seed, with their metadata and round trips",
    simulated(async (kernel) => {
      const [a, b, c] = await trio(kernel);
      await kernel.sleep(10_000);
      const seen = b.host.member("c");
      expect(seen).toMatchObject({ state: "alive", address: { host: c.node.host, port: PORT } });
      expect(seen?.meta.get("region")).toBe("eu");
      expect(seen?.rttMs).toBeGreaterThan(0);
      expect(a.events.map(({ kind, name }) => `${kind} ${name}`).sort()).toEqual(["member-up b", "member-up c"]);
      expect([rejectsOf(a), rejectsOf(b), rejectsOf(c)]).toEqual([{}, {}, {}]);
    }),
  );

  it(
    "seeds that are addresses are not asked about, and cost no chance: runs stay what they were",
    simulated(async (kernel) => {
      const { world, host } = kernel.makeWorld({ name: "x", region: "eu" });
      let forks = 0;
      const rng = {
        ...world.rng,
        fork: () => {
          forks++;
          return world.rng.fork();
        },
      };
      const config = {
        name: "x",
        bind: { host, port: PORT },
        label: "s",
        profile: PROFILES.lan,
        ...CLEAR,
        lookups: LOOKUPS,
      } as const;
      const seeds = ["10.0.0.9:7002", "[2001:db8::1]:7002"];
      const meta = new Map<string, string>();
      const onEvent = (): void => undefined;
      const x = await startGossip({ world: { ...world, rng }, config: { ...config, seeds }, meta, onEvent });
      expect([forks, x.seedSources()]).toEqual([1, []]);
      await x.close();
    }),
  );

  it(
    "a seed that is a name is looked up, also when nobody knows it at first, and the start doesn't wait for it",
    simulated(async (kernel) => {
      const b = await start(kernel, "b", [], { seeds: [`a:${PORT}`] });
      await kernel.sleep(100_000);
      expect(b.host.seedSources()).toMatchObject([
        { source: "a:7002", lastError: "DNS knows no such name", addresses: [] },
      ]);
      const a = await start(kernel, "a");
      await kernel.until(() => sees(a.host, "a alive", "b alive") && sees(b.host, "a alive", "b alive"), 35_000);
      expect(b.host.seedSources()).toMatchObject([{ lastError: null, addresses: [{ host: a.node.host, port: PORT }] }]);
      await b.host.close();
      await kernel.sleep(100_000); // nothing is asked any more
    }),
  );

  it(
    "the start doesn't wait for seeds, and one that comes up later is found",
    simulated(async (kernel) => {
      const late = kernel.makeWorld({ name: "late", region: "eu" });
      late.crash();
      const a = await start(kernel, "a", [late]);
      await kernel.sleep(300_000);
      const b = await start(kernel, "late");
      await kernel.until(() => sees(a.host, "a alive", "late alive") && sees(b.host, "a alive", "late alive"), 20_000);
    }),
  );

  it(
    "a killed one is suspected, then dead, then alive again after its restart, without refutation (item 10)",
    simulated(async (kernel) => {
      const [a, b, c] = await trio(kernel);
      c.node.crash("machine");
      await kernel.until(() => [a, b].every(({ host }) => host.member("c")?.state === "dead"), 30_000);
      const again = await start(kernel, "c", [a.node]);
      await kernel.until(() => [a, b].every(({ host }) => host.member("c")?.state === "alive"), 5000);
      const kinds = a.events.filter(({ name }) => name === "c").map(({ kind }) => kind);
      expect(kinds).toEqual(["member-up", "member-suspect", "member-dead", "member-up"]);
      expect(again.events.filter(({ kind }) => kind === "refuted")).toEqual([]);
    }),
  );

  it(
    "changed metadata reach the others, too large ones are refused",
    simulated(async (kernel) => {
      const [a, b] = await trio(kernel);
      b.host.updateMeta(new Map([["region", "us"]]));
      expect(() => b.host.updateMeta(new Map([["region", "x".repeat(600)]]))).toThrow(/at most 512/);
      await kernel.until(() => a.host.member("b")?.meta.get("region") === "us", 5000);
      expect(b.host.self.meta.get("region")).toBe("us");
    }),
  );

  it(
    "who leaves is told as left, and its host says when the news is out",
    simulated(async (kernel) => {
      const [a, b, c] = await trio(kernel);
      await c.host.leave();
      await c.host.leave(); // it has: nothing to wait for
      await c.host.close();
      c.node.crash();
      await kernel.until(() => [a, b].every(({ host }) => host.member("c")?.state === "left"), 3000);
      await kernel.sleep(60_000);
      expect(a.host.member("c")?.state).toBe("left");
      expect(a.events.some(({ kind }) => kind === "member-suspect" || kind === "member-dead")).toBe(false);
      await c.host.leave(); // again, and after the close: nothing to wait for
    }),
  );

  it(
    "two regions that were cut off for five minutes find each other unattended (item 18)",
    simulated(async (kernel) => {
      const [a, b, c] = await trio(kernel);
      kernel.cut("c", "*");
      await kernel.sleep(300_000);
      expect([a.host.member("c")?.state, c.host.member("a")?.state]).toEqual(["dead", "dead"]);
      kernel.heal();
      const all = ["a alive", "b alive", "c alive"];
      await kernel.until(() => [a, b, c].every(({ host }) => sees(host, ...all)), 60_000);
    }),
  );
});

describe("gossip host: after its close", () => {
  it(
    "a connection that comes about is ended without a word",
    simulated(async (kernel) => {
      const { world, host, ...rest } = kernel.makeWorld({ name: "b", region: "eu" });
      const said: string[] = [];
      await world.network.listen({ host, port: PORT }, (stream) => {
        stream.open({
          onData: (bytes) => void said.push(`${bytes.length} bytes`),
          onClose: () => void said.push("closed"),
        });
      });
      const a = await start(kernel, "a", [{ world, host, ...rest }]);
      await a.host.close();
      await kernel.sleep(20_000);
      expect(said).toEqual(["closed"]);
    }),
  );

  it(
    "who asks for keys gets no answers, and who asked before has got none",
    simulated(async (kernel) => {
      const a = await start(kernel, "a", [], { keys: [keyOf(1)] });
      const b = await start(kernel, "b", [a.node], { keys: [keyOf(1)] });
      await kernel.until(() => sees(b.host, "a alive", "b alive"), 5000);
      a.node.crash();
      const none = { members: 0, answers: new Map() };
      const asked = b.host.keys("list", NO_BYTES);
      await b.host.close();
      expect([await asked, await b.host.keys("list", NO_BYTES)]).toEqual([none, none]);
    }),
  );
});

describe("gossip host: stalls (item 16)", () => {
  it(
    "one that was frozen for 5 s suspects nobody, and is alive for the others within seconds",
    simulated(async (kernel) => {
      const [a, b, c] = await trio(kernel);
      await kernel.sleep(7300);
      for (const stallMs of [5000, 5000, 700, 30_000]) {
        c.node.stall(stallMs);
        await kernel.sleep(stallMs);
        await kernel.until(() => [a, b].every(({ host }) => host.member("c")?.state === "alive"), 5000);
        await kernel.sleep(20_000);
      }
      expect(c.events.filter(({ kind }) => kind === "member-suspect" || kind === "member-dead")).toEqual([]);
      expect(a.events.filter(({ kind, name }) => kind === "member-suspect" && name === "b")).toEqual([]);
      expect(a.events.some(({ kind, name }) => kind === "member-suspect" && name === "c")).toBe(true);
    }),
  );

  it(
    "a suspect gets back the time in which nobody was heard",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const b = await start(kernel, "b", [a.node]);
      await kernel.until(() => sees(a.host, "a alive", "b alive"), 5000);
      b.node.crash("machine");
      await kernel.until(() => sees(a.host, "a alive", "b suspect"), 5000);
      a.node.stall(30_000);
      await kernel.sleep(31_000);
      expect(a.host.member("b")?.state).toBe("suspect");
      await kernel.until(() => a.host.member("b")?.state === "dead", 5000);
    }),
  );

  it(
    "how much may wait meanwhile is told",
    simulated(async (kernel) => {
      const { host } = await start(kernel, "a");
      expect(host.figures().receiveBufferBytes).toBeGreaterThan(0);
    }),
  );
});

describe("gossip host: what others send", () => {
  it(
    "item 17: packets and streams of another cluster are dropped and counted, and pools stay apart",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const stranger = await start(kernel, "stranger", [a.node], { label: "other" });
      await kernel.sleep(20_000);
      expect(sees(a.host, "a alive") && sees(stranger.host, "stranger alive")).toBe(true);
      expect(rejectsOf(a)["foreign-label"]).toBeGreaterThan(1);
    }),
  );

  it(
    "item 19: garbage on both ports is counted by kind and changes nothing",
    simulated(async (kernel) => {
      const [a, b] = await trio(kernel);
      const { world, host } = kernel.makeWorld({ name: "attacker", region: "eu" });
      const header = labelled("shop");
      const to = { host: a.node.host, port: PORT };
      const socket = await world.network.bindDatagrams({ host, port: 9 }, () => undefined);
      const packets = [
        NO_BYTES,
        Uint8Array.of(1, 2, 3),
        Uint8Array.of(...header.header, 9, 0x80),
        Uint8Array.of(...header.header, 99),
      ];
      for (const packet of packets) socket.send(to, packet);
      const accusation = { type: "suspect", node: "nobody", incarnation: 1, from: "x" } as const;
      socket.send(
        to,
        encodePacket([accusation], header, true).map((byte, at) => (at === 12 ? byte ^ 1 : byte)),
      );
      for (const bytes of [
        Uint8Array.of(...header.header, 6, 0x93),
        Uint8Array.of(...header.header, 9),
        Uint8Array.of(...header.header, 6),
      ]) {
        const stream = await world.network.connect(to, 1000);
        stream.open({ onData: () => undefined, onClose: () => undefined });
        stream.write(bytes);
        await kernel.sleep(100);
        stream.close();
      }
      await kernel.sleep(5000);
      expect(rejectsOf(a)).toEqual({
        "foreign-label": 2,
        "bad-compression": 1,
        "unknown-type": 1,
        "bad-crc": 1,
        malformed: 1,
        truncated: 2,
      });
      expect(sees(a.host, "a alive", "b alive", "c alive")).toBe(true);
      expect(b.events.filter(({ kind }) => kind !== "member-up")).toEqual([]);
    }),
  );

  it(
    "item 19: a stranger's packet that is shorter than its answer, sealed, would be, gets none",
    simulated(async (kernel) => {
      const keys = [keyOf(1)];
      const { node } = await start(kernel, "a", [], { keys, verifyIncoming: false });
      const { world, host } = kernel.makeWorld({ name: "stranger", region: "eu" });
      const answers: number[] = [];
      const socket = await world.network.bindDatagrams({ host, port: 9 }, (bytes) => answers.push(bytes.length));
      const named = { sourceAddr: host, sourcePort: 9, sourceNode: "stranger" };
      const unnamed = { sourceAddr: "", sourcePort: 0, sourceNode: "" };
      for (const source of [unnamed, named]) {
        const ping = encodePacket([{ type: "ping", seq: 1, node: "a", ...source }], labelled("shop"), false);
        socket.send({ host: node.host, port: PORT }, ping);
        await kernel.sleep(100);
        if (source === unnamed) expect(answers).toEqual([]);
        else expect(answers[0]).toBeLessThanOrEqual(ping.length);
      }
      expect(answers.length).toBe(1);
    }),
  );

  it(
    "item 19: streams that say nothing are bounded in number and closed after ten seconds, and members still join",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const { world } = kernel.makeWorld({ name: "attacker", region: "eu" });
      let closed = 0;
      const streams: Stream[] = [];
      for (let i = 0; i < 40; i++) {
        const stream = await world.network.connect({ host: a.node.host, port: PORT }, 1000);
        stream.open({ onData: () => undefined, onClose: () => closed++ });
        streams.push(stream);
      }
      await kernel.sleep(1000);
      expect([closed, rejectsOf(a)]).toEqual([8, { "too-many-streams": 8 }]);
      await kernel.sleep(10_000);
      expect([closed, rejectsOf(a)]).toEqual([40, { "too-many-streams": 8, "stream-timeout": 32 }]);
      const b = await start(kernel, "b", [a.node]);
      await kernel.until(() => sees(b.host, "a alive", "b alive"), 5000);
    }),
  );

  it(
    "item 19: what follows a whole request on its stream is not read",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const { world } = kernel.makeWorld({ name: "attacker", region: "eu" });
      const stream = await world.network.connect({ host: a.node.host, port: PORT }, 1000);
      let answers = 0;
      stream.open({ onData: () => (answers += 1), onClose: () => undefined });
      stream.write(encodeStream({ type: "push-pull", join: false, nodes: [], userState: NO_BYTES }, labelled("shop")));
      for (let i = 0; i < 3; i++) {
        await kernel.sleep(100);
        stream.write(Uint8Array.of(0)); // or each byte is answered with a table
      }
      await kernel.sleep(100);
      expect([answers, rejectsOf(a)]).toEqual([1, {}]);
    }),
  );

  it(
    "item 19: a table larger than the stream's bound is refused while it comes",
    simulated(async (kernel) => {
      const a = await start(kernel, "a");
      const { world } = kernel.makeWorld({ name: "attacker", region: "eu" });
      const stream = await world.network.connect({ host: a.node.host, port: PORT }, 1000);
      let closed = false;
      stream.open({
        onData: () => undefined,
        onClose: () => {
          closed = true;
        },
      });
      // Announces one row and 12 MiB of user state; then more than was announced would ever come.
      const head = [...labelled("shop").header, 6, 0x82, 0xa5, ...new TextEncoder().encode("Nodes"), 0, 0xac];
      stream.write(Uint8Array.of(...head, ...new TextEncoder().encode("UserStateLen"), 0xce, 0, 0xbf, 0xff, 0xff));
      for (let i = 0; i < 13 && !closed; i++) {
        stream.write(new Uint8Array(1024 * 1024 - 1));
        await kernel.sleep(100);
      }
      await kernel.sleep(1000);
      expect([closed, rejectsOf(a)]).toEqual([true, { "too-large": 1 }]);
    }),
  );
});
