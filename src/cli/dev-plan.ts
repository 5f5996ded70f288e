import { join } from "node:path";
import { fromHex, toHex } from "../kernel/bytes.ts";
import { CliError, EXIT } from "./exit.ts";
import { makeOwnCluster, readIfThere, writeSecretFile } from "./own-cluster.ts";

/** What `starling dev` starts: three regions on one machine. Made once, kept in `dev.json` beside the data. */
export interface DevPlan {
  readonly dataDir: string;
  readonly clusterId: string;
  /** Hex. */
  readonly salt: string;
  readonly basePort: number;
  readonly nodes: readonly DevNode[];
}

export interface DevNode {
  /** The region's name too. */
  readonly id: string;
  readonly dataDir: string;
  readonly clientPort: number;
  readonly gossipPort: number;
  readonly peerPort: number;
  readonly url: string;
}

export const DEV_REGIONS: readonly string[] = ["eu", "us", "ap"];
export const DEV_HOST = "127.0.0.1";
const BASE_PORT = 7001;

export function planPath(dataDir: string): string {
  return join(dataDir, "dev.json");
}

/** @returns null when this directory holds no dev cluster yet */
export function readPlan(dataDir: string): DevPlan | null {
  const text = readIfThere(planPath(dataDir));
  if (text === null) return null;
  try {
    const data: unknown = JSON.parse(text);
    if (typeof data === "object" && data !== null && "clusterId" in data && "salt" in data && "basePort" in data) {
      const { clusterId, salt, basePort } = data;
      if (typeof clusterId === "string" && typeof salt === "string" && fromHex(salt).length >= 16)
        return makePlan(dataDir, { clusterId, salt, basePort: checkBasePort(Number(basePort)) });
    }
  } catch {
    // told below: the file is not what we wrote
  }
  throw new CliError(
    EXIT.usage,
    `${planPath(dataDir)} is damaged: restore it, or start over with \`starling dev --fresh\``,
  );
}

/** Reads or makes the plan, and keeps it. @param basePort null keeps the ports of last time */
export function ensurePlan(dataDir: string, basePort: number | null): DevPlan {
  const found = readPlan(dataDir);
  const base = checkBasePort(basePort ?? found?.basePort ?? BASE_PORT);
  if (found && found.basePort === base) return found;
  const own = makeOwnCluster();
  const identity = found ?? { clusterId: own.id, salt: toHex(own.salt) };
  const plan = makePlan(dataDir, { clusterId: identity.clusterId, salt: identity.salt, basePort: base });
  const owners = plan.nodes.map(({ id, peerPort }) => ({ id, region: id, peer: `${DEV_HOST}:${peerPort}` }));
  const { clusterId, salt } = plan;
  writeSecretFile(planPath(dataDir), `${JSON.stringify({ clusterId, salt, basePort: base, owners }, null, 2)}\n`);
  return plan;
}

function checkBasePort(port: number): number {
  if (Number.isInteger(port) && port >= 1024 && port <= 65_535 - 22) return port;
  throw new CliError(EXIT.usage, "--ports takes the first port, 1024 to 65513: regions follow in tens");
}

function makePlan(dataDir: string, parts: { clusterId: string; salt: string; basePort: number }): DevPlan {
  const nodes = DEV_REGIONS.map((id, at) => {
    const clientPort = parts.basePort + 10 * at;
    return {
      id,
      dataDir: join(dataDir, id),
      clientPort,
      gossipPort: clientPort + 1,
      peerPort: clientPort + 2,
      url: `http://${DEV_HOST}:${clientPort}`,
    };
  });
  return { dataDir, ...parts, nodes };
}

/** The configuration of one of its nodes, as a file that `starling node --config` takes too. */
export function nodeToml(plan: DevPlan, node: DevNode): string {
  const quoted = JSON.stringify;
  const owners = plan.nodes.map(
    ({ id, peerPort }) => `  { id = "${id}", region = "${id}", peer = "${DEV_HOST}:${peerPort}" },`,
  );
  return `# Written by \`starling dev\` at each start. To run this node by itself: starling node --config <this file>
[node]
id = "${node.id}"
region = "${node.id}"
data_dir = ${quoted(node.dataDir)}

[client]
bind = "${DEV_HOST}:${node.clientPort}"

[gossip]
bind = "${DEV_HOST}:${node.gossipPort}"
# One machine: failures show within seconds.
profile = "local"
label = "dev-${plan.clusterId.slice(0, 8)}"

[peer]
bind = "${DEV_HOST}:${node.peerPort}"

[cluster]
id = ${quoted(plan.clusterId)}
name = "dev"
salt = "${plan.salt}"
seeds = [${plan.nodes.map(({ gossipPort }) => `"${DEV_HOST}:${gossipPort}"`).join(", ")}]
owners = [
${owners.join("\n")}
]

[replication]
sync_interval = "500ms"

[dev]
enabled = true
`;
}
