import { createSocket, type Socket } from "node:dgram";
import { type LookupOneOptions, lookup } from "node:dns";
import { once } from "node:events";
import { isIP } from "node:net";
import { assert } from "../kernel/assert.ts";
import { bindError, isPort, localAddress, plainBytes, unmapped } from "./real-node.ts";
import type { Address, DatagramSocket, Log } from "./world.ts";

/** Room for what arrives while the event loop is held up (gossip.md, Stalls). Less: packets are lost in a stall and live
 *  members are suspected. More: kernel memory. The kernel grants at most net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;
const DATAGRAM_BYTES_MAX = 65_507;

export async function bindRealDatagrams(
  local: Address,
  onPacket: (bytes: Uint8Array, from: Address) => void,
  log: Log,
): Promise<DatagramSocket> {
  const socket = createSocket({ type: local.host.includes(":") ? "udp6" : "udp4", lookup: lookupNames });
  // `message` may come in the turn in which the socket is bound: be ready before.
  socket.on("message", (bytes, from) => onPacket(plainBytes(bytes), { host: unmapped(from.address), port: from.port }));
  try {
    const listening = once(socket, "listening"); // asked for first: bind may be done at once
    socket.bind({ port: local.port, address: local.host, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    throw bindError(local, error as NodeJS.ErrnoException);
  }
  socket.on("error", (error) => log.warn("datagrams.error", { error: error.message }));
  const receiveBufferBytes = growReceiveBuffer(socket);
  const bound = localAddress(socket.address());
  let open = true;
  return {
    local: bound,
    receiveBufferBytes,
    send(to, bytes) {
      assert(bytes.length <= DATAGRAM_BYTES_MAX, "a datagram has at most 65,507 bytes");
      // The callback takes the error: a datagram that can't be sent is a lost one.
      if (open && isPort(to.port)) socket.send(bytes, to.port, to.host, () => {});
    },
    close() {
      if (open) socket.close();
      open = false;
    },
  };
}

function growReceiveBuffer(socket: Socket): number {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
  } catch {
    // Some systems refuse instead of granting less; what we have then is reported below.
  }
  return socket.getRecvBufferSize();
}

type LookupCallback = (error: NodeJS.ErrnoException | null, address: string, family: number) => void;

/** An IP address is its own answer, at once: dgram asks for every packet. */
function lookupNames(host: string, options: LookupOneOptions, callback: LookupCallback): void {
  const family = isIP(host);
  if (family !== 0) callback(null, host, family);
  else lookup(host, options, callback);
}
