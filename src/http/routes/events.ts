import { utf8 } from "../../kernel/bytes.ts";
import type { ReplicaEvent } from "../../replication/api.ts";
import type { Timer } from "../../world/world.ts";
import { type Api, baseHeaders, rfc3339 } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import type { MemberChange, MemberView } from "../deps.ts";
import { toJson, type View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { nodeViews } from "./cluster.ts";

/** More: more consoles at once; each costs a connection and a queue. */
const MAX_STREAMS = 64;
/** Events that wait for a slow reader. Above, the oldest are dropped and the stream says how many. */
const MAX_QUEUED = 256;
/** Shorter than the idle times of proxies (60 s and more). */
const HEARTBEAT_MS = 15_000;

/** `GET /cluster/events`: members, links, conflicts, damage, as they happen at this node (SSE). */
export function makeEventStreams(api: Api): (call: Call) => Response {
  let streams = 0;
  return (call) => {
    checkParameters(parseQuery(call.search), []);
    if (streams >= MAX_STREAMS)
      throw new ProblemError(
        "too-many-streams",
        `this node serves at most ${MAX_STREAMS} event streams: close one, or ask another node`,
      );
    const stream = new EventStream(api, (change) => {
      streams += change;
    });
    const headers = { ...baseHeaders(api, call), "content-type": "text/event-stream", "cache-control": "no-store" };
    return new Response(stream.body, { headers });
  };
}

class EventStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #api: Api;
  readonly #count: (change: 1 | -1) => void;
  readonly #queue: string[] = [];
  #dropped = 0;
  #wake: (() => void) | null = null;
  #stops: (() => void)[] | null = null;
  #heartbeat: Timer | null = null;

  constructor(api: Api, count: (change: 1 | -1) => void) {
    this.#api = api;
    this.#count = count;
    // Nothing is subscribed until somebody reads: a HEAD, or a client that left at once, leaves nothing behind.
    this.body = new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller), cancel: () => this.#close() },
      { highWaterMark: 0 },
    );
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#stops === null) this.#open();
    while (this.#queue.length === 0 && this.#stops !== null && this.#stops.length > 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    if (this.#queue.length === 0) return;
    if (this.#dropped > 0) this.#queue.unshift(eventText("dropped", { events: this.#dropped }));
    this.#dropped = 0;
    controller.enqueue(utf8(this.#queue.splice(0).join("")));
  }

  #open(): void {
    const { replica, events } = this.#api;
    this.#count(1);
    this.#stops = [
      events.subscribe((member, change) => this.#push("member", memberView(member, change))),
      replica.subscribe((event) => {
        if (event.kind !== "committed") this.#push(event.kind, replicaEventView(event));
      }),
    ];
    this.#push("nodes", { nodes: nodeViews(this.#api, replica.status()) });
    this.#beat();
  }

  #beat(): void {
    this.#heartbeat = this.#api.world.timers.after(HEARTBEAT_MS, () => {
      if (this.#queue.length === 0) this.#enqueue(": still here\n\n");
      this.#beat();
    });
  }

  #push(name: string, view: View): void {
    this.#enqueue(eventText(name, view));
  }

  #enqueue(text: string): void {
    if (this.#queue.length >= MAX_QUEUED) {
      this.#queue.shift();
      this.#dropped += 1;
    }
    this.#queue.push(text);
    this.#wake?.();
    this.#wake = null;
  }

  #close(): void {
    if (this.#stops === null || this.#stops.length === 0) return;
    for (const stop of this.#stops) stop();
    this.#stops = [];
    this.#heartbeat?.cancel();
    this.#count(-1);
    this.#wake?.();
  }
}

function eventText(name: string, view: View): string {
  return `event: ${name}\ndata: ${toJson(view)}\n\n`;
}

/** `change`: up, update, suspect, refuted, dead, left, conflict, keys-changed. */
function memberView(member: MemberView, { kind, by }: MemberChange): View {
  const { id, region, state, incarnation, gossipAddress, sinceMs } = member;
  const change = kind.replace(/^member-/, "");
  return { id, region, change, by, state, incarnation, address: gossipAddress, since: rfc3339(sinceMs) };
}

function replicaEventView(event: Exclude<ReplicaEvent, { kind: "committed" }>): View {
  switch (event.kind) {
    case "conflict":
      return { bucket: event.key.bucket, key: event.key.key, open: event.open };
    case "link":
      return { peer: event.peer, state: event.state, reason: event.reason };
    case "damage":
      return { partition: event.partition, leaf: event.leaf, healed: event.healed };
    case "failed":
      return { reason: event.reason };
  }
}
