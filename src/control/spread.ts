import { compareText } from "../kernel/bytes.ts";
import type { NewMember } from "./schemas.ts";

type Placed = Readonly<Pick<NewMember, "id" | "region" | "zone" | "weight">>;

/** The best to vote first: of the region with the fewest of these voters, then the zone, then the heaviest. */
export function rankedBySpread<M extends Placed>(members: readonly M[], voters: readonly Placed[]): M[] {
  const inRegion = ({ region }: Placed): number => voters.filter((voter) => voter.region === region).length;
  const inZone = ({ region, zone }: Placed): number =>
    voters.filter((voter) => voter.region === region && voter.zone === zone).length;
  return [...members].sort(
    (a, b) => inRegion(a) - inRegion(b) || inZone(a) - inZone(b) || b.weight - a.weight || compareText(a.id, b.id),
  );
}
