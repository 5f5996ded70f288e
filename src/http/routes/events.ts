import { utf8 } from "../../kernel/bytes.ts";
import type { ReplicaEvent } from "../../replication/api.ts";
import type { Timer } from "../../world/world.ts";
import { type Api, baseHeaders, rfc3339 } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";
import type { MemberChange, MemberView } from "../deps.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { eventText, HEARTBEAT_MS, MAX_STREAMS } from "../sse.ts";
import { nodeViews } from "./cluster.ts";

/** Events that wait for a slow reader. Above, the oldest are dropped and the stream says how many. */
const MAX_QUEUED = 256;
/** `GET /cluster/events`: members, links, conflicts, damage, leaders, versions of the configuration, as they happen at this node (SSE). */
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
  /** What was told of the control plane. */
  #leader: string | null = null;
  #term = 0;
  #version = 0;

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
    const { replica, events, plane } = this.#api;
    this.#count(1);
    this.#version = plane.feed.version;
    this.#stops = [
      events.subscribe((member, change) => this.#push("member", memberView(member, change))),
      replica.subscribe((event) => {
        if (event.kind !== "committed") this.#push(event.kind, replicaEventView(event));
      }),
      plane.onChange(() => this.#planeChanged()),
    ];
    this.#push("nodes", { nodes: nodeViews(this.#api, replica.status()) });
    this.#planeChanged();
    this.#beat();
  }

  /** Of the configuration what and why, not the difference: that is for `GET /v1/config?watch`. */
  #planeChanged(): void {
    const { plane } = this.#api;
    const { leader, term } = plane.status();
    if (leader !== this.#leader || (leader !== null && term !== this.#term)) this.#push("leader", { leader, term });
    this.#leader = leader;
    this.#term = term;
    const news = plane.feed.since(this.#version);
    // A node that starts may show less for a moment, until its log has got to what it kept.
    this.#version = Math.max(this.#version, plane.feed.version);
    if (news.kind === "reset") this.#push("config", { version: news.version, kind: "reset", by: null, reason: null });
    else for (const { version, kind, by, reason } of news.events) this.#push("config", { version, kind, by, reason });
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
