import { describe, expect, test } from "vitest";
import { PROFILES } from "../../gossip/index.ts";
import { makeConfig, needsOwnCluster, type OwnCluster, problemsOf } from "../../src/config/config.ts";
import type { Effective, Sources } from "../../src/config/resolve.ts";
import { resolveSettings } from "../../src/config/resolve.ts";
import type { SettingName } from "../../src/config/settings.ts";
import { environmentName, SETTING_NAMES } from "../../src/config/settings.ts";
import type { Config } from "../../src/config/types.ts";

const OWN: OwnCluster = { id: "own", salt: new Uint8Array(16), name: null, role: "founder", seeds: [] };
const SALT = "00112233445566778899aabbccddeeff";

function sources(file = "", environment: Record<string, string> = {}, flags: Record<string, string> = {}): Sources {
  return {
    ...(file === "" ? {} : { file: { path: "starling.toml", text: file } }),
    environment: new Map(Object.entries(environment)),
    flags: new Map(Object.entries(flags)) as ReadonlyMap<SettingName, string>,
  };
}

function resolve(...parts: Parameters<typeof sources>): Effective {
  return resolveSettings(sources(...parts));
}

function config(...parts: Parameters<typeof sources>): Config {
  return makeConfig(resolve(...parts).values, OWN);
}

function shown(effective: Effective, name: SettingName): string {
  const found = effective.settings.find((setting) => setting.name === name);
  return `${found?.shown} from ${found?.from}`;
}

describe("sources", () => {
  test("without any source one machine gets loopback listeners on 7001 to 7003 and its own cluster", () => {
    const made = config();
    expect(made.client.bind).toEqual({ host: "127.0.0.1", port: 7001 });
    expect(made.gossip.bind).toEqual({ host: "127.0.0.1", port: 7002 });
    expect(made.peer.bind).toEqual({ host: "127.0.0.1", port: 7003 });
    expect(made.gossip.profile).toEqual(PROFILES.lan);
    expect(made.gossip.advertise).toEqual(made.gossip.bind);
    expect(made.cluster).toEqual({
      id: "own",
      name: "starling",
      salt: OWN.salt,
      seeds: [],
      lookups: {
        dnsServer: null,
        consulToken: "",
        kubernetesApi: { host: "kubernetes.default.svc", port: 443 },
        kubernetesCredentials: "/var/run/secrets/kubernetes.io/serviceaccount",
      },
      start: { kind: "alone" },
      owners: [{ id: "n1", region: "local" }],
    });
    expect(made.dev).toBe(false);
  });

  test("flags win over the environment, which wins over the file", () => {
    const file = '[node]\nid = "from-file"\nzone = "z1"\n[gossip]\nprofile = "geo"';
    const environment = { STARLING_NODE_ID: "from-env", STARLING_GOSSIP_PROFILE: "local" };
    const effective = resolve(file, environment, { "node.id": "from-flag" });
    expect(shown(effective, "node.id")).toBe("from-flag from --node.id");
    expect(shown(effective, "gossip.profile")).toBe("local from STARLING_GOSSIP_PROFILE");
    expect(shown(effective, "node.zone")).toBe("z1 from starling.toml");
    expect(shown(effective, "log.level")).toBe("info from default");
  });

  test("the salt is never shown, and what follows from other settings says so", () => {
    const effective = resolve(`[cluster]\nid = "c"\nsalt = "${SALT}"`);
    expect(shown(effective, "cluster.salt")).toBe("(secret) from starling.toml");
    expect(shown(effective, "client.advertise")).toBe("(client.bind) from default");
    expect(JSON.stringify(effective.settings.map(({ shown }) => shown))).not.toContain("0011");
  });

  test("every setting can come from the environment under a name of its own", () => {
    expect(new Set(SETTING_NAMES.map(environmentName)).size).toBe(SETTING_NAMES.length);
    expect(environmentName("node.data_dir")).toBe("STARLING_NODE_DATA_DIR");
  });

  test("units are understood in every source", () => {
    const made = config(
      '[replication]\nsync_interval = "250ms"',
      { STARLING_LIMITS_VALUE_BYTES: "2MiB" },
      {
        "replication.history": "36h",
      },
    );
    expect(made.replication).toMatchObject({ syncIntervalMs: 250, historyMs: 129_600_000 });
    expect(made.limits.valueBytes).toBe(2 * 1024 ** 2);
  });

  test("seeds read the same from TOML, the environment and flags, discovery words among them", () => {
    const seeds = [
      "10.0.0.1:7002",
      "dns+srv://_starling-gossip._udp.example.com",
      "consul://127.0.0.1:8500/s?tag=a%2Cb",
    ];
    const text = seeds.join(",");
    expect(config(`[cluster]\nseeds = ${JSON.stringify(seeds)}`).cluster.seeds).toEqual(seeds);
    expect(config("", { STARLING_CLUSTER_SEEDS: text }).cluster.seeds).toEqual(seeds);
    expect(config("", {}, { "cluster.seeds": text }).cluster.seeds).toEqual(seeds);
    expect(config('[cluster]\nseeds = ["10.0.0.9:1"]', { STARLING_CLUSTER_SEEDS: "" }).cluster.seeds).toEqual([]);
  });

  test("a Consul token is never shown", () => {
    const effective = resolve("", { STARLING_CLUSTER_CONSUL_TOKEN: "hunter2" });
    expect(effective.values["cluster.consul_token"]).toBe("hunter2");
    expect(shown(effective, "cluster.consul_token")).toBe("(secret) from STARLING_CLUSTER_CONSUL_TOKEN");
    expect(shown(resolve(), "cluster.consul_token")).toBe(" from default");
  });

  test("a pod is told where the API of its cluster is, and settings win over that", () => {
    const pod = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
    expect(shown(resolve("", pod), "cluster.kubernetes_api")).toBe("10.96.0.1:443 from KUBERNETES_SERVICE_HOST");
    const sixth = { ...pod, KUBERNETES_SERVICE_HOST: "fd00:10:96::1" };
    expect(config("", sixth).cluster.lookups.kubernetesApi).toEqual({ host: "fd00:10:96::1", port: 443 });
    const own = { ...pod, STARLING_CLUSTER_KUBERNETES_API: "127.0.0.1:6443" };
    expect(config("", own).cluster.lookups.kubernetesApi).toEqual({ host: "127.0.0.1", port: 6443 });
    expect(config('[cluster]\nkubernetes_api = "k8s:1"', pod).cluster.lookups.kubernetesApi.host).toBe("k8s");
    expect(shown(resolve(), "cluster.kubernetes_api")).toBe("kubernetes.default.svc:443 from default");
  });

  test("owners read the same from TOML tables and from text", () => {
    const cluster = `id = "c"\nsalt = "${SALT}"\nseeds = ["10.0.0.1:7002"]`;
    const table = `[node]\nid = "eu"\nregion = "eu"\n[cluster]\n${cluster}\nowners = [{ id = "eu", region = "eu", peer = "127.0.0.1:7003" }, { id = "us", region = "us" }]`;
    const text = `[node]\nid = "eu"\nregion = "eu"\n[cluster]\n${cluster}`;
    const owners = [
      { id: "eu", region: "eu", peer: { host: "127.0.0.1", port: 7003 } },
      { id: "us", region: "us" },
    ];
    expect(config(table).cluster).toMatchObject({ id: "c", owners, seeds: ["10.0.0.1:7002"] });
    expect(config(text, { STARLING_CLUSTER_OWNERS: "eu/eu@127.0.0.1:7003,us/us" }).cluster.owners).toEqual(owners);
    expect(needsOwnCluster(resolve(table).values)).toBe(false);
  });
});

describe("mistakes", () => {
  function complaint(...parts: Parameters<typeof sources>): string {
    try {
      config(...parts);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    return "accepted";
  }

  test("an unknown key is refused with the nearest known name, in the file and in the environment", () => {
    expect(complaint('[gossip]\nbnd = "127.0.0.1:1"')).toContain(
      "there is no setting gossip.bnd; the nearest is gossip.bind",
    );
    expect(complaint('[gosip]\nbind = "127.0.0.1:1"')).toContain("the nearest is gossip.bind");
    expect(complaint("dev = true")).toContain("there is no setting dev");
    expect(complaint("", { STARLING_GOSSIP_BNID: "x" })).toContain("the nearest is STARLING_GOSSIP_BIND");
    expect(complaint('[limits]\nkeyBytes = "1KiB"')).toContain("the nearest is limits.key_bytes");
  });

  test("a secret in a seed is not repeated in the complaint", () => {
    expect(complaint("", { STARLING_CLUSTER_SEEDS: "consul://me:hunter2@a:1/b" })).not.toContain("hunter2");
    expect(complaint("", { STARLING_CLUSTER_SEEDS: "consul://a:1/b?acl_token=hunter2" })).not.toContain("hunter2");
    expect(complaint("", { STARLING_CLUSTER_CONSUL_TOKEN: "hunter2 hunter2" })).not.toContain("hunter2");
  });

  test("all problems are told at once, each with where it came from", () => {
    const text = complaint(
      '[node]\nid = "UPPER"\n[limits]\nvalue_bytes = 5',
      { STARLING_PEER_BIND: "nowhere" },
      {
        "log.level": "loud",
      },
    );
    expect(text).toContain("node.id (starling.toml): ");
    expect(text).toContain('limits.value_bytes (starling.toml): expected a unit: "5B" or "5KiB"?');
    expect(text).toContain("peer.bind (STARLING_PEER_BIND): expected host:port");
    expect(text).toContain("log.level (--log.level): expected one of debug, info, warn, error, silent");
  });

  test("broken TOML is refused with its line", () => {
    expect(complaint('[node]\nid = "a\n')).toMatch(/^starling.toml:2:\d+: /);
  });

  test.each([
    ["a number without its unit", "[replication]\nsync_interval = 500", 'expected a unit: "500ms" or "500s"?'],
    ["a wrong unit", '[replication]\nhistory = "1 week"', "expected a duration"],
    ["a key limit above what the store allows", '[limits]\nkey_bytes = "2KiB"', "expected 1B to 1KiB, got 2KiB"],
    ["a fraction", "[limits]\nsiblings = 2.5", "expected a whole number from 2 to 1024"],
    ["a port out of range", '[client]\nbind = "127.0.0.1:70000"', "expected host:port"],
    ["control characters", '[node]\nzone = "a\\u0007"', "without control characters"],
    ["a short salt", `[cluster]\nid = "c"\nsalt = "0011"`, "32 to 128 hex digits"],
    ["an owner named twice", `[cluster]\nid = "c"\nsalt = "${SALT}"\nowners = ["a/r", "a/r"]`, "a is there twice"],
    ["an owner with a strange field", '[cluster]\nowners = [{ id = "a", region = "r", port = 1 }]', "not port"],
    [
      "a seed of an unknown kind",
      '[cluster]\nseeds = ["etcd://a:1/b"]',
      "is no way to find members: write host:port, dns://",
    ],
    ["a seed without its port", '[cluster]\nseeds = ["a.example.com"]', "must look like host:port"],
    ["a password in a seed", '[cluster]\nseeds = ["consul://me:hunter2@a:1/b"]', "belongs into cluster.consul_token"],
    ["a DNS server by name", '[cluster]\ndns_server = "dns.example.com:53"', "expected an IP address and a port"],
    ["a token with a space", '[cluster]\nconsul_token = "a b"', "expected a token"],
    ["something that is no boolean", '[dev]\nenabled = "yes"', "expected true or false"],
    ["a date where text belongs", "[node]\nid = 2020-01-01", "expected a node's name"],
  ])("%s is refused", (_what, file, message) => {
    expect(complaint(file)).toContain(message);
  });

  test("an id without a salt, or owners without both, are refused", () => {
    expect(complaint('[cluster]\nid = "c"')).toContain("cluster.salt must be set with it");
    expect(complaint(`[cluster]\nsalt = "${SALT}"`)).toContain("cluster.id must be set with it");
    expect(complaint('[cluster]\nowners = ["n1/local"]')).toContain(
      "all owners need the same cluster.id and cluster.salt",
    );
  });

  test("a node that is no owner, or in another region than its owner entry, is refused", () => {
    const cluster = `[cluster]\nid = "c"\nsalt = "${SALT}"\n`;
    expect(complaint(`${cluster}owners = ["a/r"]`)).toContain("cluster.owners must name this node (n1)");
    expect(complaint(`${cluster}owners = ["n1/r"]`)).toContain("cluster.owners puts n1 into r");
  });

  test("variables that a container platform injects for a service called starling are none of ours", () => {
    const injected = {
      STARLING_SERVICE_HOST: "10.0.0.1",
      STARLING_SERVICE_PORT_HTTP: "7001",
      STARLING_PORT: "tcp://10.0.0.1:7001",
      STARLING_PORT_7001_TCP_ADDR: "10.0.0.1",
      STARLING_CLIENT_SERVICE_HOST: "10.0.0.2",
      STARLING_NODE: "http://127.0.0.1:7001",
    };
    expect(complaint("", injected)).toBe("accepted");
  });
});

describe("constants of gossip", () => {
  const made = (file: string) => makeConfig(resolve(file).values, OWN).gossip.profile;

  test("come from the profile, and each can be set by itself", () => {
    expect(made('[gossip]\nprofile = "wan"')).toEqual(PROFILES.geo);
    expect(made('[gossip]\nprofile = "geo"\nprobe_interval = "5s"\nfan_out = 2\nregion_aware = false')).toEqual({
      ...PROFILES.geo,
      probeIntervalMs: 5000,
      gossipFanOut: 2,
      regionAware: false,
    });
  });

  test("are checked together", () => {
    const { values } = resolve('[gossip]\nprobe_interval = "600ms"\nreclaim_after = "1m"');
    expect(problemsOf(values)).toEqual([
      expect.stringContaining("gossip: a probe time-out of 500 ms leaves relays no time"),
      expect.stringContaining("gossip: the dead are forgotten after 60000 ms"),
    ]);
  });
});

describe("behind NAT", () => {
  test("a node has an address for each region that reaches it elsewhere", () => {
    const made = makeConfig(
      resolve('[gossip]\nadvertise_to = ["us=203.0.113.7:7002"]\n[peer]\nadvertise_to = ["us=nat.example:7003"]')
        .values,
      OWN,
    );
    expect([...made.gossip.advertiseTo]).toEqual([["us", { host: "203.0.113.7", port: 7002 }]]);
    expect([...made.peer.advertiseTo]).toEqual([["us", { host: "nat.example", port: 7003 }]]);
  });

  test.each([
    ["nowhere", "region=host:port, such as"],
    ["us=203.0.113.7", "host:port"],
    ["US=203.0.113.7:1", "region"],
    ["us=1.2.3.4:1,us=1.2.3.4:2", "each region once"],
  ])("%s is refused", (text, sentence) => {
    expect(() => resolve("", { STARLING_GOSSIP_ADVERTISE_TO: text })).toThrow(sentence);
  });

  test("gossip is told IPs", () => {
    const { values } = resolve("", { STARLING_GOSSIP_ADVERTISE_TO: "us=nat.example:7002" });
    expect(problemsOf(values)).toEqual([
      expect.stringContaining("members of us are told an IP and a port, not nat.example:7002"),
    ]);
  });

  test.each(["0.0.0.0:7002", "[::]:7002", "203.0.113.7:0"])("and %s is none that anybody can send to", (at) => {
    const { values } = resolve("", { STARLING_GOSSIP_ADVERTISE_TO: `us=${at}` });
    expect(problemsOf(values)).toEqual([expect.stringContaining(`members of us are told an IP and a port, not ${at}`)]);
  });
});

test.each(["0.0.0.0:7003", "[::]:7003", "nat.example:0"])("peers cannot connect to %s", (at) => {
  const { values } = resolve("", { STARLING_PEER_ADVERTISE_TO: `us=${at}` });
  expect(problemsOf(values)).toEqual([`peer.advertise_to: members of us cannot connect to ${at}`]);
});

describe("listeners", () => {
  function problems(...parts: Parameters<typeof sources>): string[] {
    return problemsOf(resolve(...parts).values);
  }

  test.each(["client", "gossip", "peer"])(
    "%s off loopback is refused, and the sentence says how to do it right",
    (name) => {
      const [problem] = problems(`[${name}]\nbind = "10.1.2.3:9000"`);
      expect(problem).toContain(`${name}.bind 10.1.2.3:9000 can be reached from other machines`);
      expect(problem).toContain("security.insecure = true and gossip.label");
    },
  );

  test("off loopback a gossip label is mandatory, even when insecurity is accepted", () => {
    const bind = '[peer]\nbind = "10.1.2.3:9000"\n[security]\ninsecure = true\n';
    expect(problems(bind)[0]).toContain("gossip.label (or gossip.keys) is needed");
    expect(problems(`${bind}[gossip]\nlabel = "mine"`)).toEqual([]);
  });

  test("loopback has many faces", () => {
    for (const host of ["127.0.0.2", "localhost", "[::1]"])
      expect(problems(`[client]\nbind = "${host}:1"`)).toEqual([]);
    for (const host of ["0.0.0.0", "[::]", "localhost.example.org", "127.0.0.1.example.org"])
      expect(problems(`[client]\nbind = "${host}:1"`)).not.toEqual([]);
  });

  test("a wildcard needs an address to advertise", () => {
    const trusted = '[security]\ninsecure = true\n[gossip]\nlabel = "x"\n[peer]\nbind = "0.0.0.0:7003"\n';
    expect(problems(trusted)[0]).toContain("set peer.advertise");
    expect(problems(`${trusted}advertise = "0.0.0.0:7003"`)[0]).toContain("set peer.advertise");
    expect(problems(`${trusted}advertise = "10.0.0.1:7003"`)).toEqual([]);
  });

  test("two listeners on one port are refused; port 0 is any free one", () => {
    expect(problems('[client]\nbind = "127.0.0.1:7003"')[0]).toContain(
      "client.bind and peer.bind are both 127.0.0.1:7003",
    );
    expect(problems('[client]\nbind = "127.0.0.1:0"\n[peer]\nbind = "127.0.0.1:0"')).toEqual([]);
  });

  test("dev mode stays on loopback: anybody could cut the network", () => {
    const open =
      '[security]\ninsecure = true\n[gossip]\nlabel = "x"\n[client]\nbind = "10.0.0.1:7001"\n[dev]\nenabled = true';
    expect(problems(open)[0]).toContain("dev.enabled lets any client cut");
  });
});
