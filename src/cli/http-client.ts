import { toBase64Url, utf8 } from "../kernel/bytes.ts";
import { CliError, EXIT } from "./exit.ts";

export interface RequestOptions {
  readonly body?: string | Uint8Array | ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  /** Statuses of 400 and above that the caller handles itself. */
  readonly allow?: readonly number[];
}

/** RFC 9457. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
}

const TIMEOUT_MS = 30_000;

/** A node's HTTP API. Every failure is a CliError with the exit code that fits. */
export class NodeClient {
  /** Without a slash at its end. */
  readonly url: string;

  constructor(url: string) {
    this.url = checkUrl(url);
  }

  /** @param path begins with a slash */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<Response> {
    const { body, headers = {}, timeoutMs = TIMEOUT_MS, allow = [] } = options;
    let response: Response;
    try {
      response = await fetch(this.url + path, {
        method,
        headers,
        ...(body === undefined ? {} : { body, duplex: "half" }),
        ...(timeoutMs === Number.POSITIVE_INFINITY ? {} : { signal: AbortSignal.timeout(timeoutMs) }),
      });
    } catch (error) {
      throw unreachable(this.url, error);
    }
    if (response.status >= 400 && !allow.includes(response.status)) throw await problemError(response);
    return response;
  }

  /** The answer's JSON. The caller names its shape, which is the API's promise. */
  async json<T>(method: string, path: string, data?: unknown, options: RequestOptions = {}): Promise<T> {
    const headers = { accept: "application/json", ...options.headers };
    const response = await this.request(
      method,
      path,
      data === undefined
        ? { ...options, headers }
        : { ...options, body: JSON.stringify(data), headers: { "content-type": "application/json", ...headers } },
    );
    return (await response.json()) as T;
  }

  get<T>(path: string): Promise<T> {
    return this.json("GET", path);
  }

  /** For answers without a body. */
  async send(method: string, path: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    await (await this.request(method, path, { headers })).arrayBuffer();
  }
}

function checkUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw new CliError(
      EXIT.usage,
      `${JSON.stringify(text)} is no node address: give a URL such as http://127.0.0.1:7001`,
    );
  return text.replace(/\/+$/, "");
}

export function unreachable(url: string, error: unknown): CliError {
  if (error instanceof Error && error.name === "TimeoutError")
    return new CliError(EXIT.unreachable, `${url} did not answer in time`);
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : String(cause);
  const hint =
    code === "ECONNREFUSED"
      ? ": is a node running there? (start one with `starling dev`, or name another with --node)"
      : "";
  return new CliError(EXIT.unreachable, `cannot reach ${url} (${code})${hint}`);
}

async function problemError(response: Response): Promise<CliError> {
  const text = await response.text();
  const exitCode = response.status === 404 ? EXIT.notFound : response.status < 500 ? EXIT.refused : EXIT.unavailable;
  const problem = parseProblem(text);
  const detail = problem ? (problem.detail ?? problem.title) : text.slice(0, 200);
  return new CliError(
    exitCode,
    `${detail || response.statusText} (${response.status}${problem ? ` ${problem.type}` : ""})`,
  );
}

function parseProblem(text: string): Problem | null {
  try {
    const data: unknown = JSON.parse(text);
    return typeof data === "object" && data !== null && "title" in data ? (data as Problem) : null;
  } catch {
    return null; // not JSON: whatever stands there is shown as it is
  }
}

/** `/v1/kv/{bucket}/{key…}` or another family of paths that end in a key. Keys whose path a URL would change (empty,
 *  with `.` or `..` segments) travel as `?key64=`. */
export function keyPath(
  family: string,
  bucket: string,
  key: string,
  query: Readonly<Record<string, string>> = {},
): string {
  const segments = key.split("/");
  const plain = key !== "" && !segments.some((segment) => segment === "." || segment === "..");
  const path = `${family}/${encodeURIComponent(bucket)}${plain ? `/${segments.map(encodeURIComponent).join("/")}` : ""}`;
  const params = new URLSearchParams(plain ? query : { key64: toBase64Url(utf8(key)), ...query });
  return params.size === 0 ? path : `${path}?${params}`;
}
