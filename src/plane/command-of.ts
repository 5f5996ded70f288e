import { type Command, commandSchema } from "../control/commands.ts";
import { LEVEL_KNOWN } from "../control/state.ts";
import { InputError } from "../kernel/assert.ts";
import { toHex } from "../kernel/bytes.ts";
import type { World } from "../world/world.ts";
import type { Wish } from "./api.ts";

/** A wish with its envelope: made once for all tries. @param basis version of the state that whoever wishes has
 *  Throws InputError when it says what no command may. */
export function commandOf(wish: Wish, basis: number, { clock, rng }: Pick<World, "clock" | "rng">): Command {
  const id = toHex(Uint8Array.from({ length: 12 }, () => rng.below(256)));
  const envelope = { id, basis, level: LEVEL_KNOWN, atMs: Math.max(0, Math.floor(clock.wallMs())) };
  const parsed = commandSchema.safeParse({ ...envelope, ...wish });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new InputError("bad-command", `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "malformed"}`);
}
