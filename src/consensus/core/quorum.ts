/** A member of the group: a node's id. */
export type Id = string;

export type VoteResult = "won" | "lost" | "pending";

/** Half of the voters and one more decide. An empty set decides nothing against anybody: it agrees to all. */
export function majorityVote(voters: ReadonlySet<Id>, votes: ReadonlyMap<Id, boolean>): VoteResult {
  if (voters.size === 0) return "won";
  const quorum = (voters.size >> 1) + 1;
  let yes = 0;
  let missing = 0;
  for (const id of voters) {
    const vote = votes.get(id);
    if (vote === undefined) missing += 1;
    else if (vote) yes += 1;
  }
  if (yes >= quorum) return "won";
  return yes + missing >= quorum ? "pending" : "lost";
}

/** The largest index that half of the voters and one more have reached, unknown ones counting as 0; Infinity for an empty
 *  set. */
export function majorityCommitted(voters: ReadonlySet<Id>, reached: (id: Id) => number | undefined): number {
  if (voters.size === 0) return Number.POSITIVE_INFINITY;
  const indexes = [...voters].map((id) => reached(id) ?? 0).sort((a, b) => b - a);
  return indexes[voters.size >> 1] as number;
}

/** Two majorities while the group changes (joint consensus, Ongaro 2014, §4.3): both must agree. */
export function jointVote(halves: readonly ReadonlySet<Id>[], votes: ReadonlyMap<Id, boolean>): VoteResult {
  const results = halves.map((voters) => majorityVote(voters, votes));
  if (results.includes("lost")) return "lost";
  return results.includes("pending") ? "pending" : "won";
}

export function jointCommitted(halves: readonly ReadonlySet<Id>[], reached: (id: Id) => number | undefined): number {
  return Math.min(...halves.map((voters) => majorityCommitted(voters, reached)));
}
