import { execFileSync } from "node:child_process";

/** Network namespaces on one bridge, an address each, and what is dropped between them. Needs root. */
export class Namespaces {
  readonly hosts = new Map<string, string>();
  readonly #bridge: string;
  readonly #names = new Map<string, string>();

  /** Names hold the process id, so that runs beside each other don't meet. */
  constructor(nodes: readonly string[]) {
    const id = (process.pid % 4_096).toString(16);
    const net = `10.${200 + ((process.pid >> 8) % 50)}.${process.pid % 256}`;
    this.#bridge = `stb${id}`;
    for (const [i, node] of nodes.entries()) {
      this.#names.set(node, `st${id}-${node}`);
      this.hosts.set(node, `${net}.${i + 1}`);
    }
    // Also when the run is broken off.
    process.once("exit", () => this.remove());
    try {
      run("ip", "link", "add", this.#bridge, "type", "bridge");
      run("ip", "addr", "add", `${net}.254/24`, "dev", this.#bridge);
      run("ip", "link", "set", this.#bridge, "up");
      for (const [i, node] of nodes.entries()) this.#connect(node, `stv${id}${i}`);
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  #connect(node: string, link: string): void {
    const name = this.#nameOf(node);
    run("ip", "netns", "add", name);
    run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name);
    run("ip", "link", "set", link, "master", this.#bridge, "up");
    run("ip", "-n", name, "addr", "add", `${this.hosts.get(node)}/24`, "dev", "eth0");
    run("ip", "-n", name, "link", "set", "eth0", "up");
    run("ip", "-n", name, "link", "set", "lo", "up");
  }

  #nameOf(node: string): string {
    const name = this.#names.get(node);
    if (name === undefined) throw new Error(`no namespace for ${node}`);
    return name;
  }

  prefix(node: string): string[] {
    return ["ip", "netns", "exec", this.#nameOf(node)];
  }

  /** What `to` hears of `from` gets lost, all of it or a share. The other direction stays as it is. */
  drop(from: string, to: string, share = 1): void {
    const some = share < 1 ? ["-m", "statistic", "--mode", "random", "--probability", String(share)] : [];
    run(...this.prefix(to), "iptables", "-w", "-A", "INPUT", "-s", this.hosts.get(from) ?? "", ...some, "-j", "DROP");
  }

  /** Packets that were dropped since the last healing. */
  dropped(): number {
    const listings = [...this.#names.keys()].map((node) =>
      run(...this.prefix(node), "iptables", "-w", "-L", "INPUT", "-v", "-x", "-n"),
    );
    const counts = listings.flatMap((text) => [...text.matchAll(/^\s*(\d+)\s+\d+\s+DROP/gm)]);
    return counts.reduce((total, [, packets]) => total + Number(packets), 0);
  }

  heal(): void {
    for (const node of this.#names.keys()) run(...this.prefix(node), "iptables", "-w", "-F", "INPUT");
  }

  /** Also after a half-made start: what isn't there is passed over. */
  remove(): void {
    for (const name of this.#names.values()) tryToRun("ip", "netns", "del", name);
    tryToRun("ip", "link", "del", this.#bridge);
  }
}

function run(...command: readonly string[]): string {
  const [program, ...args] = command as [string, ...string[]];
  return execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

function tryToRun(...command: readonly string[]): void {
  try {
    run(...command);
  } catch {
    // It was never made.
  }
}
