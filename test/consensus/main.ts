// npm run -s sim:raft -- --seeds A..B [--json]

import { campaign } from "./campaign.ts";

process.exitCode = campaign(process.argv.slice(2), (line) => console.log(line));
