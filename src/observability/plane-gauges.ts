import type { PlaneApi, RaftStatus } from "../plane/api.ts";

/** What of a gauge is used here. */
interface Settable {
  set(value: number): void;
  set(labels: Readonly<Record<string, string>>, value: number): void;
  reset(): void;
}
type MakeGauge = (name: string, help: string, labelNames?: string[]) => Settable;
type Numbers = readonly [name: string, help: string, of: (status: RaftStatus) => number | null][];

const NUMBERS: Numbers = [
  ["raft_running", "1 while this node takes part in its group.", ({ state }) => (state === "running" ? 1 : 0)],
  ["raft_term", "Raft's term, as this node knows it.", ({ term }) => term],
  ["raft_has_leader", "1 while this node knows of a leader.", ({ leader }) => (leader === null ? 0 : 1)],
  ["raft_voters", "Voters of the group.", ({ voters }) => voters.length],
  ["raft_last_index", "The last entry of this node's log.", ({ indexes }) => indexes.last],
  ["raft_commit_index", "The last entry known to be committed.", ({ indexes }) => indexes.committed],
  ["raft_applied_index", "The last entry applied here.", ({ indexes }) => indexes.applied],
  ["raft_snapshot_index", "The last entry that the snapshot has in it.", ({ indexes }) => indexes.first - 1],
  ["raft_elections", "Terms that began while this node ran.", ({ figures }) => figures.terms],
  ["raft_leaders_seen", "Leaders that this node saw since its start.", ({ figures }) => figures.leaders],
  ["raft_stalls", "Timers so late that the process stood still, since the start.", ({ figures }) => figures.stalls],
  ["raft_proposals_in_flight", "Proposals of this node that wait.", ({ figures }) => figures.proposalsInFlight],
  ["raft_proposals_applied", "Proposals applied, since the start.", ({ figures }) => figures.proposalsApplied],
  ["raft_proposals_unknown", "Proposals with unknown outcome, since start.", ({ figures }) => figures.proposalsUnknown],
  ["raft_proposals_refused", "Proposals refused, since the start.", ({ figures }) => figures.proposalsRefused],
  ["raft_snapshots_taken", "Snapshots taken here since the start.", ({ figures }) => figures.snapshotsTaken],
  ["raft_snapshots_restored", "Snapshots that came from a leader.", ({ figures }) => figures.snapshotsRestored],
  ["raft_snapshot_bytes", "Of the last one taken or restored.", ({ figures }) => figures.snapshotBytes],
  ["raft_state_oversized_bytes", "Above 0: too large to be saved.", ({ figures }) => figures.oversizedBytes ?? 0],
];

const TIMES = [
  ["raft_proposal_ms", "From a proposal of this node to its application.", "proposalMs"],
  ["raft_save_ms", "Durable writes of the log.", "saveMs"],
  ["raft_snapshot_ms", "Taking or restoring a snapshot.", "snapshotMs"],
] as const;

const ROLES: readonly RaftStatus["role"][] = ["follower", "pre-candidate", "candidate", "leader"];

/** Returns what brings them up to date. Labels are members of the group: as many as there are. */
export function planeGauges(gauge: MakeGauge): (plane: Pick<PlaneApi, "status" | "state">) => void {
  const numbers = NUMBERS.map(([name, help, of]) => ({ one: gauge(name, help), of }));
  const times = TIMES.map(([name, help, key]) => ({ one: gauge(name, `${help} Of the last 512.`, ["quantile"]), key }));
  const role = gauge("raft_role", "1 for the role that this node has.", ["role"]);
  const lag = gauge("raft_follower_lag_entries", "What a follower lacks; at the leader only.", ["follower"]);
  const version = gauge("config_version", "Version of the configuration that this node has; 0 before the first.");
  const autopilot = gauge("autopilot_on", "1 when autopilot is switched on.");
  return (plane) => {
    const status = plane.status();
    for (const { one, of } of numbers) one.set(of(status) ?? 0);
    for (const { one, key } of times) {
      const { p50Ms, p99Ms } = status.figures[key];
      if (p50Ms !== null) one.set({ quantile: "p50" }, p50Ms);
      if (p99Ms !== null) one.set({ quantile: "p99" }, p99Ms);
    }
    for (const name of ROLES) role.set({ role: name }, status.role === name ? 1 : 0);
    lag.reset();
    for (const { node, lagEntries } of status.followers) lag.set({ follower: node }, lagEntries);
    version.set(plane.state?.version ?? 0);
    autopilot.set(plane.state?.autopilot.on ? 1 : 0);
  };
}
