import { Command } from "commander";
import { parseDurationMs } from "../config/units.ts";
import { positive } from "./arguments.ts";
import { contextOf, withExamples } from "./context.ts";
import { CliError, EXIT } from "./exit.ts";

const USES_MAX = 1_000;

/** `starling token`: who may join. */
export function tokenCommand(): Command {
  return new Command("token")
    .description("tokens that let new nodes join")
    .addCommand(createCommand())
    .addCommand(listCommand())
    .addCommand(revokeCommand());
}

interface CreateOptions {
  readonly join?: boolean;
  readonly region?: string;
  readonly uses: string;
  readonly ttl: string;
}

interface Created {
  readonly token: string;
  readonly secret: string;
  readonly uses: number;
  readonly region: string | null;
  readonly expiresAt: string;
}

function createCommand(): Command {
  const command = new Command("create")
    .description("make one and print its secret, which nobody can read again")
    .option("--join", "a token to join with (there is no other kind yet)")
    .option("--region <region>", "only nodes of this region")
    .option("--uses <count>", "how many nodes may join with it", "1")
    .option("--ttl <duration>", "how long it lasts, such as 30m or 7d", "1h")
    .action(async (options: CreateOptions, self: Command) => {
      const { out, client } = contextOf(self);
      if (options.join !== true) throw new CliError(EXIT.usage, "say which kind: --join");
      const answer = await client.json<Created>("POST", "/cluster/tokens", {
        uses: positive(options.uses, "--uses", USES_MAX),
        ttlMs: parseDurationMs(options.ttl),
        ...(options.region !== undefined && { region: options.region }),
      });
      out.result(answer, () => {
        out.line(answer.secret);
        const where = answer.region === null ? "any region" : `region ${answer.region}`;
        const times = answer.uses === 1 ? "one node" : `${answer.uses} nodes`;
        out.note(
          `for ${times} of ${where}, until ${answer.expiresAt}; revoke it with: starling token revoke ${answer.token}`,
        );
      });
    });
  return withExamples(
    command,
    ["for one node, within the hour", "token create --join"],
    ["for a pool in one region", "token create --join --region eu --uses 5 --ttl 7d"],
  );
}

interface TokenView {
  readonly token: string;
  readonly state: string;
  readonly uses: number;
  readonly usesLeft: number;
  readonly region: string | null;
  readonly expiresAt: string;
  readonly by: string;
}

function listCommand(): Command {
  const command = new Command("ls")
    .description("join tokens, without secrets")
    .action(async (_options, self: Command) => {
      const { out, client } = contextOf(self);
      const answer = await client.get<{ tokens: readonly TokenView[] }>("/cluster/tokens");
      out.result(answer, () =>
        out.table(
          ["token", "state", "left", "region", "expires", "by"],
          answer.tokens.map(({ token, state, uses, usesLeft, region, expiresAt, by }) => [
            token,
            state,
            `${usesLeft} of ${uses}`,
            region ?? "any",
            expiresAt,
            by,
          ]),
        ),
      );
    });
  return withExamples(command, ["which are open", "token ls"]);
}

function revokeCommand(): Command {
  const command = new Command("revoke")
    .description("nobody joins with it any more; who has joined stays")
    .argument("<token>", "its id, the part before the dot")
    .action(async (token: string, _options, self: Command) => {
      const { out, client } = contextOf(self);
      await client.send("DELETE", `/cluster/tokens/${encodeURIComponent(token)}`);
      out.result({ token, revoked: true }, () => out.line(`${token} lets nobody in any more`));
    });
  return withExamples(command, ["by its id", "token revoke 1f0c6a5be2d94b07"]);
}
