import { JSON_TYPE } from "./values.ts";

/** Bodies of users are data, never pages (api.md): whatever a browser might run or render is a download. Known to be
 *  passive; everything else is taken for active. */
const PASSIVE =
  /^(?:application\/(?:json|octet-stream|x-ndjson|cbor|msgpack|gzip|zip)|[\w.+-]+\/[\w.-]+\+json|text\/(?:plain|csv|markdown)|image\/(?:png|jpeg|gif|webp|avif|bmp)|(?:audio|video|font)\/[\w.+-]+)(?:$|;)/i;

const SENDABLE = /^[\x20-\x7e]{1,300}$/;

/** The headers that any stored value is answered with. */
export function valueHeaders(contentType: string): Record<string, string> {
  const type = SENDABLE.test(contentType) ? contentType : "application/octet-stream";
  const headers: Record<string, string> = {
    "content-type": type,
    "content-security-policy": "sandbox",
  };
  if (type !== JSON_TYPE && !PASSIVE.test(type)) headers["content-disposition"] = "attachment";
  return headers;
}
