import type { Op, Row } from "../../crdt/index.ts";
import { MAX_DEPTH, register, samePath } from "../../crdt/index.ts";
import type { Limits } from "../config/types.ts";
import { InputError } from "../kernel/assert.ts";
import { isWellFormed, utf8Length } from "../kernel/bytes.ts";
import type { WriteRequest } from "./api.ts";

const BUCKET = /^[a-z0-9._-]{1,64}$/;

/** What a node refuses before it plans a write (data.md, Bounds). A merge never refuses (I3). */
export function checkRequest(request: WriteRequest, limits: Limits): void {
  checkKey(request.bucket, request.key, limits);
  if (request.ops.length > limits.opsPerRequest)
    throw new InputError(
      "too-many-ops",
      `a request has ${request.ops.length} ops; the limit is ${limits.opsPerRequest} (limits.ops)`,
    );
  if (request.reason !== undefined && request.reason.length > 256)
    throw new InputError("reason-too-long", "a reason has at most 256 characters");
  for (const op of request.ops) checkOp(op, limits);
}

export function checkKey(bucket: string, key: string, limits: Limits): void {
  if (!BUCKET.test(bucket))
    throw new InputError(
      "bad-bucket",
      `a bucket's name is 1 to 64 of a-z 0-9 . _ -; this is ${JSON.stringify(bucket.slice(0, 80))}`,
    );
  if (!isWellFormed(key))
    throw new InputError("bad-key", "a key must be valid Unicode: it holds half of a surrogate pair");
  const keyBytes = utf8Length(key);
  if (keyBytes < 1) throw new InputError("bad-key", "a key has at least one byte");
  if (keyBytes > limits.keyBytes)
    throw new InputError("key-too-large", `key is ${keyBytes} bytes; the limit is ${limits.keyBytes} (limits.key)`);
}

function checkOp(op: Op, limits: Limits): void {
  if (op.path.length > MAX_DEPTH)
    throw new InputError("too-deep", `maps nest at most ${MAX_DEPTH} deep; this path has ${op.path.length} fields`);
  for (const field of op.path) {
    if (!isWellFormed(field)) throw new InputError("bad-field", "a field's name must be valid Unicode");
    checkSize("field name", utf8Length(field), limits.keyBytes, "limits.key", "field-too-large");
  }
  if ("removeAll" in op) return;
  if (op.slot.op === "assign")
    checkSize("value", op.slot.bytes.length, limits.valueBytes, "limits.value", "value-too-large");
  if (op.slot.op === "add" || op.slot.op === "remove")
    for (const element of op.slot.elements)
      checkSize("element", element.length, limits.keyBytes, "limits.key", "element-too-large");
  if (op.slot.op === "increment" && (op.slot.by > MAX_STEP || op.slot.by < -MAX_STEP))
    throw new InputError("increment-too-large", "an increment lies between -2^63 and 2^63");
}

const MAX_STEP = 2n ** 63n;

function checkSize(what: string, bytes: number, limit: number, name: string, slug: string): void {
  if (bytes > limit) throw new InputError(slug, `${what} is ${bytes} bytes; the limit is ${limit} (${name})`);
}

/** Only a write that raises the number of siblings, or the size, above the bound is refused: others may settle it. */
export function checkGrowth(before: Row, after: Row, ops: readonly Op[], limits: Limits): void {
  for (const op of ops) {
    if ("removeAll" in op || op.slot.op !== "assign") continue;
    const count = siblingsAt(after, op.path);
    if (count > limits.siblings && count > siblingsAt(before, op.path))
      throw new InputError(
        "too-many-siblings",
        `${count} concurrent values would stand side by side; the limit is ${limits.siblings} (limits.siblings): settle the conflict, or send the Starling-Context of a read`,
      );
  }
}

function siblingsAt(row: Row, path: readonly string[]): number {
  const cells = [...row.cells.values()].filter((c) => c.content.kind === "register" && samePath(c.path, path));
  return cells.length === 0 ? 0 : register.show(cells).length;
}

export function checkRowSize(beforeBytes: number, afterBytes: number, limits: Limits): void {
  if (afterBytes > limits.rowBytes && afterBytes > beforeBytes)
    throw new InputError(
      "row-too-large",
      `the record would be ${afterBytes} bytes; the limit is ${limits.rowBytes} (limits.row)`,
    );
}
