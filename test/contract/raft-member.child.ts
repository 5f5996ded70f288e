import { writeSync } from "node:fs";
import { OutcomeUnknown, RaftRefusal } from "../../src/consensus/driver/refusal.ts";
import { fromUtf8, utf8 } from "../../src/kernel/bytes.ts";
import { makeRealWorld } from "../../src/world/real.ts";
import type { Log } from "../../src/world/world.ts";
import { INSTANCE, startMember } from "../consensus/members.ts";

/** A member of a group of three, as a process: takes words on its input, a line each, and answers each with a line: `yes` and
 *  its place, `no`, or `unknown`. The word `?` is answered with all that it has, as of a linearizable read. */
const [node = "", dataDir = "", ...ports] = process.argv.slice(2);
const NAMES = ["n1", "n2", "n3"];

const silentLog: Log = { info() {}, warn() {}, error() {}, debug() {}, child: () => silentLog };
const at = (name: string) => ({ host: "127.0.0.1", port: Number(ports[NAMES.indexOf(name)]) });
const member = await startMember({
  node,
  world: makeRealWorld({ log: silentLog }),
  bind: at(node),
  dataDir,
  settings: { tickMs: 20, compactEntries: 25 },
  addressOf: at,
});
const { host, ledger } = member;
if (host.status().state === "empty") await host.found(NAMES, utf8("first"), INSTANCE);
if (host.status().state !== "running") throw new Error(host.status().reason ?? "");

async function answer(word: string): Promise<string> {
  try {
    if (word !== "?") return `yes ${(await host.propose(utf8(word), 2_000)).result}`;
    await host.read(2_000);
    return `has ${ledger.words.join(" ")}`;
  } catch (error) {
    if (error instanceof RaftRefusal) return "no";
    if (error instanceof OutcomeUnknown) return "unknown";
    throw error;
  }
}

writeSync(1, "up\n");
let rest = "";
let turn = Promise.resolve();
process.stdin.on("data", (chunk: Buffer) => {
  const lines = (rest + fromUtf8(chunk)).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines)
    turn = turn.then(async () => {
      writeSync(1, `${await answer(line)}\n`);
    });
});
