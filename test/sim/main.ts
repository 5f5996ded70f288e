// npm run -s sim -- --seeds A..B [--json]

import { campaign } from "./campaign.ts";

process.exitCode = await campaign(process.argv.slice(2), (line) => console.log(line));
