/** One line of JSON log as people read it: time of day, level, event, `field=value`. Other text stays as it is. */
export function prettyLine(line: string): string {
  const record = parseLogLine(line);
  if (!record) return line;
  const { time, level, event, ...fields } = record;
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${prettyValue(value)}`);
  return `${[String(time).slice(11, 23), String(level).padEnd(5), String(event), ...shown].join(" ")}\n`;
}

function prettyValue(value: unknown): string {
  // An error: its stack is for the JSON log.
  if (typeof value === "object" && value !== null && "stack" in value && "message" in value)
    return JSON.stringify(value.message);
  if (typeof value === "string") return /^[\w.:@/+-]+$/.test(value) ? value : JSON.stringify(value);
  return JSON.stringify(value);
}

/** Null for what is no line of ours (an engine's warning, a stack trace). */
export function parseLogLine(line: string): { [field: string]: unknown; level: string; event: string } | null {
  if (!line.startsWith("{")) return null;
  try {
    const record: unknown = JSON.parse(line);
    if (typeof record !== "object" || record === null || !("level" in record) || !("event" in record)) return null;
    return { ...record, level: String(record.level), event: String(record.event) };
  } catch {
    return null; // not JSON after all: shown as it came
  }
}
