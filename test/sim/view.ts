// npm run -s sim:view -- TRACE_FILE [OUT.html]
// Draws what `npm run -s sim -- --seed N --trace FILE` wrote: one page that needs nothing else.

import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { argv } from "node:process";
import { fileURLToPath } from "node:url";
import type { PageData } from "./view-data.ts";
import { pageData } from "./view-data.ts";

/** Parts of the page are not compiled, and so lie beside the source. */
const FOLDER = import.meta.dirname.replace(/([\\/])dist(?=[\\/]test[\\/]sim$)/, "");
/** What the page's program knows, what it draws, what it lists and obeys: modules for the linter, one script in a page,
 *  since a page without a server can't import. */
const SCRIPTS = ["view-page-time.js", "view-page-canvas.js", "view-page-panel.js"];

export function viewPage(title: string, data: PageData): string {
  const parts: Record<string, () => string> = {
    "{{title}}": () => escapeHtml(title),
    "/* {{style}} */": () => part("view-page.css"),
    "/* {{script}} */": () => SCRIPTS.map((name) => withoutModules(part(name))).join("\n"),
    '"{{data}}"': () => jsonInHtml(data),
  };
  // In one pass: what is put in is not searched again.
  return part("view-page.html").replace(
    /\{\{title\}\}|\/\* \{\{(?:style|script)\}\} \*\/|"\{\{data\}\}"/g,
    (name) => parts[name]?.() ?? name,
  );
}

const part = (name: string): string => readFileSync(join(FOLDER, name), "utf8");

const withoutModules = (source: string): string =>
  source.replace(/^import [^;]*;\n/gm, "").replace(/^export (?=const|let|function)/gm, "");

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Inside a script element nothing but `<` can end it or open a comment. */
function jsonInHtml(data: PageData): string {
  return JSON.stringify(data).replaceAll("<", "\\u003c");
}

function main([file, out = `${file}.html`]: readonly string[]): string {
  if (file === undefined) throw new Error("usage: npm run -s sim:view -- TRACE_FILE [OUT.html]");
  const data = pageData(readFileSync(file, "utf8"));
  writeFileSync(out, viewPage(basename(file), data));
  return `${out}: ${data.events.length} events of ${data.lanes.length - 1} nodes, ${data.messages.length} messages`;
}

if (argv[1] === fileURLToPath(import.meta.url)) console.log(main(argv.slice(2)));
