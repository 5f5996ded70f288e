import type { Config } from "../config/types.ts";
import { InputError } from "../kernel/assert.ts";
import { isLoopbackHost } from "../kernel/host-port.ts";
import { mediaType } from "./body.ts";
import type { Call } from "./call.ts";
import { ProblemError } from "./problem.ts";

/** What a browser sends without asking first: the types of forms. */
const FORM_TYPES = new Set(["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]);

/** No web page may talk to a developer's node (security.md). On a loopback listener every request must name this machine
 *  in `Host` (else a page's own name was rebound to 127.0.0.1), and come from no page but this node's own. Anywhere, a
 *  POST of a type that forms can send is refused. Throws 403 `foreign-host`, `foreign-origin`, 415. */
export function makeGuard(config: Config): (call: Call) => void {
  const isLoopback = isLoopbackHost(config.client.bind.host);
  const names = new Set(
    ["localhost", config.client.bind.host, config.client.advertise.host].map((host) => host.toLowerCase()),
  );
  return (call) => {
    if (isLoopback) {
      const host = call.request.headers.get("host") ?? call.authority;
      const name = hostName(host);
      if (!names.has(name) && !isLoopbackHost(name))
        throw new InputError(
          "foreign-host",
          "this node listens on loopback and answers to names of this machine only: use 127.0.0.1 or localhost",
        );
      const origin = call.request.headers.get("origin");
      if (origin !== null && origin.slice(origin.indexOf("//") + 2).toLowerCase() !== host.toLowerCase())
        throw new InputError("foreign-origin", "a page of another origin may not talk to this node");
    }
    if (call.method === "POST") {
      const type = mediaType(call.request);
      if (FORM_TYPES.has(type))
        throw new ProblemError("unsupported-type", `send application/json or application/x-ndjson, not ${type}`);
    }
  };
}

/** Without port and brackets, in lower case. */
function hostName(authority: string): string {
  if (authority.startsWith("[")) return authority.slice(1, Math.max(1, authority.indexOf("]"))).toLowerCase();
  const colon = authority.indexOf(":");
  return (colon < 0 ? authority : authority.slice(0, colon)).toLowerCase();
}
