/** Exit codes: a contract with scripts (shown by `starling --help`). */
export const EXIT = {
  ok: 0,
  /** Something that was asked for did not hold, or did not work. */
  failed: 1,
  /** Wrong arguments or configuration. */
  usage: 2,
  /** There is no such key, conflict, node … (404). */
  notFound: 3,
  /** The node refused the request (other 4xx). */
  refused: 4,
  /** Nobody answers at the node's address. */
  unreachable: 5,
  /** The node can't do it now (5xx). */
  unavailable: 6,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command with a sentence on standard error. */
export class CliError extends Error {
  override name = "CliError";
  readonly exitCode: ExitCode;
  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
