import type { GroupChange } from "../../src/consensus/core/configuration.ts";
import type { Entry, Payload } from "../../src/consensus/core/log.ts";
import type { Message } from "../../src/consensus/core/messages.ts";
import { decodeMessage, encodeMessage } from "../../src/consensus/driver/wire.ts";
import { encodeCommand } from "../../src/control/codec.ts";
import { concatBytes, utf8, Writer } from "../../src/kernel/bytes.ts";
import type { Rng } from "../../src/kernel/rng.ts";
import { encodeFrame, FRAME, FrameReader, type Hello } from "../../src/peer/frames.ts";
import { MESSAGES } from "../consensus/messages.ts";
import { HostilePlane, helloOf, MEMBERS, REMOVED, SEATS, SELF, STRANGER } from "./hostile-plane.ts";
import { HostileStream } from "./hostile-world.ts";
import { mutateBytes, pick, randomBytes } from "./mutate.ts";
import { claim, type Target, unlessRefused } from "./target.ts";

// A node's whole part in the control plane, against whoever dials its peer port. An input is four bytes that choose the
// seat, the caller, the incarnation it speaks for and the kind of its frames, and what it says.

const CALLERS = [
  "b",
  "c",
  SELF,
  REMOVED,
  STRANGER,
  "b, without the salt",
  "b, of another cluster",
  "no hello",
] as const;
const EPOCHS = [1, 1, 1, 0, 2, Number.MAX_SAFE_INTEGER];
const KINDS = [
  "note",
  "snapshot",
  "state",
  "read",
  "propose",
  "found",
  "no such op",
  "notes",
  "requests",
  "raw",
  "large",
  "time",
] as const;
type Kind = (typeof KINDS)[number];

/** What a leader alone may say. The salt and a member's name make who says it a leader as good as any: Raft is for members
 *  that fail, not for members that lie. What such a lie can do at worst: end this node's seat, or stop the node. */
const LEADERS: ReadonlySet<Message["type"]> = new Set<Message["type"]>([
  "append",
  "snapshot",
  "heartbeat",
  "append-reply",
]);

const MANY = 1_500;
const OUT_BYTES_MAX = 64 * 2 ** 20;
const TIMERS_MAX = 4_000;
/** A seat is used for so many inputs. */
const INPUTS_OF_SEAT = 500;

interface Input {
  readonly seat: number;
  readonly caller: (typeof CALLERS)[number];
  readonly epoch: number;
  readonly kind: Kind;
  readonly said: Uint8Array;
}

function inputOf(bytes: Uint8Array): Input {
  const [seat = 0, caller = 0, epoch = 0, kind = 0] = bytes;
  return {
    seat: seat % SEATS.length,
    caller: CALLERS[caller % CALLERS.length] ?? "b",
    epoch: EPOCHS[epoch % EPOCHS.length] ?? 1,
    kind: KINDS[kind % KINDS.length] ?? "note",
    said: bytes.subarray(4),
  };
}

function helloFrom({ caller, epoch, said }: Input, { hostile }: HostilePlane): Hello {
  const { world } = hostile;
  if (caller === "b, without the salt") return helloOf("b", world, { epoch, proof: new Uint8Array(16) });
  if (caller === "b, of another cluster") return helloOf("b", world, { epoch, cluster: "c-2" });
  // Ever new names: nothing may be kept of them.
  const name = caller === STRANGER ? `${STRANGER}-${said.length}-${world.rng.u32()}` : caller;
  return helloOf(name, world, { epoch });
}

function framesOf({ kind, said }: Input): Uint8Array[] {
  const request = (op: string, id = 1, body: unknown = said): Uint8Array =>
    encodeFrame(FRAME.request, { id, op, body });
  switch (kind) {
    case "note":
      return [encodeFrame(FRAME.note, said)];
    case "notes":
      return Array.from({ length: 20 }, () => encodeFrame(FRAME.note, said));
    case "requests": {
      const op = KINDS[1 + ((said[0] ?? 0) % 5)] ?? "state";
      return [concatBytes(Array.from({ length: MANY }, (_, id) => request(op, id)))];
    }
    case "raw":
      return [said];
    case "large":
      return [request(KINDS[1 + ((said[0] ?? 0) % 5)] ?? "propose", 1, new Uint8Array(2 ** 20))];
    case "time":
      return [];
    default:
      return [request(kind)];
  }
}

/** May what it says count for anything here? What a member wants proposed does in whatever incarnation it speaks for: who is
 *  behind has to claim its place. */
function isMembers({ caller, epoch, kind }: Input): boolean {
  const isAsked = kind === "propose" || kind === "requests" || kind === "raw";
  return (epoch === 1 || isAsked) && MEMBERS.some((member) => member === caller && member !== SELF);
}

class Hostility {
  #seats: (HostilePlane | null)[] = SEATS.map(() => null);
  #inputs = 0;

  reset(): void {
    this.#seats = SEATS.map(() => null);
  }

  async #seat(index: number): Promise<HostilePlane> {
    this.#inputs += 1;
    if (this.#inputs % INPUTS_OF_SEAT === 0) this.reset();
    const seat = this.#seats[index] ?? (await HostilePlane.open(SEATS[index] ?? "follower"));
    this.#seats[index] = seat;
    return seat;
  }

  async take(bytes: Uint8Array): Promise<boolean> {
    const input = inputOf(bytes);
    const seat = await this.#seat(input.seat);
    const { hostile } = seat;
    if (input.kind === "time") await hostile.pass(100 + (input.said.length % 64) * 100);
    const [before, dials] = [seat.picture, hostile.dials];
    const stream = new HostileStream();
    seat.door.accept(stream);
    if (input.caller !== "no hello") stream.send(encodeFrame(FRAME.hello, helloFrom(input, seat)));
    for (const frame of framesOf(input)) stream.send(frame);
    await hostile.settle();
    this.#check(input, seat, before);
    if (seat.kind === "aside") claim(hostile.dials === dials, "made who is aside speak");
    const answer = answersIn(stream);
    stream.hangUp();
    await hostile.settle();
    if (seat.failure !== null || seat.plane.status().state !== "running") this.#seats[input.seat] = null;
    return answer;
  }

  #check(input: Input, seat: HostilePlane, before: string): void {
    const { failure, picture, hostile } = seat;
    const isLeaders = isMembers(input) && typesIn(input).some((type) => LEADERS.has(type));
    claim(failure === null || isLeaders, `stopped the node: ${failure}`);
    if (!isMembers(input)) claim(picture === before, `of no member changed what it is from ${before} to ${picture}`);
    if (seat.kind === "aside") claim(picture === before, "changed who is aside");
    claim(hostile.timers < TIMERS_MAX, `left ${hostile.timers} timers`);
    if (!isLeaders) claim(seat.plane.state?.members.has("b") === true, "removed a member");
  }
}

function typesIn({ said, kind }: Input): Message["type"][] {
  if (kind === "raw")
    return (
      unlessRefused(() => new FrameReader().push(said))?.flatMap(({ body }) =>
        body instanceof Uint8Array ? typesOf(body) : insideOf(body).flatMap(typesOf),
      ) ?? []
    );
  return typesOf(said);
}

function insideOf(body: unknown): Uint8Array[] {
  const { body: inner } = (body ?? {}) as { body?: unknown };
  return inner instanceof Uint8Array ? [inner] : [];
}

function typesOf(said: Uint8Array): Message["type"][] {
  const message = unlessRefused(() => decodeMessage(said));
  return message ? [message.type] : [];
}

/** Was it taken: the link is open, and no answer is a refusal? */
function answersIn(stream: HostileStream): boolean {
  const bytes = concatBytes(stream.written);
  claim(bytes.length < OUT_BYTES_MAX, `was answered with ${bytes.length} bytes`);
  const isRefused = new FrameReader()
    .push(bytes)
    .some(({ type, body }) => type === FRAME.refuse || (type === FRAME.response && "error" in (body as object)));
  return !isRefused && !stream.isClosed;
}

// ---- what is right but for what it says

const NUMBERS = [0, 1, 2, 3, 4, 5, 19, 20, 21, 22, 84, 2 ** 20, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53 - 2, 2 ** 53 - 1];
const NAMES = [...MEMBERS, REMOVED, STRANGER];
const CHANGES: readonly GroupChange[] = [
  { transition: "auto", changes: [{ kind: "remove", id: SELF }] },
  { transition: "auto", changes: [{ kind: "voter", id: STRANGER }] },
  { transition: "joint-explicit", changes: [] },
];

function command(rng: Rng): Uint8Array {
  const wish = { kind: "set-policy", bucket: "b", policy: { show: "siblings" }, by: "x", reason: null } as const;
  const envelope = { id: `proposal-${rng.u32()}`, basis: pick(rng, NUMBERS), level: 1 + rng.below(2), atMs: 0 };
  return encodeCommand({ ...wish, ...envelope, ifVersion: null });
}

/** As a member's driver frames a proposal, around a command, half of one, or none. */
function framed(rng: Rng): Uint8Array {
  const sound = command(rng);
  const data = pick(rng, [sound, sound, mutateBytes(rng, [sound]), randomBytes(rng, 20), new Uint8Array(0)]);
  const frame = new Writer().u8(1).text(pick(rng, NAMES)).text("00000000").uint(pick(rng, NUMBERS)).uint(1).raw(data);
  return rng.below(4) === 0 ? mutateBytes(rng, [frame.finish()]) : frame.finish();
}

function payload(rng: Rng): Payload {
  const data = framed(rng);
  if (rng.below(3) > 0) return { kind: "command", data };
  return rng.below(2) === 0 ? { kind: "nothing" } : { kind: "change", change: pick(rng, CHANGES), data };
}

function wildMessage(rng: Rng): Uint8Array {
  const number = (): number => pick(rng, NUMBERS);
  const wild = Object.entries(pick(rng, MESSAGES)).map(([key, value]) => [
    key,
    typeof value === "number" ? number() : value,
  ]);
  const message = {
    ...(Object.fromEntries(wild) as Message),
    from: rng.below(8) === 0 ? pick(rng, NAMES) : "b",
    to: rng.below(8) === 0 ? pick(rng, NAMES) : SELF,
  };
  if (message.type === "propose") return encodeMessage({ ...message, payloads: [payload(rng), payload(rng)] });
  if (message.type !== "append") return encodeMessage(message);
  const term = Math.min(message.term, number());
  const entries = message.entries.map(
    (_, i): Entry => ({ term, index: message.prevIndex + 1 + i, payload: payload(rng) }),
  );
  return encodeMessage({ ...message, entries });
}

const chosen = (rng: Rng, kind: Kind, said: Uint8Array): Uint8Array =>
  concatBytes([Uint8Array.of(rng.below(256), rng.below(256), rng.below(256), KINDS.indexOf(kind)), said]);

function structured(rng: Rng): Uint8Array {
  const kind =
    rng.below(200) === 0
      ? "requests"
      : pick(
          rng,
          KINDS.filter((one) => one !== "requests"),
        );
  if (kind === "propose")
    return chosen(rng, kind, rng.below(2) === 0 ? command(rng) : mutateBytes(rng, [command(rng)]));
  if (kind === "raw")
    return chosen(rng, kind, encodeFrame(rng.below(10), rng.below(2) === 0 ? null : wildMessage(rng)));
  return chosen(rng, kind, wildMessage(rng));
}

const hostility = new Hostility();

export const PLANE_TARGETS: readonly Target[] = [
  {
    name: "plane-control",
    seeds: () =>
      SEATS.flatMap((_, seat) =>
        KINDS.filter((kind) => kind !== "requests").map((kind) =>
          concatBytes([
            Uint8Array.of(seat, 0, 0, KINDS.indexOf(kind)),
            encodeMessage({ type: "read", from: "b", to: SELF, id: 1 }),
            kind === "found" ? utf8("?") : new Uint8Array(0),
          ]),
        ),
      ),
    structured,
    parse: (input) => hostility.take(input),
    reset: () => hostility.reset(),
    isAsync: true,
    // A whole node's part, and thousands of requests in one input.
    inputMs: 5_000,
    inputsInTest: 4_000,
  },
];
