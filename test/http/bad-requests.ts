import { type Case, OPS } from "./bad-data.ts";

/** What parameters, headers, methods and paths may not be. */
export const BAD_REQUESTS: readonly Case[] = [
  { name: "a cursor that nobody made", call: ["GET", "/v1/kv/b?cursor=AAAA"], gets: [400, "bad-cursor"] },
  {
    name: "a cursor of conflicts that nobody made",
    call: ["GET", "/v1/conflicts?cursor=%00"],
    gets: [400, "bad-cursor"],
  },
  { name: "a limit of zero", call: ["GET", "/v1/kv/b?limit=0"], gets: [400, "bad-parameter"] },
  { name: "a limit above 1000", call: ["GET", "/v1/kv/b?limit=1001"], gets: [400, "bad-parameter"] },
  { name: "an unknown parameter", call: ["GET", "/v1/kv/b/text?maxStaleness=2s"], gets: [400, "unknown-parameter"] },
  { name: "a parameter given twice", call: ["GET", "/v1/kv/b?limit=1&limit=2"], gets: [400, "bad-parameter"] },
  {
    name: "an If-Match without quotes",
    call: ["PUT", "/v1/kv/b/k", { headers: { "if-match": "abc" }, body: "x" }],
    gets: [400, "bad-etag"],
  },
  {
    name: "an If-None-Match of many tags",
    call: ["GET", "/v1/kv/b/text", { headers: { "if-none-match": Array(65).fill('"a"').join(",") } }],
    gets: [400, "bad-etag"],
  },
  {
    name: "a wrong method on a key",
    call: ["POST", "/v1/kv/b/k", { ...OPS, body: "1" }],
    gets: [405, "method-not-allowed"],
  },
  { name: "a wrong method on a bucket", call: ["DELETE", "/v1/kv/b?prefix=a"], gets: [405, "method-not-allowed"] },
  { name: "a wrong method elsewhere", call: ["DELETE", "/cluster/status"], gets: [405, "method-not-allowed"] },
  { name: "a method that HTTP does not know", call: ["BREW", "/v1/ops/b/k"], gets: [405, "method-not-allowed"] },
  { name: "a path that is none", call: ["GET", "/v1/nothing"], gets: [404, "not-found"] },
  { name: "a path that looks like a key's", call: ["GET", "/v1/kvb/k"], gets: [404, "not-found"] },
  {
    name: "ops without a content type",
    call: ["POST", "/v1/ops/b/k", { headers: { "content-type": "" }, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  {
    name: "a patch of an unknown type",
    call: ["PATCH", "/v1/kv/b/text", { ...OPS, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  {
    name: "a merge patch on a counter",
    call: ["PATCH", "/v1/kv/b/counter", { headers: { "content-type": "application/merge-patch+json" }, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  {
    name: "a merge patch on a map that is no object",
    call: ["PATCH", "/v1/kv/b/map", { headers: { "content-type": "application/merge-patch+json" }, body: "null" }],
    gets: [400, "bad-patch"],
  },
  {
    name: "a form",
    call: ["POST", "/v1/ops/b/k", { headers: { "content-type": "application/x-www-form-urlencoded" }, body: "a=b" }],
    gets: [415, "unsupported-type"],
  },
  { name: "a plain text POST", call: ["POST", "/cluster/repair", { body: "x" }], gets: [415, "unsupported-type"] },
  {
    name: "a context that nobody made",
    call: ["PUT", "/v1/kv/b/k", { headers: { "starling-context": "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB" }, body: "x" }],
    gets: [400, "bad-context"],
  },
  {
    name: "a session that nobody made",
    call: ["GET", "/v1/kv/b/text", { headers: { "starling-session": "!" } }],
    gets: [400, "bad-session"],
  },
  { name: "a level that there is not", call: ["PUT", "/v1/kv/b/k?w=many", { body: "x" }], gets: [400, "bad-level"] },
  {
    name: "a level that is not offered",
    call: ["PUT", "/v1/kv/b/k?w=quorum", { body: "x" }],
    gets: [400, "level-not-offered"],
    says: "w=node",
  },
  {
    name: "a linearizable read",
    call: ["GET", "/v1/kv/b/text?r=linearizable"],
    gets: [400, "level-not-offered"],
    says: "semantics",
  },
  {
    name: "a time-out above 30 s",
    call: ["GET", "/v1/kv/b/text?r=session&timeoutMs=30001"],
    gets: [400, "bad-parameter"],
  },
  {
    name: "a reason over 256 characters",
    call: ["DELETE", "/v1/kv/b/text", { headers: { "starling-reason": "r".repeat(257) } }],
    gets: [400, "reason-too-long"],
  },
  {
    name: "a reason that is not UTF-8",
    call: ["DELETE", "/v1/kv/b/text", { headers: { "starling-reason": "\xff" } }],
    gets: [400, "bad-reason"],
  },
  {
    name: "an idempotency key, as long as it would be ignored",
    call: ["DELETE", "/v1/kv/b/text", { headers: { "idempotency-key": "1" } }],
    gets: [400, "idempotency-not-offered"],
  },
  {
    name: "an idempotency key on a batch",
    call: ["POST", "/v1/batch", { headers: { ...OPS.headers, "idempotency-key": "1" }, body: '{"items":[]}' }],
    gets: [400, "idempotency-not-offered"],
  },
  {
    name: "a batch of unknown actions",
    call: ["POST", "/v1/batch", { ...OPS, body: '{"items":[{"action":"steal","bucket":"b","key":"k"}]}' }],
    gets: [400, "bad-item"],
  },
  {
    name: "a batch of too many items",
    call: [
      "POST",
      "/v1/batch",
      { ...OPS, body: JSON.stringify({ items: Array(51).fill({ action: "delete", bucket: "b", key: "text" }) }) },
    ],
    gets: [413, "too-many-items"],
  },
  {
    name: "an import of another type",
    call: ["POST", "/v1/import", { ...OPS, body: "{}" }],
    gets: [415, "unsupported-type"],
  },
  { name: "a conflict id that is none", call: ["GET", "/v1/conflicts/abc"], gets: [400, "bad-conflict-id"] },
  { name: "a conflict id of no record", call: ["GET", `/v1/conflicts/c${"A".repeat(32)}`], gets: [404, "unknown"] },
  {
    name: "a resolution that says nothing",
    call: ["POST", `/v1/conflicts/c${"A".repeat(32)}/resolve`, { ...OPS, body: "{}" }],
    gets: [400, "bad-resolve"],
  },
  {
    name: "a merge by policy, not built yet",
    call: ["POST", `/v1/conflicts/c${"A".repeat(32)}/resolve`, { ...OPS, body: '{"merge":"policy"}' }],
    gets: [400, "bad-resolve"],
  },
  {
    name: "a cut of an unknown region",
    call: ["PUT", "/v1/dev/network", { ...OPS, body: '{"cut":[["eu","mars"]]}' }],
    gets: [400, "unknown-region"],
  },
  { name: "a node that is none", call: ["GET", "/cluster/nodes/nobody"], gets: [404, "not-found"] },
  { name: "a partition that is none", call: ["GET", "/v1/partitions/64"], gets: [404, "not-found"] },
  { name: "an operation that is none", call: ["GET", "/v1/operations/x"], gets: [404, "not-found"] },
];
