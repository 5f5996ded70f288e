import { LAN, retransmitLimit, suspicionMsMin } from "../gossip/swim/profile.ts";
import type { Figure, Report } from "./machine.ts";
import { machineLine } from "./machine.ts";
import { detectionFigures } from "./swim/detection-figures.ts";
import { idleFigures } from "./swim/idle-figures.ts";
import { type Size, sizeOf } from "./swim/size.ts";
import { troubleFigures } from "./swim/trouble-figures.ts";

// Question: does the SWIM machine reach the goals of its design: how soon are crashes found and known to all, who is
// accused falsely, what does an idle pool cost, how soon does a cut heal?
// Peers: the formulas of SWIM (Das, Gupta, Motivala 2002) and Lifeguard (Dadgar, Phillips, Currey 2017, arXiv 1707.00788),
// what its abstract reports, and memberlist's documented defaults (config.go, util.go); the same machine without Lifeguard.
// Run: npm run -s bench -- swim [--quick]. Virtual time, nothing depends on the clock: the same seeds give the same figures.

export async function run(): Promise<Report> {
  const isQuick = process.argv.includes("--quick");
  const size = sizeOf(isQuick);
  const parts: readonly [string, (size: Size) => Figure[]][] = [
    ["crashes", detectionFigures],
    ["idle traffic", idleFigures],
    ["losses, stalls, slow members, cuts", troubleFigures],
  ];
  const figures: Figure[] = [];
  const startMs = performance.now();
  for (const [what, measure] of parts) {
    figures.push(...measure(size));
    console.error(`swim: ${what} measured after ${Math.round((performance.now() - startMs) / 1000)} s`);
  }
  return {
    bench: "swim",
    question: "does the SWIM machine reach the goals of its design, and what does Lifeguard do for it?",
    machine: `${machineLine()}${isQuick ? "; --quick: too few samples to judge by" : ""}`,
    peers: [
      "the formulas of SWIM (Das, Gupta, Motivala 2002) and Lifeguard (arXiv 1707.00788), memberlist's defaults",
      "the same machine without Lifeguard: no local health, suspicions of one fixed length, no word to suspects (buddies)",
    ],
    method: [
      "real machines in virtual time, profile LAN, T = 1 s, round trips of 0.4 to 10 ms; the same seeds give the same figures",
      `suspicion (mult · log10 N · T, to ${LAN.suspicionMaxFactor} times that): ${[100, 1000, 10_000].map(suspicionRange).join(", ")}; memberlist's config.go says 120 s for the last`,
      `news is sent mult · ceil(log10(N + 1)) times by each who has it: ${[100, 1000, 5000].map(retransmits).join(", ")}`,
    ],
    figures,
  };
}

function suspicionRange(members: number): string {
  const minS = suspicionMsMin(LAN, members) / 1000;
  return `${minS} to ${LAN.suspicionMaxFactor * minS} s at N=${members.toLocaleString("en")}`;
}

function retransmits(members: number): string {
  return `${retransmitLimit(LAN.retransmitMultiplier, members)} at N=${members.toLocaleString("en")}`;
}
