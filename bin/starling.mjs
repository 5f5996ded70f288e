#!/usr/bin/env node
import { existsSync } from "node:fs";

const main = new URL("../dist/src/main.js", import.meta.url);
if (existsSync(main)) await import(main.href);
else {
  console.error("starling: not built yet. Run `npm start` (or `npm run build`) in the repository first.");
  process.exitCode = 1;
}
