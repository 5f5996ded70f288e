import { Command } from "commander";
import { contextOf, withExamples } from "./context.ts";
import type { Output } from "./output.ts";
import { writeHeaders } from "./write-options.ts";

interface Policy {
  readonly show: string;
  readonly regions?: readonly string[];
}

interface PolicyAnswer {
  readonly bucket: string;
  readonly version: number;
  readonly policy: Policy | null;
  readonly by: string | null;
  readonly reason: string | null;
  readonly at: string | null;
}

/** `starling policy`: which of concurrent values a bucket shows. */
export function policyCommand(): Command {
  return new Command("policy")
    .description("which of concurrent values a bucket shows, by agreement")
    .addCommand(listCommand())
    .addCommand(getCommand())
    .addCommand(setCommand())
    .addCommand(historyCommand());
}

function listCommand(): Command {
  const command = new Command("ls")
    .description("buckets that have a policy of their own")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<{ policies: readonly PolicyAnswer[] }>("/v1/policies");
      out.result(answer, () => showPolicies(out, answer.policies));
    });
  return withExamples(command, ["all of them", "policy ls"]);
}

function getCommand(): Command {
  const command = new Command("get")
    .description("the policy in force for a bucket")
    .argument("<bucket>")
    .action(async (bucket: string, _options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<PolicyAnswer>(pathOf(bucket));
      out.result(answer, () => showPolicies(out, [answer]));
    });
  return withExamples(command, ["version 0 is the default", "policy get carts"]);
}

interface SetOptions {
  readonly regions?: string;
  readonly ifVersion?: string;
  readonly reason?: string;
}

function setCommand(): Command {
  const command = new Command("set")
    .description("set a bucket's policy; `default` takes it back")
    .argument("<bucket>")
    .argument("<policy>", "lww, siblings, fww, max, min, longest, union, json-merge, region-order, or default")
    .option("--regions <list>", "for region-order: which region's value goes first, such as eu,us,ap")
    .option("--if-version <version>", "only if it is still at this version (0: never set)")
    .option("--reason <text>", "kept with the change")
    .action(async (bucket: string, show: string, options: SetOptions, self: Command) => {
      const { out, client } = contextOf(self);
      const condition = options.ifVersion === undefined ? {} : { "if-match": `"${options.ifVersion}"` };
      const headers = {
        ...writeHeaders({ ...(options.reason !== undefined && { reason: options.reason }) }),
        ...condition,
      };
      if (show === "default") {
        await client.send("DELETE", pathOf(bucket), headers);
        out.result({ bucket, policy: null }, () => out.line(`${bucket} shows what the default says again`));
        return;
      }
      const policy = { show, ...(options.regions !== undefined && { regions: options.regions.split(",") }) };
      const answer = await client.json<{ version: number }>("PUT", pathOf(bucket), policy, { headers });
      out.result(answer, () => out.line(`${bucket} has policy ${textOf(policy)} (version ${answer.version})`));
    });
  return withExamples(
    command,
    ["keep concurrent values visible", 'policy set carts siblings --reason "sums were lost"'],
    ["the first region's value shows", "policy set prices region-order --regions eu,us,ap"],
    ["only if nobody changed it meanwhile", "policy set carts union --if-version 17"],
    ["take it back", "policy set carts default"],
  );
}

function historyCommand(): Command {
  const command = new Command("history")
    .description("the last policies of a bucket: who set them, and why")
    .argument("<bucket>")
    .action(async (bucket: string, _options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<{ history: readonly PolicyAnswer[] }>(`${pathOf(bucket)}/history`);
      out.result(answer, () =>
        showPolicies(
          out,
          answer.history.map((one) => ({ ...one, bucket })),
        ),
      );
    });
  return withExamples(command, ["newest first", "policy history carts"]);
}

function pathOf(bucket: string): string {
  return `/v1/policies/${encodeURIComponent(bucket)}`;
}

function showPolicies(out: Output, policies: readonly PolicyAnswer[]): void {
  out.table(
    ["bucket", "policy", "version", "by", "at", "reason"],
    policies.map(({ bucket, policy, version, by, at, reason }) => [
      bucket,
      policy ? textOf(policy) : "default",
      version,
      by,
      at,
      reason ?? "",
    ]),
  );
}

function textOf({ show, regions }: Policy): string {
  return regions ? `${show} ${regions.join(" ")}` : show;
}
