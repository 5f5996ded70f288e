import { Envelope, type EnvelopeOptions } from "../../gossip/wire/envelope.ts";
import { Keyring } from "../../gossip/wire/keyring.ts";
import { makeAead } from "../../src/world/real-aead.ts";

/** Nothing around the messages. */
export const BARE = labelled("");

export function labelled(label: string, options: Partial<EnvelopeOptions> = {}): Envelope {
  return new Envelope({ label, compress: false, ...options });
}

/** What a test of something else configures. */
export const CLEAR = { compress: true, keys: [], verifyIncoming: true, verifyOutgoing: true } as const;

/** Nobody to ask for seeds. */
export const LOOKUPS = {
  dnsServer: null,
  consulToken: "",
  kubernetesApi: { host: "127.0.0.1", port: 6443 },
  kubernetesCredentials: "nowhere",
} as const;

let nonces = 0;
const aead = makeAead(() => {
  const nonce = new Uint8Array(12);
  new DataView(nonce.buffer).setUint32(0, ++nonces);
  return nonce;
});

/** 32 bytes, all the same. */
export function keyOf(byte: number): Uint8Array {
  return new Uint8Array(32).fill(byte);
}

export function keyring(...keys: readonly Uint8Array[]): Keyring {
  return new Keyring(aead, keys);
}
