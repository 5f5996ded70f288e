import { InputError, present } from "../kernel/assert.ts";
import { equalBytes } from "../kernel/bytes.ts";
import type { Stream, World } from "../world/world.ts";
import { FRAME, type Frame, type Hello, helloBody, parseBody, type Traffic } from "./frames.ts";
import { PROTOCOL, USUAL_LEAF_BITS } from "./hello.ts";
import { Link, type LinkHandlers } from "./link.ts";

/** Who answers the links of some kind of traffic. */
export interface PeerService {
  /** Shown to a caller whose link is taken. */
  vectors(): Uint8Array[];
  /** Answers a request; a rejection is told to the caller as text. */
  answer(op: string, body: unknown, caller: Hello): Promise<unknown>;
  /** Takes what a caller tells. Throws InputError, which ends the link with that reason. */
  note?(body: unknown, caller: Hello): void;
}

export interface DoorOptions {
  readonly world: World;
  /** Who we are. */
  readonly mine: Omit<Hello, "traffic">;
  readonly heartbeatMs: number;
  /** Says to a development network shaper where an accepted stream comes from. */
  readonly attribute: (stream: Stream, region: string) => void;
}

const FIRST_FRAME_MS = 5_000;
/** Links that have not said who they are, and all links: above these a newcomer is closed at once. */
const MAX_LINKS = 256;

/** The peer port: takes links of this cluster's members, refuses others at the first frame with a reason, and gives each to
 *  who answers its kind of traffic. */
export class PeerDoor {
  readonly #o: DoorOptions;
  readonly #links = new Set<Link>();
  readonly #services = new Map<Traffic, PeerService>();
  refused = 0;

  constructor(options: DoorOptions) {
    this.#o = options;
  }

  /** How this node shows itself on links. */
  get mine(): DoorOptions["mine"] {
    return this.#o.mine;
  }

  get heartbeatMs(): number {
    return this.#o.heartbeatMs;
  }

  /** From now on: links of a kind that nobody serves are refused. */
  serve(traffic: readonly Traffic[], service: PeerService): void {
    for (const kind of traffic) this.#services.set(kind, service);
  }

  accept(stream: Stream): void {
    const { world, heartbeatMs } = this.#o;
    const timer = world.timers.after(FIRST_FRAME_MS, () => link.close("no hello in time"));
    let caller: { readonly hello: Hello; readonly service: PeerService } | null = null;
    const handlers: LinkHandlers = {
      onFirst: (_, frame) => {
        timer.cancel();
        caller = this.#onHello(link, stream, frame);
        return caller !== null;
      },
      onRequest: (op, body) => {
        const { service, hello } = present(caller, "requests come after the hello");
        return service.answer(op, body, hello);
      },
      onNote: (body) => {
        const { service, hello } = present(caller, "notes come after the hello");
        if (!service.note) throw new InputError("bad-frame", `no notes are taken on ${hello.traffic} links`);
        service.note(body, hello);
      },
      onClose: (reason) => {
        timer.cancel();
        this.#links.delete(link);
        world.log.debug("peer.link-closed", { reason });
      },
    };
    const link: Link = new Link(world, stream, handlers, heartbeatMs);
    if (this.#links.size >= MAX_LINKS) link.close("too many links");
    else this.#links.add(link);
  }

  stop(): void {
    for (const link of [...this.#links]) link.close("this node is stopping");
  }

  #onHello(link: Link, stream: Stream, frame: Frame): { readonly hello: Hello; readonly service: PeerService } | null {
    const { mine, world, attribute } = this.#o;
    try {
      if (frame.type !== FRAME.hello) throw new InputError("bad-frame", "expected a hello");
      const hello = parseBody(helloBody, frame.body);
      const service = this.#serviceOf(hello);
      attribute(stream, hello.region);
      const { node, region } = mine;
      link.send(FRAME.welcome, { node, region, protocol: PROTOCOL.max, vectors: service.vectors() });
      return { hello, service };
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.refused += 1;
      world.log.warn("peer.refused", { from: stream.remote, reason: error.message });
      link.refuse(error.message);
      return null;
    }
  }

  /** Throws InputError with why a caller is not taken. */
  #serviceOf(hello: Hello): PeerService {
    const reason = this.#whyNot(hello);
    if (reason !== null) throw new InputError("refused", reason);
    const service = this.#services.get(hello.traffic);
    if (!service) throw new InputError("refused", `this node takes no ${hello.traffic} links`);
    return service;
  }

  #whyNot(hello: Hello): string | null {
    const { mine } = this.#o;
    if (hello.cluster !== mine.cluster) return `this node belongs to cluster ${mine.cluster}, not to ${hello.cluster}`;
    if (!equalBytes(hello.proof, mine.proof)) return "the cluster's salt differs: check cluster.salt on both sides";
    if (hello.partitionBits !== mine.partitionBits)
      return `this cluster has 2^${mine.partitionBits} partitions, the caller 2^${hello.partitionBits}`;
    if (leafBitsOf(hello) !== leafBitsOf(mine))
      return `this cluster has 2^${leafBitsOf(mine)} leaves a partition, the caller 2^${leafBitsOf(hello)}`;
    if (hello.protocol.min > PROTOCOL.max || hello.protocol.max < PROTOCOL.min)
      return `no common protocol: this node speaks ${PROTOCOL.min} to ${PROTOCOL.max}`;
    if (hello.node === mine.node) return `two nodes are called ${mine.node}`;
    return null;
  }
}

function leafBitsOf({ leafBits = USUAL_LEAF_BITS }: Pick<Hello, "leafBits">): number {
  return leafBits;
}
