import type { DestinationStream, Logger } from "pino";
import { pino } from "pino";
import type { Log } from "../world/world.ts";
import { prettyLine } from "./log-line.ts";

export interface LogOptions {
  readonly level: "debug" | "info" | "warn" | "error" | "silent";
  readonly format: "json" | "pretty";
}

/** Fields that must never be written, wherever they stand. */
const SECRET = ["salt", "*.salt", "token", "*.token", "authorization", "*.authorization"];

/** JSON lines `{"time","level","event",…}` on standard output, or a line for eyes. `event` is a stable id.
 *  @param out where lines go; standard output unless told */
export function makeLog(options: LogOptions, out: DestinationStream = pino.destination({ fd: 1, sync: true })): Log {
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: "event",
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRET, censor: "(secret)" },
      serializers: { error: pino.stdSerializers.err },
    },
    options.format === "pretty" ? { write: (line) => out.write(prettyLine(line)) } : out,
  );
  return asLog(logger);
}

function asLog(logger: Logger): Log {
  return {
    debug: (event, fields) => logger.debug(fields ?? {}, event),
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
    child: (fields) => asLog(logger.child(fields)),
  };
}
