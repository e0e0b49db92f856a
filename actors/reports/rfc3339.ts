/** Times of the API: RFC 3339, strictly, within what ClickHouse's DateTime holds (1970 to 2105). */
const RFC3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?([Zz]|[+-](\d\d):(\d\d))$/;
const LAST_MS = Date.UTC(2105, 0, 1);

/** Milliseconds since 1970, or undefined for what is not such a time (no 31 February, no leap second). */
export function parseRfc3339(text: string): number | undefined {
  const parts = RFC3339.exec(text);
  if (parts === null) return undefined;
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (Number(parts[8] ?? 0) > 23 || Number(parts[9] ?? 0) > 59) return undefined;
  // Date rolls 31 February over to March: what comes back must be what went in.
  const plain = new Date(Date.UTC(year, month - 1, day, hour, minute, second));
  const written = `${text.slice(0, 10)}T${text.slice(11, 19)}.000Z`;
  if (Number.isNaN(plain.getTime()) || plain.toISOString() !== written) return undefined;
  const timeMs = Date.parse(text.toUpperCase());
  return timeMs >= 0 && timeMs < LAST_MS ? timeMs : undefined;
}
