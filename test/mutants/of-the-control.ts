// Plausible wrong forms of the control state, its codec, its feed and its autopilot.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const apply = inFile("src/control/apply.ts");
const members = inFile("src/control/members.ts");
const checks = inFile("src/control/checks.ts");
const access = inFile("src/control/access.ts");
const commands = inFile("src/control/commands.ts");
const codec = inFile("src/control/codec.ts");
const machine = inFile("src/control/machine.ts");
const view = inFile("src/control/view.ts");
const diff = inFile("src/control/diff.ts");
const feed = inFile("src/control/feed.ts");
const group = inFile("src/control/group.ts");
const autopilot = inFile("src/control/autopilot.ts");
const followRoles = inFile("src/control/follow-roles.ts");

const by = (file: string, named: RegExp): Finder => ({ tests: `test/control/${file}.test.ts`, named });
const BY_REFUSALS = by("refusals", /is refused/);
const BY_RETRIES = by("commands", /in the log twice/);
const BY_FEED = by("feed", /feed of versions/);
const BY_WHATEVER_GOSSIP_SAYS = by("autopilot-laws", /whatever gossip says/);
const BY_AUTOPILOT = by("autopilot", /^autopilot /);

const ofCommands: readonly Mutant[] = [
  apply("control-retry-applied-again", BY_RETRIES, [
    "if (known) return { control, result: known.result };",
    "if (known && index < 0) return { control, result: known.result };",
  ]),
  apply("control-retry-of-a-refusal-applied", BY_RETRIES, [
    "recent: remembered(recent, { id: command.id, index, result }) }",
    "recent: result.ok ? remembered(recent, { id: command.id, index, result }) : recent }",
  ]),
  apply("control-forgets-without-a-floor", BY_RETRIES, ["floor: hasChanged ? index : floor", "floor"]),
  apply("control-floor-of-what-changed-nothing", BY_RETRIES, [
    "const hasChanged = result.ok && result.version === index;",
    "const hasChanged = result.ok;",
  ]),
  apply("control-condition-ignored", BY_REFUSALS, [
    "command.ifVersion !== null && command.ifVersion !== version",
    "command.ifVersion !== null && version < 0",
  ]),
  apply("control-new-version-of-the-same", by("commands", /twice is once/), [
    "return next === state ? state : { ...next, version: index };",
    "return { ...next, version: index };",
  ]),
  members("control-token-never-used-up", by("laws", /opens the door/), [
    "usesLeft: token.usesLeft - 1",
    "usesLeft: token.usesLeft",
  ]),
  members("control-token-without-secret", BY_REFUSALS, [
    "!equalMacs(fromHex(token.hash), fromHex(tokenHash))",
    'equalMacs(fromHex(tokenHash), fromHex(""))',
  ]),
  members("control-token-for-ever", BY_REFUSALS, [
    "if (token.expiresAtMs <= atMs)",
    "if (token.expiresAtMs <= 0 * atMs)",
  ]),
  members("control-token-of-any-region", BY_REFUSALS, ["token.region !== member.region", "member.region === null"]),
  members("control-old-runs-come-back", by("commands", /joining/), [
    "actorsAfterMs: left.removed.ids.get(member.id)?.atMs ?? left.removed.floorMs",
    "actorsAfterMs: left.removed.floorMs",
  ]),
  members("control-forgotten-runs-come-back", by("commands", /joining/), [
    "floorMs: Math.max(floorMs, atMs)",
    "floorMs",
  ]),
  members("control-any-cluster", BY_REFUSALS, ["if (cluster.name !== name)", 'if (name === "")']),
  members("control-replaces-the-living", BY_REFUSALS, [
    "if (atMs - heardAtMs < state.autopilot.deadAfterMs)",
    "if (atMs < heardAtMs)",
  ]),
  members("control-founders-vote-in-order-of-their-ids", by("commands", /founding/), [
    "rankedBySpread(others, voters)[0]",
    "rankedBySpread(others, [])[0]",
  ]),
  members("control-two-write-the-group-down", BY_REFUSALS, [
    "if (!first || claimed.length > 1)",
    "if (!first || claimed.length < 1)",
  ]),
  members("control-another-log-keeps-its-role", by("commands", /costs it/), [
    "if (instance === null || instance === next) return role;",
    "if (instance !== next || instance === next) return role;",
  ]),
  members("control-first-log-costs-the-role", by("commands", /costs it/), [
    "if (instance === null || instance === next) return role;",
    "if (instance === next) return role;",
  ]),
  members("control-one-log-of-two-members", BY_REFUSALS, [
    "other.id !== id && other.instance === next",
    "other.id === id && other.instance === next && instance !== next",
  ]),
  members("control-replaced-id-listens-at-once", by("commands", /joining/), [
    'role: isWanted && !mayBeInGroup ? "learner" : "none"',
    'role: isWanted || mayBeInGroup ? "learner" : "none"',
  ]),
  members("control-recovered-group-trusts-old-logs", by("commands", /higher incarnation/), [
    "instance: member.id === command.member ? instance : null",
    "instance: member.id === command.member ? instance : member.instance",
  ]),
  checks("control-copies-not-counted", by("checks", /may a member go/), [
    "if (left >= wanted) return null;",
    "if (left >= wanted - wanted) return null;",
  ]),
  checks("control-last-voter-goes", BY_REFUSALS, [
    "if (voters.length !== 1 || voters[0] !== id) return null;",
    "if (voters.length !== 0 || voters[0] !== id) return null;",
  ]),
  access("control-role-of-a-token-goes", BY_REFUSALS, ["roles.includes(role)", 'roles.includes("")']),
];

const ofBytes: readonly Mutant[] = [
  codec("control-bytes-in-order-of-arrival", by("codec", /state's bytes/), [
    "members: sorted(state.members),",
    "members: [...state.members.values()],",
  ]),
  codec("control-takes-bytes-in-any-order", by("codec", /command's bytes/), [
    "if (!equalBytes(written, read)) throw",
    "if (written.length < 0 && !equalBytes(written, read)) throw",
  ]),
  commands("control-keeps-what-it-does-not-know", by("codec", /command's bytes/), [
    "return z.strictObject({ kind: z.literal(kind), ...envelope, ...fields });",
    "return z.looseObject({ kind: z.literal(kind), ...envelope, ...fields });",
  ]),
  codec("control-later-level-is-garbage", by("codec", /command's bytes/), [
    "level > levelKnown)",
    "level > 2 * levelKnown)",
  ]),
  machine("control-skips-what-it-cannot-read", by("machine", /stops at/), [
    "if (this.#stopped) throw this.#stopped;",
    "",
  ]),
  machine("control-shows-an-older-snapshot", by("machine", /newest that it had/), [
    "age(state, this.#shown) < 0)) return;",
    "false)) return;",
  ]),
  machine("control-tells-a-jump-as-a-step", by("machine", /given up itself/), [
    "if (isPast) this.#feed.restart(state);",
    "if (isPast) this.#feed = this.#behind;",
  ]),
  machine("control-forgets-how-it-came-to-what-it-kept", by("machine", /got to what it shows/), [
    "    else if (this.#behind.floor < this.#feed.floor) this.#feed = this.#behind;\n",
    "",
  ]),
  machine("control-adopts-into-its-log", by("machine", /what the log came to/), [
    "    this.#shown = theirs;\n",
    "    this.#shown = theirs;\n    this.#applied = { ...this.#applied, state: theirs };\n",
  ]),
  machine("control-two-contents-of-a-version", by("machine", /no other content/), [
    "difference === 0 && hashOf",
    "difference > 0 && hashOf",
  ]),
  machine("control-old-incarnation-wins", by("machine", /higher incarnation/), [
    "a.cluster.incarnation - b.cluster.incarnation || a.version - b.version",
    "a.version - b.version",
  ]),
];

const ofWatchers: readonly Mutant[] = [
  view("control-shows-hashes", by("laws", /tells a hash/), [
    "apiTokens: treeOf(state.apiTokens, ({ hash: _, ...shown }) => shown)",
    "apiTokens: treeOf(state.apiTokens, (token) => ({ ...token }))",
  ]),
  diff("control-nothing-is-ever-gone", by("laws", /differences between/), [
    "if (next === undefined) delete copy[key];",
    "if (next === undefined) return tree;",
  ]),
  feed("control-feed-tells-twice", BY_FEED, [
    "(event) => event.version > version)",
    "(event) => event.version >= version)",
  ]),
  feed("control-feed-never-begins-anew", BY_FEED, [
    "(version <= this.version && !isKnown)",
    "(version < 0 && !isKnown)",
  ]),
  feed("control-feed-goes-on-after-a-snapshot", BY_FEED, ["    this.#events = [];\n    this.#changes = 0;\n", ""]),
];

const ofVoters: readonly Mutant[] = [
  autopilot("control-gossip-buries-voters", BY_WHATEVER_GOSSIP_SAYS, [
    "    !answers(group, id, nowMs) &&\n    silentMs(group, id, nowMs) >= deadAfterMs &&\n",
    "",
  ]),
  autopilot("control-silence-alone-buries-voters", BY_AUTOPILOT, [
    'its !== "maintenance" &&\n',
    'its !== "joining" &&\n',
  ]),
  autopilot("control-draining-candidates", BY_AUTOPILOT, [
    '(its === "active" || its === "joining") &&\n      hearsay',
    'its !== "maintenance" &&\n      hearsay',
  ]),
  autopilot("control-an-even-number-is-enough", BY_AUTOPILOT, [
    "const needed = voters.length % 2 === 1 ? 2 : 1;",
    "const needed = Math.min(1, voters.length);",
  ]),
  autopilot("control-young-candidates", BY_AUTOPILOT, [
    "nowMs - told.sinceMs >= state.autopilot.stabiliseMs",
    "nowMs >= told.sinceMs",
  ]),
  autopilot("control-one-region-will-do", BY_WHATEVER_GOSSIP_SAYS, [
    "inPlaceOf(out) - inPlaceOf(one) >= 2",
    "inPlaceOf(out) - inPlaceOf(one) >= 9",
  ]),
  autopilot("control-back-before-it-was-out", BY_AUTOPILOT, [
    '(role === "learner" || !(incoming.has(id) || learners.has(id))) &&',
    "(incoming.size > 0 || learners.has(id)) &&",
  ]),
  autopilot("control-candidates-without-a-log", BY_AUTOPILOT, [
    "      instance !== null &&\n      (role",
    "      (instance === null || instance.length > 0) &&\n      (role",
  ]),
  autopilot("control-decides-on-whatever-version", BY_AUTOPILOT, [
    "ifVersion: state.version",
    "ifVersion: null as never",
  ]),
  autopilot("control-lets-go-who-is-called-back", BY_AUTOPILOT, [
    "(silent ?? ranked(situation, standby).at(-1))",
    "ranked(situation, standby).at(-1)",
  ]),
  autopilot("control-off-is-on", BY_AUTOPILOT, [
    "if (!state.autopilot.on) return",
    "if (state.autopilot === null) return",
  ]),
  group("control-roles-without-logs", BY_AUTOPILOT, [
    'return member && member.instance !== null ? member.role : "none";',
    'return member ? member.role : "none";',
  ]),
  followRoles("control-promotes-who-lags", BY_AUTOPILOT, [
    "answers(group, id, situation.nowMs) && isLevel(group, id))?.id",
    "answers(group, id, situation.nowMs))?.id",
  ]),
  followRoles("control-changes-at-the-price-of-the-quorum", BY_AUTOPILOT, [
    "slackOf(group, voters, nowMs) >= 0 && slackOf(group, votersAfter(voters, changes), nowMs) >= 0",
    "slackOf(group, voters, nowMs) >= 0 && votersAfter(voters, changes).length > 0",
  ]),
  followRoles("control-leader-stays", BY_AUTOPILOT, [
    'if (self && self.role === "voter" && (self.state === "active" || self.state === "joining")) return null;',
    'if (self && self.role === "voter") return null;',
  ]),
  group("control-counts-the-silent", BY_WHATEVER_GOSSIP_SAYS, [
    "const answering = voters.filter((id) => answers(group, id, nowMs)).length;",
    "const answering = voters.filter((id) => answers(group, id, nowMs) || id !== group.self).length;",
  ]),
];

export const ofTheControl: readonly Mutant[] = [...ofCommands, ...ofBytes, ...ofWatchers, ...ofVoters];
