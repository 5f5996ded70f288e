import type { VersionEvent } from "../../control/feed.ts";
import { utf8 } from "../../kernel/bytes.ts";
import type { Timer } from "../../world/world.ts";
import { type Api, baseHeaders, rfc3339 } from "../api.ts";
import { type Call, checkParameters, flagOf, integerOf, parseQuery } from "../call.ts";
import type { View } from "../json.ts";
import { ProblemError } from "../problem.ts";
import { eventText, HEARTBEAT_MS, MAX_STREAMS } from "../sse.ts";
import { getConfig } from "./config.ts";

/** `GET /v1/config`, and with `?watch&since=V` every version after V, each once and in order (SSE). `Last-Event-ID` goes
 *  before `since`. Without either it begins with `reset`, which brings the whole. */
export function makeConfigReader(api: Api): (call: Call) => Response | Promise<Response> {
  let streams = 0;
  return (call) => {
    const query = parseQuery(call.search);
    if (!flagOf(query, "watch")) return getConfig(api, call);
    checkParameters(query, ["watch", "since"]);
    const since = sinceOf(call);
    if (streams >= MAX_STREAMS)
      throw new ProblemError(
        "too-many-streams",
        `this node serves at most ${MAX_STREAMS} watchers: close one, or ask another node`,
      );
    const stream = new ConfigStream(api, since, (change) => {
      streams += change;
    });
    const headers = { ...baseHeaders(api, call), "content-type": "text/event-stream", "cache-control": "no-store" };
    return new Response(stream.body, { headers });
  };
}

/** Null: from the beginning. */
function sinceOf({ request, search }: Call): number | null {
  const last = request.headers.get("last-event-id");
  const query = last === null ? parseQuery(search) : new Map([["Last-Event-ID", last]]);
  const name = last === null ? "since" : "Last-Event-ID";
  if (!query.has(name)) return null;
  return integerOf(query, name, { min: 0, max: Number.MAX_SAFE_INTEGER, otherwise: 0 });
}

/** Nothing waits here for a slow reader: it is what it has seen, and the feed keeps the last versions for everybody. Who
 *  falls behind further than that is told `reset`. */
class ConfigStream {
  readonly body: ReadableStream<Uint8Array>;
  readonly #api: Api;
  readonly #count: (change: 1 | -1) => void;
  #seen: number | null;
  #state: "new" | "open" | "closed" = "new";
  #isBeatDue = false;
  #wake: (() => void) | null = null;
  #stop: (() => void) | null = null;
  #heartbeat: Timer | null = null;

  constructor(api: Api, since: number | null, count: (change: 1 | -1) => void) {
    this.#api = api;
    this.#seen = since;
    this.#count = count;
    // As in events.ts: nothing is subscribed until somebody reads.
    this.body = new ReadableStream<Uint8Array>(
      { pull: (controller) => this.#pull(controller), cancel: () => this.#close() },
      { highWaterMark: 0 },
    );
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    if (this.#state === "new") this.#open();
    for (;;) {
      if (this.#state === "closed") return;
      const text = this.#next();
      if (text !== "") {
        controller.enqueue(utf8(text));
        return;
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** All that is new; "" when nothing is. */
  #next(): string {
    const news = this.#api.plane.feed.since(this.#seen);
    const isBeatDue = this.#isBeatDue;
    this.#isBeatDue = false;
    if (news.kind === "reset") {
      this.#seen = news.version;
      return withId(news.version, eventText("reset", { version: news.version, config: news.view }));
    }
    this.#seen = news.events.at(-1)?.version ?? this.#seen;
    const text = news.events.map((event) => withId(event.version, eventText("version", versionView(event)))).join("");
    return text === "" && isBeatDue ? ": still here\n\n" : text;
  }

  #open(): void {
    this.#state = "open";
    this.#count(1);
    this.#stop = this.#api.plane.onChange(() => this.#rouse());
    this.#beat();
  }

  #beat(): void {
    this.#heartbeat = this.#api.world.timers.after(HEARTBEAT_MS, () => {
      this.#isBeatDue = true;
      this.#rouse();
      this.#beat();
    });
  }

  #rouse(): void {
    this.#wake?.();
    this.#wake = null;
  }

  #close(): void {
    if (this.#state !== "open") return;
    this.#state = "closed";
    this.#stop?.();
    this.#heartbeat?.cancel();
    this.#count(-1);
    this.#rouse();
  }
}

function withId(version: number, text: string): string {
  return `id: ${version}\n${text}`;
}

/** Without `before` a place is new, without `after` it is gone. */
function versionView({ version, previous, kind, by, atMs, reason, changes }: VersionEvent): View {
  const diff = changes.map(({ path, before, after }): View => ({ path, before, after }));
  return { version, previous, kind, by, at: rfc3339(atMs), reason, changes: diff };
}
