import { Command } from "commander";
import { contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";
import { keyPath } from "./http-client.ts";
import { type WriteOptions, withWriteOptions, writeHeaders } from "./write-options.ts";

type OpJson = Readonly<Record<string, unknown>>;

/** One command per operation on counters, flags, sets and maps, and `ops` for all of them. */
export function kvOpsCommands(): Command[] {
  return [
    opCommand("incr", "[by]", "add to a counter (1)", ([by]) => counted("increment", by), ["kv incr demo visits 3"]),
    opCommand("decr", "[by]", "take from a counter (1)", ([by]) => counted("decrement", by), ["kv decr demo visits"]),
    opCommand("reset", "", "set a counter to zero; increments it has not seen stay", () => [{ op: "reset" }], [
      "kv reset demo visits",
    ]),
    opCommand("enable", "", "raise a flag", () => [{ op: "enable" }], ["kv enable demo maintenance"]),
    opCommand("disable", "", "lower a flag", () => [{ op: "disable" }], ["kv disable demo maintenance"]),
    opCommand("add", "<elements...>", "add texts to a set", (elements) => [{ op: "add", elements }], [
      "kv add demo tags red blue",
    ]),
    opCommand("remove", "<elements...>", "remove texts from a set", (elements) => [{ op: "remove", elements }], [
      "kv remove demo tags red",
    ]),
    opCommand("clear", "", "empty a set", () => [{ op: "clear" }], ["kv clear demo tags"]),
    opCommand(
      "set-field",
      "<field> <value>",
      "assign a field of a map; the value is JSON, or else text",
      ([field, value]) => [{ op: "update", field, ops: [{ op: "assign", value: jsonOrText(value ?? "") }] }],
      ["kv set-field demo profile name Ada", "kv set-field demo profile age 36"],
    ),
    opCommand("remove-field", "<field>", "remove a field of a map", ([field]) => [{ op: "removeField", field }], [
      "kv remove-field demo profile age",
    ]),
    opCommand(
      "ops",
      "<json>",
      "apply several operations as one change: a JSON array of them",
      ([json]) => opsOf(json ?? ""),
      [`kv ops demo profile '[{"op":"update","field":"cart","ops":[{"op":"add","elements":["milk"]}]}]'`],
    ),
  ];
}

function opCommand(
  name: string,
  takes: string,
  about: string,
  opsFrom: (words: readonly string[]) => readonly OpJson[],
  examples: readonly string[],
): Command {
  const command = withWriteOptions(new Command(name)).description(about).argument("<bucket>").argument("<key>");
  for (const one of takes.split(" ").filter((part) => part !== "")) command.argument(one);
  command.action(async () => {
    const [bucket = "", key = "", ...words] = command.args;
    const { out, client } = contextOf(command);
    const response = await client.request("POST", keyPath("/v1/ops", bucket, key), {
      body: JSON.stringify({ ops: opsFrom(words) }),
      headers: { "content-type": "application/json", ...writeHeaders(command.opts<WriteOptions>()) },
    });
    const value: unknown = response.status === 204 ? null : await jsonValue(response);
    out.result(
      { value, type: response.headers.get("starling-type"), context: response.headers.get("starling-context") },
      () => out.line(value === null ? "(absent)" : JSON.stringify(value)),
    );
  });
  return withExamples(command, ...examples.map((line): [string, string] => [about, line]));
}

/** The new value; a register that is no JSON shows as text. */
async function jsonValue(response: Response): Promise<unknown> {
  return jsonOrText(await response.text());
}

function counted(op: "increment" | "decrement", by: string | undefined): OpJson[] {
  if (by === undefined) return [{ op }];
  if (!/^\d+$/.test(by)) throw new CliError(EXIT.usage, "a counter changes by a whole number");
  return [{ op, by }];
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // no JSON: taken as it is
  }
}

function opsOf(json: string): readonly OpJson[] {
  const ops = jsonOrText(json);
  if (!Array.isArray(ops)) throw new CliError(EXIT.usage, "ops takes a JSON array of operations");
  return ops;
}
