// Makes a fresh clone ready to run: `npm start` and `npm test` call it first. Plain Node, no packages: there may be none.
//   node bin/setup.mjs         what `npm start` needs: packages, dist/src
//   node bin/setup.mjs --dev   what `npm test` needs: tests and benches built too
// Says a line for each thing it does, nothing when all is there.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const forTests = process.argv.includes("--dev");
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

checkNode();
installMissing();
buildStale();

function say(line) {
  console.log(`setup: ${line}`);
}

function fail(line) {
  console.error(`setup: ${line}`);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 20)) return;
  fail(`Node ${process.versions.node} is too old: Starling needs ${manifest.engines.node} (https://nodejs.org)`);
}

function installMissing() {
  const missing = missingPackages();
  if (missing.length === 0 && sqliteProblem() === null) return;
  if (missing.length > 0)
    say(`installing ${missing.length} packages (${shortList(missing)}); sqlite3 may have to compile: a minute or two`);
  // --no-save: a lock file made where some platform's optional packages are missing breaks `npm ci` elsewhere.
  if (missing.length > 0) npm(["install", "--no-save", "--include=dev", "--no-audit", "--no-fund", "--loglevel=error"]);
  if (sqliteProblem() !== null) {
    say("compiling sqlite3: no prebuilt binary was to be had (about a minute)");
    npm(["rebuild", "sqlite3", "--foreground-scripts", "--loglevel=error"]);
  }
  const problem = sqliteProblem();
  if (problem !== null) fail(`sqlite3 does not load: ${problem}${toolsHint()}`);
}

function shortList(names) {
  return names.length > 4 ? `${names.slice(0, 4).join(", ")}, …` : names.join(", ");
}

/** Names of the packages that package.json asks for and node_modules lacks, or has in a version that doesn't fit. */
function missingPackages() {
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies };
  return Object.keys(wanted).filter((name) => !fits(installedVersion(name), wanted[name]));
}

function installedVersion(name) {
  try {
    return JSON.parse(readFileSync(join(root, "node_modules", name, "package.json"), "utf8")).version;
  } catch {
    return null; // not there: that is what we ask
  }
}

/** The two forms of range that package.json uses: exact, and ^ with a major above 0 (for 0.x the minor must be equal). */
function fits(version, range) {
  if (version === null) return false;
  if (!range.startsWith("^")) return version === range;
  const have = version.split(/[.+-]/).slice(0, 3).map(Number);
  const want = range.slice(1).split(".").map(Number);
  if (have[0] !== want[0] || (want[0] === 0 && have[1] !== want[1])) return false;
  const difference = have[1] - want[1] || have[2] - want[2];
  return difference >= 0;
}

/** Null when its native part loads. */
function sqliteProblem() {
  if (!existsSync(join(root, "node_modules/sqlite3"))) return "it is not installed";
  try {
    createRequire(join(root, "package.json"))("sqlite3");
    return null;
  } catch (error) {
    return String(error instanceof Error ? error.message : error).split("\n")[0];
  }
}

function npm(args) {
  const env = { ...process.env };
  const prefix = join(dirname(process.execPath), "..");
  // Headers that came with this Node: node-gyp then needs no download.
  if (existsSync(join(prefix, "include/node/node_version.h"))) env.npm_config_nodedir = prefix;
  const viaNode = process.env.npm_execpath?.endsWith(".js");
  const command = viaNode ? process.execPath : "npm";
  const started = Date.now();
  const { status } = spawnSync(command, viaNode ? [process.env.npm_execpath, ...args] : args, {
    cwd: root,
    env,
    stdio: "inherit",
  });
  if (status !== 0) fail(`npm ${args[0]} failed (above)${toolsHint()}`);
  say(`npm ${args[0]} done in ${Math.round((Date.now() - started) / 1000)} s`);
}

/** What compiling sqlite3 lacks; empty when it is all there. */
function toolsHint() {
  const tools = ["python3", "make", "g++"];
  const absent = tools.filter((tool) => spawnSync(tool, ["--version"], { stdio: "ignore" }).status !== 0);
  if (absent.length === 0) return "";
  return `\nsetup: sqlite3 has no prebuilt binary for this platform, and compiling it lacks ${absent.join(", ")} (Debian: apt-get install python3 make g++)`;
}

function buildStale() {
  // A build of everything is one of src too.
  const stamps = (forTests ? [".built-all"] : [".built-src", ".built-all"]).map((name) => join(root, "dist", name));
  const [stamp] = stamps;
  const builtMs = Math.max(...stamps.map((path) => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0));
  const folders = ["crdt", "gossip", "src", ...(forTests ? ["test", "bench"] : [])];
  if (!existsSync(join(root, "dist/src/main.js")) || newestSourceMs(folders) > builtMs) build(stamp);
}

function newestSourceMs(folders) {
  let newest = statSync(join(root, "tsconfig.json")).mtimeMs;
  // Folders count too: a file that was removed shows only there.
  for (const folder of folders)
    for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
      if (entry.isDirectory() || /\.ts$|^tsconfig\.json$/.test(entry.name))
        newest = Math.max(newest, statSync(join(entry.parentPath, entry.name)).mtimeMs);
  return newest;
}

function build(stamp) {
  say("building (tsc -b)");
  const started = Date.now();
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const { status } = spawnSync(process.execPath, [tsc, "-b", ...(forTests ? [] : ["src"])], {
    cwd: root,
    stdio: "inherit",
  });
  if (status !== 0) fail("the build failed (above)");
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, "");
  // What was edited while tsc ran counts as newer.
  utimesSync(stamp, started / 1000, started / 1000);
  say(`built in ${((Date.now() - started) / 1000).toFixed(1)} s`);
}
