import { printReport, type Report } from "./machine.ts";

const BENCHES: Readonly<Record<string, () => Promise<{ run(): Promise<Report> }>>> = {
  import: () => import("./import.ts"),
  http: () => import("./http.ts"),
  flood: () => import("./flood.ts"),
  storage: () => import("./storage.ts"),
  visibility: () => import("./visibility.ts"),
  swim: () => import("./swim.ts"),
  control: () => import("./control.ts"),
  quorum: () => import("./quorum.ts"),
};

const names = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
const load = BENCHES[names[0] ?? ""];
if (!load) {
  console.error(`usage: npm run -s bench -- NAME [--json] [--quick], NAME one of: ${Object.keys(BENCHES).join(", ")}`);
  process.exit(2);
}
printReport(await (await load()).run(), process.argv.includes("--json"));
