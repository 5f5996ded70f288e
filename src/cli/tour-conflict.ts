import {
  type ConflictView,
  type ExplainAnswer,
  listConflicts,
  showConflict,
  showExplanation,
} from "./conflict-commands.ts";
import { statesOf, waitForEqualDigests, waitUntil } from "./convergence.ts";
import { changeRules, withCuts } from "./dev-network.ts";
import { keyPath, NodeClient } from "./http-client.ts";
import { nodeViews, type ReachableNode } from "./nodes.ts";
import type { TourStage } from "./tour-cities.ts";
import { digestLine } from "./tour-cities.ts";

const BUCKET = "tour";
const KEYS = ["motto", "visits", "basket", "profile"] as const;
const HEAL_TIMEOUT_MS = 20_000;
const SPREAD_TIMEOUT_MS = 15_000;
/** Failure detection of profile `local` suspects within two seconds or so. */
const GOSSIP_TIMEOUT_MS = 20_000;

const HOME_MOTTO = "coffee first";
const FAR_MOTTO = "tea first";

/** What everyone agrees on before the cut. Also removes what an earlier tour left. */
export async function prepareRecords(stage: TourStage): Promise<void> {
  const { narrator, home, urls } = stage;
  narrator.step("One record of each kind, known everywhere");
  for (const key of KEYS) await new NodeClient(home.url).request("DELETE", keyPath("/v1/kv", BUCKET, key));
  await put(stage, home, "motto", "no motto yet");
  await ops(stage, home, "visits", [{ op: "increment", by: 10 }], "kv incr tour visits 10");
  await ops(stage, home, "basket", [{ op: "add", elements: ["bread", "milk"] }], "kv add tour basket bread milk");
  await ops(stage, home, "profile", field("name", "Ada"), "kv set-field tour profile name Ada");
  const { states, equal, tookMs } = await waitForEqualDigests(urls, SPREAD_TIMEOUT_MS);
  narrator.claim("all three nodes hold the same", equal, states, tookMs);
}

async function put({ narrator }: TourStage, node: ReachableNode, key: string, value: string): Promise<void> {
  narrator.command(`curl -s -X PUT -H 'content-type: text/plain' -d '${value}' ${node.url}/v1/kv/${BUCKET}/${key}`);
  const headers = { "content-type": "text/plain" };
  await new NodeClient(node.url).request("PUT", keyPath("/v1/kv", BUCKET, key), { body: value, headers });
}

async function ops(
  { narrator }: TourStage,
  node: ReachableNode,
  key: string,
  list: readonly unknown[],
  line: string,
): Promise<void> {
  narrator.command(`starling ${line} --node ${node.url}`);
  await new NodeClient(node.url).json("POST", keyPath("/v1/ops", BUCKET, key), { ops: list });
}

function field(name: string, value: string): unknown[] {
  return [{ op: "update", field: name, ops: [{ op: "assign", value }] }];
}

/** Cuts the far region off; both sides go on writing the same records. */
export async function cutAndWrite(stage: TourStage): Promise<void> {
  const { narrator, home, near, far, urls } = stage;
  narrator.step(`${far.region} is cut off; both sides go on`);
  for (const { region } of [home, near])
    narrator.command(`starling dev cut ${region} ${far.region} --node ${home.url}`);
  await changeRules(urls, (rules) =>
    withCuts(rules, [
      [home.region, far.region],
      [near.region, far.region],
    ]),
  );
  narrator.say(`on ${home.region}'s side:`);
  await put(stage, home, "motto", HOME_MOTTO);
  await ops(stage, home, "visits", [{ op: "increment", by: 3 }], "kv incr tour visits 3");
  await ops(stage, home, "basket", [{ op: "remove", elements: ["milk"] }], "kv remove tour basket milk");
  await ops(stage, near, "basket", [{ op: "add", elements: ["cheese"] }], "kv add tour basket cheese");
  await ops(stage, home, "profile", field("city", "Berlin"), "kv set-field tour profile city Berlin");
  narrator.say(`on ${far.region}'s side, which knows nothing of that:`);
  await put(stage, far, "motto", FAR_MOTTO);
  await ops(stage, far, "visits", [{ op: "increment", by: 4 }], "kv incr tour visits 4");
  await ops(stage, far, "basket", [{ op: "add", elements: ["milk", "rice"] }], "kv add tour basket milk rice");
  await ops(stage, far, "profile", field("phone", "555-0100"), "kv set-field tour profile phone 555-0100");
  await showSides(stage);
  await showSuspicion(stage);
}

/** Membership notices the cut by itself: nobody told it. */
async function showSuspicion({ narrator, home, far }: TourStage): Promise<void> {
  const ask = async (): Promise<string> => {
    const nodes = await nodeViews(new NodeClient(home.url));
    return nodes.find(({ id }) => id === far.id)?.state ?? "unknown";
  };
  const { answer, held, tookMs } = await waitUntil(ask, (state) => state !== "alive", GOSSIP_TIMEOUT_MS);
  narrator.command(`starling members --node ${home.url}`);
  narrator.claim(`${home.id} has noticed that it can't reach ${far.id}: "${answer}"`, held, answer, tookMs);
}

/** What a key shows at a node: a register's text, other types as canonical JSON. */
async function valueAt(url: string, key: string): Promise<string> {
  const response = await new NodeClient(url).request("GET", keyPath("/v1/kv", BUCKET, key));
  return response.text();
}

function valuesAt(url: string): Promise<string[]> {
  return Promise.all(KEYS.map((key) => valueAt(url, key)));
}

async function showSides(stage: TourStage): Promise<void> {
  const { narrator, home, near, far, nodes, urls } = stage;
  const ask = (): Promise<string[][]> => Promise.all(urls.map(valuesAt));
  const [homeAt, nearAt, farAt] = [home, near, far].map((node) => nodes.indexOf(node));
  const same = (a: readonly string[] | undefined, b: readonly string[] | undefined): boolean => String(a) === String(b);
  const { answer, held, tookMs } = await waitUntil(
    ask,
    (sides) => same(sides[homeAt ?? 0], sides[nearAt ?? 1]),
    SPREAD_TIMEOUT_MS,
  );
  narrator.command(`curl -s ${home.url}/v1/kv/${BUCKET}?values   # and the same at ${far.url}`);
  showValues(stage, answer);
  narrator.claim(`${home.region} and ${near.region} still see each other's writes`, held, answer, tookMs);
  const cut = answer[farAt ?? 2];
  narrator.claim(
    `${far.region} sees other values for all four`,
    KEYS.every((_key, at) => cut?.[at] !== answer[homeAt ?? 0]?.[at]),
    answer,
  );
  const states = await statesOf(urls);
  narrator.claim("the digests differ", states[homeAt ?? 0]?.digest !== states[farAt ?? 2]?.digest, states);
  narrator.say(`digests: ${await digestLine(stage)}`);
}

function showValues({ narrator, nodes }: TourStage, values: readonly (readonly string[])[]): void {
  const head = ["key", ...nodes.map(({ id }) => id)];
  const rows = KEYS.map((key, at) => [key, ...values.map((side) => side[at] ?? "")]);
  narrator.show((out) => out.table(head, rows));
}

/** Heals, and shows what became of each kind of record. */
export async function healAndCompare(stage: TourStage): Promise<void> {
  const { narrator, home, urls } = stage;
  narrator.step("The cut heals");
  narrator.command(`starling dev heal --node ${home.url}`);
  await changeRules(urls, (rules) => ({ ...rules, cut: [] }));
  const { states, equal, tookMs } = await waitForEqualDigests(urls, HEAL_TIMEOUT_MS);
  narrator.claim("the digests of all three nodes are equal again", equal, states, tookMs);
  narrator.say(`digests: ${await digestLine(stage)}`);
  const values = await Promise.all(urls.map(valuesAt));
  showValues(stage, values);
  const all = (key: (typeof KEYS)[number], wanted: (text: string) => boolean): boolean =>
    values.every((side) => wanted(side[KEYS.indexOf(key)] ?? ""));
  narrator.claim(
    "the counter has every increment: 10 + 3 + 4 = 17",
    all("visits", (text) => text === "17"),
    values,
  );
  narrator.claim(
    "the set has what either side added; milk stays, because that add had not been seen by the remove",
    all("basket", (text) => sameJson(text, ["bread", "cheese", "milk", "rice"])),
    values,
  );
  narrator.claim(
    "the map has the fields of both sides",
    all("profile", (text) => sameJson(text, { city: "Berlin", name: "Ada", phone: "555-0100" })),
    values,
  );
  narrator.claim(
    "the register shows the same one of its two values everywhere",
    all("motto", (text) => text === values[0]?.[0] && [HOME_MOTTO, FAR_MOTTO].includes(text)),
    values,
  );
}

/** Equal JSON, whatever the order of an object's fields or a set's elements. */
function sameJson(text: string, wanted: unknown): boolean {
  return canonical(JSON.parse(text)) === canonical(wanted);
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return JSON.stringify([...value].sort());
  return JSON.stringify(Object.entries(value ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function conflictsAt(url: string): Promise<ConflictView[]> {
  return listConflicts(new NodeClient(url), BUCKET, 100).then(({ conflicts }) => conflicts);
}

/** Shows the one conflict, explains it, settles it on one node. */
export async function settleConflict(stage: TourStage): Promise<void> {
  const { narrator, home, urls } = stage;
  narrator.step("Two values were written without knowing of each other: a conflict, and nothing is lost");
  narrator.command(`starling conflicts ls --bucket ${BUCKET} --node ${home.url}   # the same on the others`);
  const seen = await Promise.all(urls.map(conflictsAt));
  const [conflict] = seen[0] ?? [];
  narrator.claim(
    "each node lists exactly one conflict, with the same id",
    conflict !== undefined && seen.every((list) => list.length === 1 && list[0]?.id === conflict.id),
    seen.map((list) => list.map(({ id, key }) => `${key} ${id}`)),
  );
  if (!conflict) return;
  narrator.claim(
    "it holds both values on each node",
    seen.every((list) => sameJson(JSON.stringify(siblingValues(list[0])), [HOME_MOTTO, FAR_MOTTO])),
    seen.map((list) => siblingValues(list[0])),
  );
  narrator.command(`starling conflicts show ${conflict.id} --node ${home.url}`);
  narrator.show((out) => showConflict(out, conflict));
  narrator.command(`starling explain ${BUCKET} motto --node ${home.url}`);
  const why = await new NodeClient(home.url).get<ExplainAnswer>(keyPath("/v1/explain", BUCKET, "motto"));
  narrator.show((out) => showExplanation(out, why));
  await resolveAt(stage, conflict);
}

function siblingValues(conflict: ConflictView | undefined): unknown[] {
  return conflict?.places.flatMap(({ siblings }) => siblings.map(({ value }) => value)) ?? [];
}

async function resolveAt(stage: TourStage, conflict: ConflictView): Promise<void> {
  const { narrator, near, urls } = stage;
  narrator.step(`Somebody decides, at ${near.region}`);
  const chosen = conflict.places[0]?.siblings.find(({ value }) => value === FAR_MOTTO)?.dots[0]?.dot ?? "";
  narrator.command(
    `starling conflicts resolve ${conflict.id} --choose ${chosen} --reason 'tea it is' --node ${near.url}`,
  );
  await new NodeClient(near.url).json("POST", `/v1/conflicts/${conflict.id}/resolve`, {
    choose: chosen,
    reason: "tea it is",
  });
  const ask = async (): Promise<{ open: number; motto: string }[]> =>
    Promise.all(
      urls.map(async (url) => ({ open: (await conflictsAt(url)).length, motto: await valueAt(url, "motto") })),
    );
  const settled = await waitUntil(
    ask,
    (sides) => sides.every(({ open, motto }) => open === 0 && motto === FAR_MOTTO),
    SPREAD_TIMEOUT_MS,
  );
  narrator.claim(
    `it is settled on all three nodes, and each shows "${FAR_MOTTO}"`,
    settled.held,
    settled.answer,
    settled.tookMs,
  );
  const { states, equal, tookMs } = await waitForEqualDigests(urls, SPREAD_TIMEOUT_MS);
  narrator.claim("the digests of all three nodes are equal", equal, states, tookMs);
}
