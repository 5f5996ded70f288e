import type { Api } from "../api.ts";
import type { Call } from "../call.ts";
import { ProblemError } from "../problem.ts";
import { checkKey, keyOf, targetOf } from "../target.ts";
import { getKey } from "./kv-read.ts";
import { deleteKey, patchKey, postOps, putKey } from "./kv-write.ts";
import { listBuckets, listKeys } from "./listing.ts";

export const KV = "/v1/kv";
export const OPS = "/v1/ops";

/** Everything under `/v1/kv`: one entry, cut from the raw path, because keys may hold what routers decode or split. */
export function kv(api: Api, call: Call): Promise<Response> {
  const { bucket, key, query } = targetOf(call, KV);
  if (bucket === null) {
    if (call.method === "GET" || call.method === "HEAD") return listBuckets(api, call, query);
    throw notOnBuckets();
  }
  if (key === null) {
    if (call.method === "GET" || call.method === "HEAD") return listKeys(api, call, bucket, query);
    throw notOnBuckets();
  }
  const target = { bucket, key: checkKey(key, api.config.limits.keyBytes) };
  switch (call.method) {
    case "GET":
    case "HEAD":
      return getKey(api, call, target, query);
    case "PUT":
      return putKey(api, call, target, query);
    case "DELETE":
      return deleteKey(api, call, target, query);
    case "PATCH":
      return patchKey(api, call, target, query);
    default:
      throw new ProblemError("method-not-allowed", "a key takes GET, HEAD, PUT, PATCH and DELETE", {
        headers: { allow: "GET, HEAD, PUT, PATCH, DELETE" },
      });
  }
}

function notOnBuckets(): ProblemError {
  return new ProblemError("method-not-allowed", "name a key: a bucket can only be listed", {
    headers: { allow: "GET, HEAD" },
  });
}

export function ops(api: Api, call: Call): Promise<Response> {
  const { key, query } = keyOf(call, OPS, api.config.limits.keyBytes);
  return postOps(api, call, key, query);
}
