import { base64, withEtcd } from "./etcd.ts";
import { type Member, until } from "./member.ts";
import { withNodes } from "./nodes.ts";

/** Three members that agree on something, whichever system they are of. */
export interface Group {
  readonly members: readonly Member[];
  /** Whom this member takes for the leader; null when it knows of none or doesn't answer. */
  leaderAt(member: Member): Promise<Member | null>;
  /** Throws when it isn't acknowledged in time. */
  write(member: Member, count: number, timeoutMs: number): Promise<void>;
  /** All three vote, agree who leads, and have applied all that is committed. */
  isWhole(): Promise<boolean>;
  /** wrk's script: each request changes something. `keys` in turn, so that as many writers rarely meet at one. */
  script(keys: number): string;
}

export const SYSTEMS = {
  starling: withStarling,
  etcd: withEtcdGroup,
} as const satisfies Record<string, (dir: string, run: (group: Group) => Promise<void>) => Promise<void>>;

export type System = keyof typeof SYSTEMS;

/** Long enough for what a busy machine delays, far below an election's time. */
const LOOK_TIMEOUT_MS = 500;

export async function leaderOf(group: Group): Promise<Member> {
  let leader: Member | null = null;
  await until("all members are caught up and agree who leads", async () => {
    if (!(await group.isWhole())) return false;
    leader = await group.leaderAt(group.members[0] as Member);
    return leader !== null;
  });
  return leader as unknown as Member;
}

async function json<T>(url: string, init: RequestInit, timeoutMs: number): Promise<T> {
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(timeoutMs) });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return JSON.parse(text) as T;
}

/** Null when it doesn't answer, or not in time: that is what is asked. */
function look<T>(url: string, init: RequestInit = {}): Promise<T | null> {
  return json<T>(url, init, LOOK_TIMEOUT_MS).catch(() => null);
}

function post(body: object): RequestInit {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

// ---- Starling

const POLICIES = ['{"show":"siblings"}', '{"show":"lww"}'] as const;

interface Consensus {
  readonly role: string;
  readonly leader: string | null;
  readonly voters: readonly string[];
  readonly outgoingVoters: readonly string[];
  readonly learners: readonly string[];
  readonly indexes: { readonly last: number; readonly committed: number; readonly applied: number };
}

/** @param nodeFlags of the runtime, for a profile */
async function withStarling(_dir: string, run: (group: Group) => Promise<void>): Promise<void> {
  const flags = process.argv.filter((argument) => argument.startsWith("--node=")).map((flag) => flag.slice(7));
  await withNodes(
    ["eu", "us", "ap"],
    async (members) => {
      const group = starling(members);
      await leaderOf(group);
      await run(group);
    },
    flags,
  );
}

function starling(members: readonly Member[]): Group {
  return {
    members,
    async leaderAt({ url }) {
      const answer = await look<{ leader: string }>(`${url}/cluster/leader`);
      return members.find(({ name }) => name === answer?.leader) ?? null;
    },
    async write({ url }, count, timeoutMs) {
      const body = POLICIES[count % 2] as string;
      const init = { method: "PUT", headers: { "content-type": "application/json" }, body };
      await json(`${url}/v1/policies/failover?timeoutMs=${timeoutMs}`, init, timeoutMs);
    },
    async isWhole() {
      const all = await Promise.all(members.map(({ url }) => look<Consensus>(`${url}/cluster/consensus`)));
      const last = all.find((each) => each?.role === "leader")?.indexes.last;
      return all.every(
        (each) =>
          each !== null &&
          each.leader !== null &&
          each.leader === all[0]?.leader &&
          each.voters.length === members.length &&
          each.outgoingVoters.length === 0 &&
          each.learners.length === 0 &&
          each.indexes.committed === last &&
          each.indexes.applied === last,
      );
    },
    script: (keys) => `
local n = 0
local headers = {["Content-Type"] = "application/json"}
request = function()
  local body = math.floor(n / ${keys}) % 2 == 0 and '${POLICIES[0]}' or '${POLICIES[1]}'
  local path = "/v1/policies/b" .. (n % ${keys})
  n = n + 1
  return wrk.format("PUT", path, headers, body)
end`,
  };
}

// ---- etcd

/** About what Starling's command for a policy takes in its log. */
const VALUE_BYTES = 200;

interface EtcdStatus {
  readonly header: { readonly member_id: string };
  readonly leader?: string;
  readonly raftIndex?: string;
  readonly raftAppliedIndex?: string;
}

async function withEtcdGroup(dir: string, run: (group: Group) => Promise<void>): Promise<void> {
  await withEtcd(dir, ["e1", "e2", "e3"], async (members) => {
    const group = await etcd(members);
    await leaderOf(group);
    await run(group);
  });
}

async function etcd(members: readonly Member[]): Promise<Group> {
  const status = ({ url }: Member) => look<EtcdStatus>(`${url}/v3/maintenance/status`, post({}));
  const byId = new Map<string, Member>();
  for (const member of members)
    await until(`${member.name} says its id`, async () => {
      const id = (await status(member))?.header.member_id;
      if (id !== undefined) byId.set(id, member);
      return id !== undefined;
    });
  const value = (count: number): string => base64(String(count).padStart(VALUE_BYTES, "x"));
  return {
    members,
    leaderAt: async (member) => byId.get((await status(member))?.leader ?? "0") ?? null,
    async write({ url }, count, timeoutMs) {
      await json(`${url}/v3/kv/put`, post({ key: base64("failover"), value: value(count) }), timeoutMs);
    },
    async isWhole() {
      const all = await Promise.all(members.map(status));
      return all.every(
        (each) =>
          each !== null &&
          byId.has(each.leader ?? "0") &&
          each.leader === all[0]?.leader &&
          each.raftIndex === all[0]?.raftIndex &&
          each.raftAppliedIndex === each.raftIndex,
      );
    },
    script: (keys) => `
local keys = {${Array.from({ length: keys }, (_, i) => `"${base64(`b${i}`)}"`).join(",")}}
local values = {"${value(1)}", "${value(2)}"}
local n = 0
local headers = {["Content-Type"] = "application/json"}
request = function()
  local body = '{"key":"' .. keys[n % ${keys} + 1] .. '","value":"' .. values[math.floor(n / ${keys}) % 2 + 1] .. '"}'
  n = n + 1
  return wrk.format("POST", "/v3/kv/put", headers, body)
end`,
  };
}
