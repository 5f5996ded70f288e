import { Command } from "commander";
import { contextOf, withExamples } from "./context.ts";
import { formatSpan } from "./format.ts";
import { type NodeView, nodeViews } from "./nodes.ts";
import { type Output, stateText } from "./output.ts";

/** What gossip knows. */
export function memberCommands(): Command[] {
  return [membersCommand(), rttCommand(), reachCommand()];
}

function membersCommand(): Command {
  const command = new Command("members")
    .description("members and owners, as gossip sees them: state, where, how far, since when")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const nodes = await nodeViews(client);
      out.result({ nodes }, () => memberTable(out, nodes));
    });
  return withExamples(command, ["who is here", "members"]);
}

function memberTable(out: Output, nodes: readonly NodeView[]): void {
  out.table(
    ["node", "region", "state", "since", "rtt", "phi", "incarnation", "client", "gossip", "remarks"],
    nodes.map((node) => [
      node.self ? `${node.id} (asked)` : node.id,
      node.region,
      stateText(out, node.state),
      node.since === null ? "" : `${formatSpan(Math.max(0, Date.now() - Date.parse(node.since)))} ago`,
      rttText(node),
      node.phi === null ? "" : node.phi.toFixed(1),
      node.incarnation ?? "",
      node.addresses.client,
      node.addresses.gossip,
      remarks(node).map(out.color.yellow).join("; "),
    ]),
  );
}

/** `~`: not measured from there, but told by coordinates. */
function rttText({ rttMs, estimatedRttMs }: NodeView): string {
  if (rttMs !== null) return `${rttMs.toFixed(1)} ms`;
  return estimatedRttMs === null ? "" : `~${estimatedRttMs.toFixed(1)} ms`;
}

function remarks({ state, gray = [], accusers }: NodeView): string[] {
  const found =
    accusers.length > 0 ? [`${state === "dead" ? "held for dead" : "suspected"} by ${accusers.join(", ")}`] : [];
  return state === "alive" && gray.length > 0 ? [...found, `gray: ${gray.join(", ")}`] : found;
}

interface RttAnswer {
  readonly from: string;
  readonly to: string;
  readonly estimatedMs: number | null;
  readonly measuredMs: number | null;
}

function rttCommand(): Command {
  const command = new Command("rtt")
    .description("the round trip between two members, estimated from network coordinates")
    .argument("<to>", "a member")
    .argument("[from]", "another; the node that is asked when left out")
    .action(async (to: string, from: string | undefined, _options, self: Command) => {
      const { out, client } = contextOf(self);
      const query = new URLSearchParams(from === undefined ? { to } : { to, from });
      const answer = await client.get<RttAnswer>(`/cluster/rtt?${query}`);
      const text = (ms: number | null): string => (ms === null ? "unknown" : `${ms.toFixed(1)} ms`);
      out.result(answer, () =>
        out.table(
          ["from", "to", "estimated", "measured"],
          [[answer.from, answer.to, text(answer.estimatedMs), text(answer.measuredMs)]],
        ),
      );
    });
  return withExamples(command, ["between two others", "rtt us ap"]);
}

interface ReachAnswer {
  readonly node: string;
  readonly reach: readonly {
    readonly from: string;
    readonly to: string;
    readonly state: string;
    readonly members: number;
    readonly accused: readonly string[];
    readonly accusers: readonly string[];
  }[];
}

function reachCommand(): Command {
  const command = new Command("reach")
    .description("which regions can reach which, from who suspects whom")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<ReachAnswer>("/cluster/reach");
      out.result(answer, () =>
        out.table(
          ["from", "to", "state", "accused", "by"],
          answer.reach.map(({ from, to, state, members, accused, accusers }) => [
            from,
            to,
            stateText(out, state),
            accused.length === 0 ? "" : `${accused.length} of ${members}: ${accused.join(", ")}`,
            accusers.join(", "),
          ]),
        ),
      );
    });
  return withExamples(command, ["during a cut", "reach"]);
}
