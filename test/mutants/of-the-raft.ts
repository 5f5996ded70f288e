// Plausible wrong forms of the Raft core: bugs that others shipped, and our own.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const raft = inFile("src/consensus/core/raft.ts");
const leading = inFile("src/consensus/core/leading.ts");
const election = inFile("src/consensus/core/election.ts");
const core = inFile("src/consensus/core/core.ts");
const log = inFile("src/consensus/core/log.ts");
const configuration = inFile("src/consensus/core/configuration.ts");
const quorum = inFile("src/consensus/core/quorum.ts");
const reads = inFile("src/consensus/core/reads.ts");
const progress = inFile("src/consensus/core/progress.ts");
const BY_STORIES: Finder = { raft: "stories" };
const BY_SEEDS: Finder = { raft: "seeds" };

/** The ten that control.md names; each has a story of its own. */
const shippedByOthers: readonly Mutant[] = [
  leading("raft-old-term-by-count", BY_STORIES, [
    "if (index <= log.committed || log.termAt(index) !== term) return false;",
    "if (index <= log.committed || term === 0) return false;",
  ]),
  core("raft-vote-before-durable", BY_STORIES, [
    '  "append",\n  "snapshot",',
    '  "append",\n  "vote-reply",\n  "snapshot",',
  ]),
  core("raft-ack-before-durable", BY_STORIES, [
    '  "append",\n  "snapshot",',
    '  "append",\n  "append-reply",\n  "snapshot",',
  ]),
  raft("raft-removed-disturbs", BY_STORIES, ["if (hasLeader && !message.transfer) return;", "hasLeader;"]),
  raft("raft-doubts-whoever-breaks", BY_STORIES, ['core.role === "follower" && core.leader === node', 'node !== ""']),
  core("raft-doubts-and-waits", BY_STORIES, [
    "Math.max(this.electionElapsed, soon)",
    "Math.min(this.electionElapsed, soon)",
  ]),
  reads("raft-read-before-first-commit", BY_STORIES, [
    "if (this.#hasCommittedInTerm()) this.#start(id, from);",
    "if (id >= 0) this.#start(id, from);",
  ]),
  leading(
    "raft-leads-without-quorum",
    BY_STORIES,
    ["if (!this.#hasQuorum()) {", "if (!this.#hasQuorum() && term0()) {"],
    ["export class Leading {", "const term0 = (): boolean => false;\nexport class Leading {"],
  ),
  {
    name: "raft-group-at-append",
    finder: BY_STORIES,
    patches: [
      {
        file: "src/consensus/core/leading.ts",
        find: "    if (at >= 0) core.pendingChange = first + at;\n",
        replace:
          "    if (at >= 0) core.pendingChange = first + at;\n    for (const p of payloads) if (p.kind === 'change') core.change(p.change);\n",
      },
      {
        file: "src/consensus/core/raft.ts",
        find: `if (payload.kind !== "change") continue;`,
        replace: `if (payload.kind !== "change" || core.role === "leader") continue;`,
      },
    ],
  },
  configuration(
    "raft-learner-counts",
    BY_STORIES,
    [
      "return jointCommitted([incoming, outgoing], reached);",
      "return jointCommitted([new Set([...incoming, ...learnersOf]), outgoing], reached);",
    ],
    [
      "export function committedOf({ incoming, outgoing }: Configuration,",
      "export function committedOf({ incoming, outgoing, learners: learnersOf }: Configuration,",
    ],
  ),
  core("raft-snapshot-drops-joint", BY_STORIES, [
    "    outgoing: sorted(outgoing),\n",
    "    outgoing: sorted(new Set<string>()),\n",
  ]),
  log("raft-truncated-log-votes", BY_STORIES, [
    'assert(this.committed <= this.lastIndex, "the log ends before what was committed: its end was lost");',
    "this.committed = Math.min(this.committed, this.lastIndex);",
  ]),
];

const ofElections: readonly Mutant[] = [
  core("raft-forgets-its-vote", BY_SEEDS, ["this.vote = hardState.vote;", "this.vote = null;"]),
  core("raft-new-role-new-vote", BY_SEEDS, [
    "    if (term !== this.term) {\n      this.vote = null;",
    "    this.vote = null;\n    if (term !== this.term) {",
  ]),
  election("raft-votes-for-short-logs", BY_SEEDS, [
    "const granted = may && core.log.isUpToDate(lastIndex, lastTerm);",
    "const granted = may && lastTerm >= 0 && lastIndex >= 0;",
  ]),
  log("raft-longer-is-newer", BY_SEEDS, [
    "return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex);",
    "return lastTerm >= 0 && lastIndex >= this.lastIndex;",
  ]),
  quorum("raft-half-is-enough-to-lead", BY_SEEDS, [
    "const quorum = (voters.size >> 1) + 1;",
    "const quorum = (voters.size + 1) >> 1;",
  ]),
  configuration("raft-joint-votes-of-one-half", BY_STORIES, [
    "return jointVote([incoming, outgoing], votes);",
    "return jointVote([incoming, new Set(outgoing ? [] : [])], votes);",
  ]),
  election("raft-learner-campaigns", BY_STORIES, [
    'core.role === "leader" || !core.isVoter ||',
    'core.role === "leader" ||',
  ]),
  election("raft-campaigns-before-its-change", BY_STORIES, [
    '.some(({ payload }) => payload.kind === "change")',
    ".some(() => false)",
  ]),
  election("raft-old-pre-votes-count", BY_STORIES, ["if (pre && granted && term !== core.term + 1) return;", "term;"]),
  raft("raft-silent-learner-refuses", BY_STORIES, [
    "if (core.electionElapsed >= core.electionTimeout) this.#election.timeout();",
    "if (core.electionElapsed < core.electionTimeout) return;\n    core.electionElapsed = 0;\n    this.#election.timeout();",
  ]),
  core("raft-promises-of-a-past-term", BY_STORIES, ["      this.#afterDurable = [];\n    }", "    }"]),
  election("raft-changed-candidate-leads", BY_STORIES, [
    'if (core.role !== "follower" && !this.#mayCampaign()) core.becomeFollower(core.term, null);',
    "",
  ]),
  log("raft-candidate-learns-nothing", BY_STORIES, [
    "if (index > this.committed && this.matches(index, term)) this.commitTo(index);",
    "term;",
  ]),
  leading("raft-transfer-resets-the-count", BY_STORIES, [
    "    core.transferElapsed = 0;\n",
    "    core.transferElapsed = 0;\n    core.electionElapsed = 0;\n",
  ]),
];

const ofTheLog: readonly Mutant[] = [
  log("raft-truncates-what-agrees", BY_SEEDS, [
    "const at = entries.findIndex(({ index, term }) => !this.matches(index, term));",
    "const at = entries.length > 0 ? 0 : -1;",
  ]),
  log("raft-keeps-what-contradicts", BY_SEEDS, [
    "    this.#entries.length = first - this.firstIndex;\n    this.#stable = Math.min(this.#stable, first - 1);\n    this.#entries.push(...entries);",
    "    this.#stable = Math.min(this.#stable, first - 1);\n    this.#entries.splice(first - this.firstIndex, entries.length, ...entries);",
  ]),
  log("raft-accepts-without-match", BY_SEEDS, [
    "if (!this.matches(prevIndex, prevTerm)) return false;",
    "if (prevIndex > this.lastIndex || prevTerm < 0) return false;",
  ]),
  log("raft-stable-of-another-term", BY_SEEDS, [
    "if (this.matches(index, term) && index > this.#stable)",
    "if (term > 0 && index <= this.lastIndex && index > this.#stable)",
  ]),
  log("raft-applies-before-durable", BY_SEEDS, [
    "const end = Math.min(this.committed, this.#stable);",
    "const end = this.committed;",
  ]),
  raft("raft-commits-beyond-the-append", BY_SEEDS, [
    "log.commitTo(Math.min(committed, index));",
    "log.commitTo(committed);",
  ]),
  {
    name: "raft-commits-by-heartbeat",
    finder: BY_SEEDS,
    patches: [
      {
        file: "src/consensus/core/leading.ts",
        find: "const committed = Math.min(group.progress.get(to)?.match ?? 0, log.committed);",
        replace: "const committed = group ? log.committed : 0;",
      },
      {
        file: "src/consensus/core/raft.ts",
        find: "    log.commitTo(committed);\n",
        replace: "    log.commitTo(Math.min(committed, log.lastIndex));\n",
      },
    ],
  },
  quorum("raft-half-is-enough-to-commit", BY_STORIES, [
    "return indexes[voters.size >> 1] as number;",
    "return indexes[(voters.size - 1) >> 1] as number;",
  ]),
  configuration("raft-joint-commits-by-one-half", BY_STORIES, [
    "return jointCommitted([incoming, outgoing], reached);",
    "return jointCommitted([incoming, new Set(outgoing ? [] : [])], reached);",
  ]),
  leading("raft-counts-its-unsynced-log", BY_STORIES, [
    '    const { id } = config;\n    this.#core.send({ type: "append-reply",',
    '    const { id } = config;\n    this.onAppendReply({ type: "append-reply",',
  ]),
  leading("raft-lost-message-never-missed", BY_SEEDS, [
    "if (mayLack && this.#sendOne(from, progress, true)) this.send(from);",
    "if (mayLack) this.send(from);",
  ]),
  progress("raft-window-never-empties", BY_STORIES, [
    "this.#inflight[0].index <= index)",
    "this.#inflight[0].index < index)",
  ]),
  progress("raft-snapshot-not-counted", BY_STORIES, [
    "Math.max(this.match + 1, this.pendingSnapshot + 1) : this.match + 1;",
    "this.match + 1 : this.match + 1;",
  ]),
  raft("raft-installs-without-the-group", BY_SEEDS, [
    "      core.group = restored(snapshot.group, snapshot.index);\n",
    "",
  ]),
];

const ofTheGroup: readonly Mutant[] = [
  leading("raft-two-changes-at-once", BY_STORIES, [
    "|| core.pendingChange > core.log.applied)\n      throw",
    "|| core.pendingChange < 0)\n      throw",
  ]),
  core("raft-new-leader-changes-at-once", BY_SEEDS, [
    "    this.pendingChange = lastIndex;\n",
    "    this.pendingChange = 0;\n",
  ]),
  leading("raft-takes-what-cannot-be-applied", BY_STORIES, [
    "    changed(core.group, change, core.log.lastIndex);\n",
    "",
  ]),
  leading("raft-removed-leader-stays", BY_SEEDS, [
    "if (!core.isVoter && !isJoint(core.configuration)) {",
    "if (!core.isVoter && !isJoint(core.configuration) && core.term < 0) {",
  ]),
  raft("raft-never-leaves-joint", BY_SEEDS, [
    'if (core.role === "leader" && isJoint(core.configuration)) this.#leading.leaveJoint();',
    'if (core.role === "leader" && hasChanged && isJoint(core.configuration)) this.#leading.leaveJoint();',
  ]),
  configuration("raft-demoted-at-once", BY_STORIES, [
    "if (this.outgoing.has(id)) this.#learnersNext.add(id);\n    else {",
    "if (this.outgoing.size < 0) this.#learnersNext.add(id);\n    else {",
  ]),
];

const ofReads: readonly Mutant[] = [
  reads("raft-read-by-an-old-round", BY_STORIES, [
    "if (pending.round <= round) pending.votes.set(from, true);",
    "if (round > 0) pending.votes.set(from, true);",
  ]),
  reads("raft-read-without-asking", BY_SEEDS, [
    'if (voteOf(configuration, votes) === "won") confirmed = i;',
    "if (configuration && votes) confirmed = i;",
  ]),
  reads("raft-read-of-a-smaller-group-waits", BY_STORIES, [
    "    if (this.#pending.length > 0) this.#finish();\n  }\n\n  answered",
    "  }\n\n  answered",
  ]),
];

export const ofTheRaft: readonly Mutant[] = [
  ...shippedByOthers,
  ...ofElections,
  ...ofTheLog,
  ...ofTheGroup,
  ...ofReads,
];
