import { InputError } from "../kernel/assert.ts";

/** Why a command was refused, and the HTTP status that fits. */
export const REFUSALS = {
  "no-cluster": 404,
  "already-founded": 409,
  "version-mismatch": 412,
  "too-old": 409,
  "level-not-final": 409,
  "table-full": 409,
  "wrong-cluster": 409,
  "bad-token": 403,
  "token-expired": 403,
  "token-used": 403,
  "token-region": 403,
  "node-exists": 409,
  "node-removed": 409,
  "node-lives": 409,
  "unknown-node": 404,
  "address-taken": 409,
  "protocol-mismatch": 409,
  "wrong-state": 409,
  "bad-founder": 400,
  "no-instance": 409,
  "instance-taken": 409,
  "last-node": 409,
  "last-voter": 409,
  "too-few-copies": 409,
  "would-lose-quorum": 409,
  "too-many-voters": 409,
  "bad-incarnation": 409,
  "bad-voters": 400,
  "bad-level": 409,
  "token-exists": 409,
  "no-such-token": 404,
  "bad-expiry": 400,
  "no-such-role": 404,
  "role-in-use": 409,
  "no-such-bucket": 404,
  "no-such-key": 404,
} as const;

export type Slug = keyof typeof REFUSALS;

/** Thrown while a command is being applied, and caught by `apply` alone: nothing has changed. */
export class Refusal extends InputError {
  override readonly slug: Slug;
  constructor(slug: Slug, message: string) {
    super(slug, message);
    this.slug = slug;
  }
}

export function refuse(slug: Slug, message: string): never {
  throw new Refusal(slug, message);
}
