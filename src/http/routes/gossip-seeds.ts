import { type Api, jsonResponse } from "../api.ts";
import { type Call, checkParameters, parseQuery } from "../call.ts";

/** `GET /cluster/gossip/seeds`: the sources of seeds that have to be asked; who is written down with an address is not. */
export function listSeedSources(api: Api, call: Call): Response {
  checkParameters(parseQuery(call.search), []);
  const items = api.seedSources().map((one) => ({ ...one, addresses: [...one.addresses] }));
  return jsonResponse(api, call, { node: api.replica.node, items });
}
