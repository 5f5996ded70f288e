import type { Shown } from "../conflicts/projection.ts";
import { fromUtf8, utf8 } from "../kernel/bytes.ts";
import { toJson } from "./json.ts";
import { BYTES_TYPE, JSON_TYPE, shownView } from "./values.ts";

/** Bodies of users are data, never pages (api.md): whatever a browser might run or render is a download. Known to be
 *  passive; everything else is taken for active. */
const PASSIVE =
  /^(?:application\/(?:json|octet-stream|x-ndjson|cbor|msgpack|gzip|zip)|[\w.+-]+\/[\w.-]+\+json|text\/(?:plain|csv|markdown)|image\/(?:png|jpeg|gif|webp|avif|bmp)|(?:audio|video|font)\/[\w.+-]+)(?:$|;)/i;

const SENDABLE = /^[\x20-\x7e]{1,300}$/;

/** A value as it is sent. */
export interface Answer {
  readonly contentType: string;
  readonly isAttachment: boolean;
  /** `Content-Length`. */
  readonly length: string;
  readonly body: string | Uint8Array;
}

/** A register's own bytes, everything else as JSON. */
export function answerOf(shown: Shown): Answer {
  if (shown.type !== "register") {
    const body = toJson(shownView(shown));
    return { contentType: JSON_TYPE, isAttachment: false, length: String(utf8(body).length), body };
  }
  const contentType = SENDABLE.test(shown.contentType) ? shown.contentType : BYTES_TYPE;
  const isAttachment = !PASSIVE.test(contentType);
  return { contentType, isAttachment, length: String(shown.bytes.length), body: bodyOf(shown.bytes) };
}

/** Above, one more copy costs more than one more write. */
const TEXT_BYTES_MAX = 4_096;

/** Node sends headers and a short text in one piece, headers and bytes in two: a fifth of a small read's time. */
function bodyOf(bytes: Uint8Array): Answer["body"] {
  if (bytes.length <= TEXT_BYTES_MAX)
    try {
      return fromUtf8(bytes);
    } catch {
      // not text: sent as bytes
    }
  return bytes;
}
