import { lookup, Resolver } from "node:dns/promises";
import { setMaxListeners } from "node:events";
import { formatAddress, type LookupLimits, type ResolveLimits } from "./world.ts";

/** c-ares asks again after a third of the time, and waits for that twice as long. */
const DNS_TRIES = 2;

/** The system's own way knows the hosts file, search lists and whatever else the machine resolves by; a server of our
 *  own choice is asked for A and AAAA. */
export async function resolveReal(name: string, limits: ResolveLimits): Promise<readonly string[]> {
  if (limits.server === undefined) {
    const found = await bounded(lookup(name, { all: true, verbatim: true }), limits, () => {});
    return found.map(({ address }) => address);
  }
  const resolver = resolverOf(limits);
  const both = Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  const answers = await bounded(both, limits, () => resolver.cancel());
  const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (addresses.length > 0) return addresses;
  const [v4, v6] = answers.map((answer) => (answer.status === "rejected" ? answer.reason : undefined));
  // "No such record" of one family says nothing when the other could not be asked.
  throw sentenceOf(codeOf(v4) === "ENODATA" ? v6 : v4, limits);
}

export function resolveRealServices(name: string, limits: ResolveLimits): Promise<readonly unknown[]> {
  const resolver = resolverOf(limits);
  return bounded(resolver.resolveSrv(name), limits, () => resolver.cancel());
}

function resolverOf({ server, timeoutMs }: ResolveLimits): Resolver {
  const resolver = new Resolver({ timeout: Math.ceil(timeoutMs / (DNS_TRIES + 1)), tries: DNS_TRIES });
  if (server) resolver.setServers([formatAddress(server)]);
  return resolver;
}

async function bounded<T>(answer: Promise<T>, limits: LookupLimits, cancel: () => void): Promise<T> {
  const { timeoutMs, signal } = limits;
  let end: (error: Error) => void = () => {};
  const ended = new Promise<never>((_, reject) => {
    end = reject;
  });
  const timeout = setTimeout(() => end(timedOut(timeoutMs)), timeoutMs);
  const give = (): void => end(new Error("given up"));
  setMaxListeners(0, signal); // one for each target of a service, all gone when they are answered
  signal.addEventListener("abort", give, { once: true });
  if (signal.aborted) give();
  try {
    return await Promise.race([answer, ended]);
  } catch (error) {
    throw sentenceOf(error, limits);
  } finally {
    clearTimeout(timeout);
    signal.removeEventListener("abort", give);
    cancel();
  }
}

function timedOut(timeoutMs: number): Error {
  return new Error(`no answer within ${timeoutMs} ms`);
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** Codes of c-ares and of getaddrinfo, in words. The same cause must give the same words: they are logged when they change. */
function sentenceOf(error: unknown, { timeoutMs }: LookupLimits): Error {
  switch (codeOf(error)) {
    case "ENOTFOUND":
      return new Error("DNS knows no such name");
    case "ENODATA":
      return new Error("the name has no such records in DNS");
    case "ESERVFAIL":
      return new Error("the DNS server failed (SERVFAIL)");
    case "EREFUSED":
      return new Error("the DNS server refused to answer (REFUSED)");
    case "EBADRESP":
      return new Error("the DNS server's answer makes no sense (EBADRESP)");
    case "EAI_AGAIN":
      return new Error("no DNS server answers for now (EAI_AGAIN)");
    case "ECONNREFUSED":
      return new Error("nobody listens at the DNS server's address");
    case "ETIMEOUT":
    case "ECANCELLED":
      return timedOut(timeoutMs);
    default:
      return error instanceof Error ? new Error(String(codeOf(error) ?? error.message)) : new Error(String(error));
  }
}
