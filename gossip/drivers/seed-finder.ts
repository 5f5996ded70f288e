import { assertNever } from "../../src/kernel/assert.ts";
import { type Address, formatAddress, type HttpAnswer, type Timer, type World } from "../../src/world/world.ts";
import { consulAddresses, consulPath } from "../discovery/consul.ts";
import { sliceAddresses, slicesPath, statusMessage } from "../discovery/kubernetes.ts";
import {
  Discovery,
  type DiscoveryEffect,
  type DiscoveryEvent,
  type Ranked,
  type SourceView,
} from "../discovery/machine.ts";
import type { AskedSource, ConsulSource, KubernetesSource } from "../discovery/notation.ts";
import { srvTargets } from "../discovery/srv.ts";
import { canonicalHost, ipToBytes } from "../index.ts";

export type FinderWorld = Pick<World, "clock" | "timers" | "rng" | "network" | "disk" | "log">;

/** How registries and DNS are reached. */
export interface LookupConfig {
  /** Asked instead of the system's. */
  readonly dnsServer: Address | null;
  /** Sent to Consul where it is not empty. */
  readonly consulToken: string;
  readonly kubernetesApi: Address;
  /** Holds `token` and `ca.crt`, as pods are given them. */
  readonly kubernetesCredentials: string;
}

/** A source by the name it was configured with. */
export interface SeedSourceView extends SourceView {
  readonly source: string;
}

export interface SeedFinderOptions {
  readonly world: FinderWorld;
  readonly lookups: LookupConfig;
  /** Seeds that need no asking. */
  readonly fixed: readonly Address[];
  readonly sources: readonly AskedSource[];
  /** The list has changed: this is the new one, `fixed` included. */
  readonly onSeeds: (seeds: readonly Address[]) => void;
}

/** One question, its answer read. Longer: a silent server is given up later. Shorter: a slow one never answers. */
const LOOKUP_MS = 5_000;
/** An instance takes 1 to 2 KiB in Consul's answer, an endpoint 0.5 in Kubernetes'. */
const ANSWER_BYTES_MAX = 1024 * 1024;
const CREDENTIAL_BYTES_MAX = 256 * 1024;
/** Of another system's words in our log. */
const REASON_CHARS_MAX = 300;

/** Carries out what the machine wants: asks DNS, Consul and Kubernetes in the background, for ever. */
export class SeedFinder {
  readonly #options: SeedFinderOptions;
  readonly #machine: Discovery;
  readonly #timers = new Map<number, Timer>();
  readonly #ending = new AbortController();

  constructor(options: SeedFinderOptions) {
    this.#options = options;
    this.#machine = new Discovery(options.fixed, options.sources.length, options.world.rng.fork());
  }

  start(): void {
    this.#step({ kind: "start" });
  }

  views(): readonly SeedSourceView[] {
    return this.#options.sources.map(({ text }, i) => ({ source: text, ...this.#machine.view(i) }));
  }

  /** Ends questions that are under way, too. */
  close(): void {
    this.#ending.abort();
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
  }

  #step(event: DiscoveryEvent): void {
    if (this.#ending.signal.aborted) return;
    const effects = this.#machine.step(event, this.#options.world.clock.monotonicMs());
    for (const effect of effects) this.#perform(effect);
  }

  #perform(effect: DiscoveryEffect): void {
    const { world, sources, onSeeds } = this.#options;
    const nameOf = (source: number): string => sources[source]?.text ?? "";
    switch (effect.kind) {
      case "ask":
        this.#ask(effect.ask, sources[effect.source] as AskedSource);
        break;
      case "set-timer":
        this.#setTimer(effect.token, effect.delayMs);
        break;
      case "seeds":
        onSeeds(effect.seeds);
        break;
      case "answered": {
        const addresses = effect.addresses.map(formatAddress);
        world.log.info("gossip.seeds-found", { source: nameOf(effect.source), addresses });
        break;
      }
      case "unanswered": {
        const { source, reason, kept } = effect;
        world.log.warn("gossip.seeds-not-found", { source: nameOf(source), reason, kept });
        break;
      }
      default:
        assertNever(effect);
    }
  }

  #setTimer(token: number, delayMs: number): void {
    const fire = (): void => {
      this.#timers.delete(token);
      this.#step({ kind: "timer", token });
    };
    this.#timers.set(token, this.#options.world.timers.after(delayMs, fire));
  }

  #ask(ask: number, source: AskedSource): void {
    this.#lookUp(source).then(
      (named) => this.#step({ kind: "found", ask, named }),
      (error: unknown) => this.#step({ kind: "failed", ask, reason: reasonOf(error) }),
    );
  }

  #lookUp(source: AskedSource): Promise<Ranked> {
    switch (source.kind) {
      case "dns":
        return this.#addressesOf(source.name, source.port).then((addresses) => [addresses]);
      case "srv":
        return this.#services(source.name);
      case "consul":
        return this.#consul(source);
      case "kubernetes":
        return this.#kubernetes(source);
      default:
        return assertNever(source);
    }
  }

  get #limits(): { readonly timeoutMs: number; readonly signal: AbortSignal } {
    return { timeoutMs: LOOKUP_MS, signal: this.#ending.signal };
  }

  async #addressesOf(name: string, port: number): Promise<readonly Address[]> {
    if (ipToBytes(name) !== undefined) return [{ host: canonicalHost(name), port }];
    const server = this.#options.lookups.dnsServer ?? undefined;
    const hosts = await this.#options.world.network.resolve(name, { ...this.#limits, server });
    // Addresses with a zone (fe80::1%eth0) mean something on one link of one machine only.
    return hosts.filter((host) => ipToBytes(host) !== undefined).map((host) => ({ host: canonicalHost(host), port }));
  }

  /** Targets are looked up by us also where the answer brought their addresses along: resolvers don't hand those on. */
  async #services(name: string): Promise<Ranked> {
    const server = this.#options.lookups.dnsServer ?? undefined;
    const records = await this.#options.world.network.resolveServices(name, { ...this.#limits, server });
    const targets = srvTargets(records);
    const answers = await Promise.allSettled(targets.map((target) => this.#addressesOf(target.name, target.port)));
    const found = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
    const failed = answers.findIndex((answer) => answer.status === "rejected");
    if (found.length === 0 && failed >= 0) {
      const { reason } = answers[failed] as PromiseRejectedResult;
      throw new Error(`none of its targets has an address; ${targets[failed]?.name}: ${reasonOf(reason)}`);
    }
    return found;
  }

  async #consul(source: ConsulSource): Promise<Ranked> {
    const { consulToken } = this.#options.lookups;
    const answer = await this.#options.world.network.httpGet({
      ...this.#limits,
      secure: source.secure,
      server: source.server,
      path: consulPath(source),
      headers: { accept: "application/json", ...(consulToken !== "" && { "x-consul-token": consulToken }) },
      bodyBytesMax: ANSWER_BYTES_MAX,
    });
    if (answer.status !== 200) throw refusal("Consul", answer, answer.body, consulToken);
    return consulAddresses(answer.body);
  }

  /** Token and certificate are read anew each time: a pod's token is replaced about every hour. */
  async #kubernetes(source: KubernetesSource): Promise<Ranked> {
    const { network, disk } = this.#options.world;
    const { kubernetesApi, kubernetesCredentials } = this.#options.lookups;
    const token = (await disk.readText(`${kubernetesCredentials}/token`, CREDENTIAL_BYTES_MAX)).trim();
    const ca = await disk.readText(`${kubernetesCredentials}/ca.crt`, CREDENTIAL_BYTES_MAX);
    const answer = await network.httpGet({
      ...this.#limits,
      secure: true,
      server: kubernetesApi,
      path: slicesPath(source),
      headers: { accept: "application/json", authorization: `Bearer ${token}` },
      ca,
      bodyBytesMax: ANSWER_BYTES_MAX,
    });
    if (answer.status !== 200) throw refusal("Kubernetes", answer, statusMessage(answer.body), token);
    return sliceAddresses(answer.body, source.port);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Refusals say what is missing (a policy, a role), so their words are worth a place in the log; but they may repeat the
 *  secret that was sent. */
function refusal(who: string, { status }: HttpAnswer, words: string, secret: string): Error {
  const safe = secret === "" ? words : words.replaceAll(secret, "(secret)");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is taken out
  const plain = safe.replace(/[\u0000-\u001f\u007f]+/g, " ").trim();
  return new Error(`${who} answered ${status}${plain === "" ? "" : `: ${plain.slice(0, REASON_CHARS_MAX)}`}`);
}
