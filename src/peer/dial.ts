import { InputError } from "../kernel/assert.ts";
import { type Address, formatAddress, type World } from "../world/world.ts";
import { encodeFrame, FRAME, type Hello, parseBody, refuseBody, type Welcome, welcomeBody } from "./frames.ts";
import { Link, LinkError, type LinkHandlers } from "./link.ts";

const DIAL_TIMEOUT_MS = 2_000;

export interface DialOptions {
  readonly world: World;
  readonly address: Address;
  /** Who should answer there. */
  readonly node: string;
  readonly hello: Hello;
  readonly heartbeatMs: number;
  /** `onClose` is called however it ends, also for a link that never came up. */
  readonly handlers: Omit<LinkHandlers, "onFirst" | "onRequest" | "onClose"> & {
    onClose(reason: string, link: Link): void;
  };
}

/** Connects and says hello. Rejects with LinkError when nobody is there, with InputError when it, or we, refused. */
export async function dial(options: DialOptions): Promise<{ readonly link: Link; readonly welcome: Welcome }> {
  const { world, address, node, hello, heartbeatMs, handlers } = options;
  const stream = await world.network.connect(address, DIAL_TIMEOUT_MS).catch((error: unknown) => {
    throw new LinkError(`${formatAddress(address)}: ${error instanceof Error ? error.message : String(error)}`);
  });
  return new Promise((resolve, reject) => {
    const timer = world.timers.after(DIAL_TIMEOUT_MS, () => link.close("no welcome in time"));
    const link: Link = new Link(
      world,
      stream,
      {
        ...handlers,
        onFirst: (_, frame) => {
          timer.cancel();
          if (frame.type === FRAME.refuse) {
            const { reason } = parseBody(refuseBody, frame.body);
            reject(new InputError("refused", `the peer refused: ${reason}`));
            link.close("refused");
            return false;
          }
          if (frame.type !== FRAME.welcome) throw new InputError("bad-frame", "expected a welcome");
          const welcome = parseBody(welcomeBody, frame.body);
          if (welcome.node !== node)
            throw new InputError("bad-frame", `${welcome.node} answers at the address of ${node}`);
          resolve({ link, welcome });
          return true;
        },
        onRequest: () => Promise.reject(new LinkError("requests travel on links of the one who asks")),
        onClose: (reason) => {
          timer.cancel();
          reject(new LinkError(reason));
          handlers.onClose(reason, link);
        },
      },
      heartbeatMs,
    );
    stream.write(encodeFrame(FRAME.hello, hello));
  });
}
