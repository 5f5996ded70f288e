/** 171075 → `171,075`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}

/** 1536 → `1.5 KiB`: for eyes; three digits at most. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 99.95 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 4200 → `4.2 s`, 200000 → `3 min 20 s`. */
export function formatSpan(ms: number): string {
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
}

/** Things per second. */
export function formatRate(count: number, ms: number): string {
  return ms <= 0 ? "–" : `${formatCount((count / ms) * 1000)}/s`;
}

/** The first digits of a digest or id, for tables. */
export function shortId(text: string, length = 12): string {
  return text.length > length ? `${text.slice(0, length)}…` : text;
}
