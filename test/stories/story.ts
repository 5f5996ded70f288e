import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { present } from "../../src/kernel/assert.ts";
import type { SimCluster } from "../sim/cluster.ts";
import type { ClientResponse } from "../sim/http.ts";

// The language of the examples in docs/semantics.md. One line, one step:
//   NODE put KEY JSON [with NAME]      NODE op KEY JSON-operation [with NAME]      NODE del KEY [with NAME]
//   NODE refuses put|op KEY JSON -> SLUG
//   NODE get KEY -> JSON | absent      NODE siblings KEY -> [JSON, …] in any order
//   NODE read KEY as NAME              keeps the Starling-Context of the answer
//   NODE conflict KEY                  there is one, with the same id on all nodes asked
//   NODE calm KEY                      there is none
//   settle                             waits until all nodes have equal digests
//   cut REGION | heal                  heal joins everything again, and settles
// NODE is a node's name, or `all`.

export interface Step {
  readonly line: number;
  readonly text: string;
}

export interface Story {
  /** The heading that it stands under. */
  readonly title: string;
  readonly line: number;
  readonly steps: readonly Step[];
}

/** The ```story blocks of a page. */
export function storiesOf(path: string): Story[] {
  const stories: Story[] = [];
  let title = "";
  let open: { line: number; steps: Step[] } | null = null;
  for (const [i, text] of readFileSync(path, "utf8").split("\n").entries()) {
    const line = i + 1;
    if (open && text === "```") {
      stories.push({ title, ...open });
      open = null;
    } else if (open) {
      if (text.trim() !== "") open.steps.push({ line, text: text.trim() });
    } else if (text === "```story") open = { line, steps: [] };
    else if (/^#+ /.test(text)) title = text.replace(/^#+ /, "");
  }
  if (open) throw new Error(`the story that begins at line ${open.line} has no end`);
  return stories;
}

export class StoryTeller {
  readonly #cluster: SimCluster;
  readonly #bucket: string;
  readonly #contexts = new Map<string, string>();

  constructor(cluster: SimCluster, bucket: string) {
    this.#cluster = cluster;
    this.#bucket = bucket;
  }

  /** Throws with the line that does not hold. */
  async tell(story: Story): Promise<void> {
    for (const { line, text } of story.steps) {
      try {
        await this.#step(text);
      } catch (error) {
        throw new Error(`line ${line}: ${text}\n  ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }

  async #step(text: string): Promise<void> {
    const [first = "", second = ""] = text.split(" ");
    if (text === "settle") return this.#cluster.converged();
    if (text === "heal") {
      this.#cluster.heal();
      return this.#cluster.converged();
    }
    if (first === "cut") {
      if (!this.#cluster.regions.includes(second)) throw new Error(`there is no region ${second}`);
      return this.#cluster.cutRegion(second);
    }
    const rest = text.slice(first.length + 1);
    const nodes = first === "all" ? this.#cluster.names : [this.#cluster.member(first).spec.name];
    const ids = new Set<string | null>();
    for (const node of nodes) ids.add(await this.#ask(node, rest));
    if (ids.size > 1) throw new Error(`the nodes show different conflicts: ${[...ids]}`);
  }

  /** Returns the id of the conflict that the step is about, if it is about one. */
  async #ask(node: string, text: string): Promise<string | null> {
    const writing = /^(put|op|del) (\S+)(?: (.*?))?(?: with (\w+))?$/.exec(text);
    if (writing) {
      const [, call = "", key = "", json, name] = writing;
      await this.#accepted(await this.#write(node, call, key, json, name));
      return null;
    }
    const refusal = /^refuses (put|op) (\S+) (.*) -> (\S+)$/.exec(text);
    if (refusal) {
      const [, call = "", key = "", json, slug] = refusal;
      const response = await this.#write(node, call, key, json, undefined);
      const answer = await response.text();
      if (response.ok || (JSON.parse(answer) as { type: string }).type !== slug)
        throw new Error(`answered ${response.status} ${answer}`);
      return null;
    }
    const reading = /^(get|siblings|read|conflict|calm) (\S+)(?: (?:->|as) (.*))?$/.exec(text);
    if (!reading) throw new Error("this is no step of a story");
    const [, call = "", key = "", expected = ""] = reading;
    return this.#read(node, call, key, expected);
  }

  #write(node: string, call: string, key: string, json = "", name: string | undefined): Promise<ClientResponse> {
    const headers: Record<string, string> = {};
    if (name !== undefined)
      headers["starling-context"] = present(this.#contexts.get(name), `somebody read as ${name} before`);
    const path = `/v1/kv/${this.#bucket}/${key}`;
    if (call === "del") return this.#cluster.request(node, { method: "DELETE", path, headers });
    JSON.parse(json); // throws where the page has a slip
    headers["content-type"] = "application/json";
    if (call === "put") return this.#cluster.request(node, { method: "PUT", path, headers, body: json });
    const body = `{"ops":[${json}]}`;
    return this.#cluster.request(node, { method: "POST", path: `/v1/ops/${this.#bucket}/${key}`, headers, body });
  }

  async #accepted(response: ClientResponse): Promise<void> {
    if (!response.ok) throw new Error(`answered ${response.status} ${await response.text()}`);
  }

  async #read(node: string, call: string, key: string, expected: string): Promise<string | null> {
    const siblings = call === "siblings" ? "?siblings" : "";
    const path = `/v1/kv/${this.#bucket}/${key}${siblings}`;
    const response = await this.#cluster.request(node, { method: "GET", path });
    const body = await response.text();
    const id = response.headers.get("starling-conflict");
    if (call === "get" && expected === "absent") {
      if (response.status !== 404) throw new Error(`${node} answered ${response.status} ${body}`);
      return null;
    }
    if (!response.ok) throw new Error(`${node} answered ${response.status} ${body}`);
    switch (call) {
      case "get":
        requireEqual(node, JSON.parse(body), JSON.parse(expected));
        return null;
      case "siblings": {
        const listed = JSON.parse(body) as { siblings: { value: unknown }[] };
        requireEqual(
          node,
          sorted(listed.siblings.map(({ value }) => value)),
          sorted(JSON.parse(expected) as unknown[]),
        );
        return null;
      }
      case "read":
        this.#contexts.set(expected, present(response.headers.get("starling-context"), "a context"));
        return null;
      case "conflict":
        if (id === null) throw new Error(`${node} shows no conflict: ${body}`);
        await this.#requireListed(node, key, id);
        return id;
      default:
        if (id !== null) throw new Error(`${node} shows conflict ${id}`);
        return null;
    }
  }

  async #requireListed(node: string, key: string, id: string): Promise<void> {
    const listed = (await this.#cluster.getJson(node, `/v1/conflicts?bucket=${this.#bucket}`)) as {
      conflicts: { key: string; id: string }[];
    };
    const mine = listed.conflicts.find((conflict) => conflict.key === key);
    if (mine?.id !== id) throw new Error(`${node} lists conflict ${mine?.id} for it, and shows ${id}`);
  }
}

function requireEqual(node: string, shown: unknown, expected: unknown): void {
  if (!isDeepStrictEqual(shown, expected))
    throw new Error(`${node} answered ${JSON.stringify(shown)} instead of ${JSON.stringify(expected)}`);
}

function sorted(values: readonly unknown[]): unknown[] {
  return [...values].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}
