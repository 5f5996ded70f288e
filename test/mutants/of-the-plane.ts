// Plausible wrong forms of a node's part in the control plane: whose log takes part, who founds, who leaves, whom it answers.

import type { Finder, Mutant } from "./mutant.ts";
import { inFile } from "./mutant.ts";

const seat = inFile("src/plane/seat.ts");
const founding = inFile("src/plane/founding.ts");
const residence = inFile("src/plane/residence.ts");
const outside = inFile("src/plane/outside.ts");
const applying = inFile("src/plane/applying.ts");
const plane = inFile("src/plane/plane.ts");
const steward = inFile("src/plane/steward.ts");
const machine = inFile("src/control/machine.ts");
const plausible = inFile("src/consensus/driver/plausible.ts");
const links = inFile("src/consensus/driver/links.ts");

const by = (file: string, named: RegExp): Finder => ({ tests: `test/plane/${file}.test.ts`, named });

export const ofThePlane: readonly Mutant[] = [
  seat("plane-any-log-takes-part", by("seat", /when the agreed state knows it/), [
    "if (me.instance !== instance)\n      return",
    'if (me.instance !== instance && instance === "")\n      return',
  ]),
  seat("plane-log-renewed-before-it-is-kept", by("seat", /is kept for the next start/), [
    "if (!(await this.#o.keep())) return;",
    "await this.#o.keep();",
  ]),
  seat("plane-removed-voter-falls-silent", by("seat", /of a removed member/), [
    "this.#held === instance && !isEmpty",
    'this.#held === "" && !isEmpty',
  ]),
  seat("plane-founder-lets-others-found", by("seat", /is let by nobody/), [
    "this.#promised = { to: this.#self, untilMs: clock.monotonicMs() + PROMISE_MS };",
    "",
  ]),
  seat("plane-founds-on-old-promises", by("seat", /stood still/), [
    "else if (clock.monotonicMs() >= untilMs)",
    "else if (clock.monotonicMs() < 0)",
  ]),
  seat("plane-promises-it-to-everybody", by("seat", /after a promise to another/), [
    "promise !== null && promise.to !== butTo",
    'promise !== null && promise.to === ""',
  ]),
  seat(
    "plane-founds-against-one-that-knows",
    by("seat", /when one says state/),
    ['if (answers.includes("state")) this.why', 'if (answers.length > 1 && answers.includes("state")) this.why'],
    ["agreeing < needed || answers", "agreeing < 0 || answers"],
  ),
  founding("plane-founds-beside-a-cluster", by("seat", /gossip shows that there is a cluster/), [
    "if (knowing) return",
    'if (knowing && cluster.id === "") return',
  ]),
  residence(
    "plane-leaves-while-it-votes",
    by("leaving", /is let go of by the Raft group/),
    ['else if (role !== "none")', "else if (forMs < 0)"],
    ["else if (!(await this.#isLetGo()))", "else if (forMs < 0)"],
  ),
  machine(
    "plane-follows-another-founding",
    by("founded-twice", /takes nobody along/),
    ["mine !== null && mine.founding !== theirs.founding", 'mine !== null && mine.founding === ""'],
    ["if (a.founding !== b.founding) return -1;", ""],
  ),
  steward("plane-forgets-who-has-to-be-let-go", by("leaving", /by force, being one of two/), [
    "!state.members.has(node) && !inGroup.has(node)",
    "!state.members.has(node)",
  ]),
  outside("plane-proposes-for-strangers", by("hostile", /is answered to members alone/), [
    "if (!state()?.members.has(caller))",
    "if (!state())",
  ]),
  outside("plane-answers-without-a-seat", by("hostile", /never reaches who is aside/), [
    "if (!hasSeat()) throw",
    'if (!hasSeat() && caller === "") throw',
  ]),
  outside("plane-stops-at-a-later-version's-answer", by("seat", /this version can't read/), [
    "return decodeOutcome(answer);\n  } catch (error) {\n    if (!(error instanceof InputError)) throw error;",
    "return decodeOutcome(answer);\n  } catch (error) {\n    if (error instanceof InputError) throw error;",
  ]),
  plane("plane-hears-strangers", by("hostile", /of a stranger who knows the salt/), [
    "this.state === null || this.state.members.has(node)",
    "node !== this.#o.config.node.id",
  ]),
  applying("plane-takes-what-is-no-command", by("hostile", /that forwards a command/), ["decodeCommand(data);", ""]),
  plausible("plane-follows-to-the-last-term", by("hostile", /of a term that no group comes to/), [
    "message.term > term + TERMS_AHEAD_MAX",
    "message.term < term - TERMS_AHEAD_MAX",
  ]),
  links("plane-hears-other-incarnations", by("hostile", /of another incarnation/), [
    "if (epoch !== mine)",
    "if (epoch < 0 * mine)",
  ]),
];
