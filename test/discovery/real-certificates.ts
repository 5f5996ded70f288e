import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

// A certificate authority for one test, in the DER that X.509 (RFC 5280) is written in. Node's TLS checks every byte of it.

export interface ServerIdentity {
  readonly key: string;
  readonly cert: string;
}

const OID = {
  commonName: "550403",
  basicConstraints: "551d13",
  keyUsage: "551d0f",
  subjectAltName: "551d11",
  ecdsaWithSha256: "2a8648ce3d040302",
};

function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  if (body.length < 128) return Buffer.concat([Buffer.from([tag, body.length]), body]);
  const length = Buffer.from(body.length.toString(16).padStart(body.length < 256 ? 2 : 4, "0"), "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, body]);
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const octets = (...parts: readonly Uint8Array[]): Buffer => der(0x04, ...parts);
const bits = (unused: number, ...parts: readonly Uint8Array[]): Buffer => der(0x03, Buffer.from([unused]), ...parts);
const nameOf = (name: string): Buffer =>
  sequence(der(0x31, sequence(oid(OID.commonName), der(0x0c, Buffer.from(name)))));
const critical = der(0x01, Buffer.from([0xff]));
const algorithm = sequence(oid(OID.ecdsaWithSha256));

interface Wanted {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly extensions: readonly Uint8Array[];
}

function certificate({ subject, issuer, publicKey, signer, extensions }: Wanted): string {
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(8)])),
    algorithm,
    nameOf(issuer),
    sequence(der(0x17, Buffer.from("200101000000Z")), der(0x17, Buffer.from("491231235959Z"))),
    nameOf(subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(0xa3, sequence(...extensions)),
  );
  const whole = sequence(body, algorithm, bits(0, sign("sha256", body, signer)));
  return `-----BEGIN CERTIFICATE-----\n${whole.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END CERTIFICATE-----\n`;
}

/** An authority, and what it signs: server certificates for IPv4 addresses. */
export class Authority {
  readonly #keys = generateKeyPairSync("ec", { namedCurve: "P-256" });
  readonly #name: string;
  /** PEM. */
  readonly ca: string;

  constructor(name = "starling test authority") {
    this.#name = name;
    this.ca = certificate({
      subject: name,
      issuer: name,
      publicKey: this.#keys.publicKey,
      signer: this.#keys.privateKey,
      extensions: [
        sequence(oid(OID.basicConstraints), critical, octets(sequence(der(0x01, Buffer.from([0xff]))))),
        sequence(oid(OID.keyUsage), critical, octets(bits(2, Buffer.from([0x04])))), // signs certificates
      ],
    });
  }

  identity(ip: string): ServerIdentity {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const address = der(0x87, Buffer.from(ip.split(".").map(Number)));
    const cert = certificate({
      subject: "kube-apiserver",
      issuer: this.#name,
      publicKey,
      signer: createPrivateKey(this.#keys.privateKey.export({ type: "pkcs8", format: "pem" })),
      extensions: [sequence(oid(OID.subjectAltName), octets(sequence(address)))],
    });
    return { cert, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
  }
}
